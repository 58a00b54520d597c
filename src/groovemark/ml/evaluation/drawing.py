"""Pictures of an evaluation, as PNG: the confusion matrix, and the robustness curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.evaluation.robustness import Robustness

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

DOTS_PER_INCH = 150
CELL_INCHES = 0.62
TITLES = {"noise": "deviation of the noise (full scale is 1)", "shift": "longest shift in time (s)"}


def draw_confusion(path: Path, counts: NDArray[np.int64], labels: Sequence[str], title: str) -> None:
    """Counts as numbers, shares of the right label as colour.

    Args:
        counts: (k, k), rows right labels, columns given ones.

    Raises ConfigurationError where matplotlib is not installed.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + CELL_INCHES * len(labels)
    drawing = _new(side + 0.8, side)
    axes = drawing.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("answer")
    axes.set_ylabel("right label")
    axes.set_title(title, fontsize=11)
    drawing.colorbar(image, ax=axes, fraction=0.046, pad=0.04, label="share of the right label's tracks")
    _save(drawing, path)


def draw_curves(path: Path, found: Robustness, title: str) -> None:
    """Agreement, and accuracy where files have labels, over the levels of each disturbance.

    Raises ConfigurationError where matplotlib is not installed.
    """
    names = list(dict.fromkeys(level.disturbance for level in found.levels))
    drawing = _new(4.6 * len(names), 3.6)
    drawing.suptitle(title, fontsize=11)
    for number, name in enumerate(names, start=1):
        axes = drawing.add_subplot(1, len(names), number)
        levels = [level for level in found.levels if level.disturbance == name]
        places = range(len(levels) + 1)
        axes.plot(places, [1.0, *(level.agreement for level in levels)], "o-", label="agreement with the clean answer")
        if found.clean_accuracy is not None:
            accuracies = [found.clean_accuracy, *(level.accuracy or 0.0 for level in levels)]
            axes.plot(places, accuracies, "s--", label="accuracy")
        axes.set_xticks(places, ["none", *(f"{level.level:g}" for level in levels)])
        axes.set_ylim(-0.03, 1.05)
        axes.set_xlabel(TITLES[name])
        axes.set_ylabel("share of files")
        axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    _save(drawing, path)


def _new(width: float, height: float) -> Drawing:
    try:
        from matplotlib.figure import Figure as Drawing  # not pyplot: no window system, no state left behind
    except ImportError as error:
        raise ConfigurationError("pictures need matplotlib: pip install 'groovemark[train]'") from error
    return Drawing(figsize=(width, height), layout="constrained")


def _save(drawing: Drawing, path: Path) -> None:
    drawing.savefig(path, dpi=DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
