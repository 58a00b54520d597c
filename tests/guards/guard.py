"""A guard that can be taken out of a copy of groovemark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCE = "src/groovemark/"


@dataclass(frozen=True)
class Piece:
    """A piece of groovemark, by the text that is it, and what stands there without it."""

    file: str
    text: str
    without: str = ""

    def remove(self, root: Path) -> None:
        """Take it out of the copy at `root`, wherever its text stands. Raises ValueError where it stands nowhere."""
        path = root / self.file
        content = path.read_text()
        if self.text not in content:
            raise ValueError(f"{self.file} holds no {self.text!r}")
        path.write_text(content.replace(self.text, self.without))


@dataclass(frozen=True)
class Guard:
    """What a scenario tests.

    Attributes:
        behind: what would catch alone what comes through.
        is_long: whether only the full version can notice.
    """

    scenario: str
    what: str
    piece: Piece
    behind: tuple[Piece, ...] = ()
    is_long: bool = False

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (self.piece, *self.behind)
