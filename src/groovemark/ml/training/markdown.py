"""The forms that cards and reports share."""

from __future__ import annotations

from collections.abc import Iterable

from groovemark.ml.evaluation.metrics import Figure


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(header)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def interval(figure: Figure) -> str:
    """A figure with its interval, such as 0.511 (0.480 to 0.540)."""
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
