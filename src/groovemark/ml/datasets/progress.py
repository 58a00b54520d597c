"""How much of a long piece of work is done, for whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told how far a piece of work is; the next one begins when it is done."""

    def begin(self, work: str, steps: int) -> None:
        """So many steps lie ahead, each about as long as the others: the time left is estimated from them."""

    def advance(self, steps: int = 1) -> None:
        """So many more of them are done."""


class Unwatched:
    """Progress that nobody looks at."""

    def begin(self, work: str, steps: int) -> None:
        """Nothing."""

    def advance(self, steps: int = 1) -> None:
        """Nothing."""


UNWATCHED = Unwatched()
