"""What must never be unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class Bomb:
    """Whoever unpickles it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)
