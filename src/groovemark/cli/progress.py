"""How far a long command is: on a terminal a bar with the time left below the lines, elsewhere the lines alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WHOLE_RUN_S = 1e9
"""A step may take minutes: the time left is estimated from all of them, not from those of the last seconds."""


class Lines:
    """Lines on stderr, so that stdout stays the result; of steps they say nothing."""

    def report(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def begin(self, work: str, steps: int) -> None:
        pass

    def advance(self, steps: int = 1) -> None:
        pass


@dataclass
class Bars:
    """A bar on stderr for each piece of work (ml.datasets.progress), and lines above it."""

    shown: Progress
    bar: TaskID | None = None

    def report(self, line: str) -> None:
        self.shown.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, work: str, steps: int) -> None:
        self.bar = self.shown.add_task(work, total=steps)
        self.advance(0)  # the clock starts, so that the first step has a speed

    def advance(self, steps: int = 1) -> None:
        if self.bar is not None:
            self.shown.advance(self.bar, steps)


Shown = Lines | Bars


@contextmanager
def show_progress() -> Iterator[Shown]:
    """Whom a long command may tell what it does."""
    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("passed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # What else goes to stdout is the command's result, and must not end up on stderr.
    with Progress(
        *columns, console=console, expand=True, redirect_stdout=False, speed_estimate_period=WHOLE_RUN_S
    ) as shown:
        yield Bars(shown)
