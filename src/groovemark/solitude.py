"""Working beside others, or alone: where a worker dies, it is to be known of what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable


class Solitude:
    """Jobs of one worker share it; one of them at a time may have it to itself, and comes before those that begin."""

    def __init__(self) -> None:
        self._sharing = self._waiting = 0
        self._is_alone = False
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Begins when nobody is alone, or waits to be."""
        await self._until(lambda: not self._is_alone and not self._waiting)
        self._sharing += 1
        try:
            yield
        finally:
            self._sharing -= 1
            self._tell()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """For one that shares: begins when all others have ended, or wait to be alone too; then it shares again."""
        self._sharing -= 1
        self._waiting += 1
        self._tell()
        try:
            try:
                await self._until(lambda: not self._is_alone and not self._sharing)
                self._is_alone = True
            finally:
                self._waiting -= 1
            try:
                yield
            finally:
                self._is_alone = False
        finally:
            self._sharing += 1
            self._tell()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
