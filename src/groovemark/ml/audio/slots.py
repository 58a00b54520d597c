"""Places at work that several lanes share: a free one goes to the lane that has used the least of late."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from threading import Condition
from typing import Generic, TypeVar

from groovemark.errors import Unavailable

Slot = TypeVar("Slot")

MEMORY_S = 30.0
"""After so long, use counts for e times less: nobody is owed the time that was idle long ago."""
PLEDGE_S = 1.0
"""What work under way counts for until it is known: a lane must not take all slots at once as if that were nothing."""
_STOP_CHECK_S = 0.25


class Abandoned(Exception):
    """Whoever waited for a slot no longer wants it."""


class _Ticket:
    """Of one who waits."""

    def __init__(self, lane: str) -> None:
        self.lane = lane


class FairSlots(Generic[Slot]):
    """Slots that are taken for one piece of work and given back. Safe to share between threads.

    Of the waiting lanes the least used is served first, and within a lane whoever came first: a lane that begins does
    not wait behind all that another one has in store. The slot given back last is taken first.
    """

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._free = list(slots)
        self._count = len(self._free)
        self._waiting: list[_Ticket] = []
        self._used_s: defaultdict[str, float] = defaultdict(float)
        self._used_at = time.monotonic()
        self._is_closed = False
        self._changed = Condition()

    def take(self, lane: str = "", should_stop: Callable[[], bool] = lambda: False) -> Slot:
        """Waits for a slot. Raises Abandoned as soon as `should_stop` answers true, Unavailable when closed."""
        ticket = _Ticket(lane)
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not should_stop():
                    if self._is_closed:
                        raise Unavailable("The service is ending.")
                    if self._free and self._first_waiting() is ticket:
                        self._used_s[lane] += PLEDGE_S
                        return self._free.pop()
                    self._changed.wait(_STOP_CHECK_S)
                raise Abandoned
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def give(self, slot: Slot, lane: str, used_s: float) -> None:
        """Back, after so long; another slot may come in the place of the one taken."""
        with self._changed:
            self._forget()
            self._used_s[lane] = max(0.0, self._used_s[lane] + used_s - PLEDGE_S)
            self._free.append(slot)
            self._changed.notify_all()

    def take_idle(self) -> list[Slot]:
        """All that nobody uses at this moment."""
        with self._changed:
            idle, self._free = self._free, []
            return idle

    def put(self, slot: Slot) -> None:
        """One taken while idle comes back."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    def close(self) -> list[Slot]:
        """Whoever waits is refused; all slots, once they have been given back."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._free) == self._count)
            return list(self._free)

    def _first_waiting(self) -> _Ticket:
        return min(self._waiting, key=lambda ticket: self._used_s[ticket.lane])

    def _forget(self) -> None:
        """Use fades, and lanes whose use is as good as nothing are dropped."""
        now = time.monotonic()
        share = math.exp((self._used_at - now) / MEMORY_S)
        self._used_at = now
        waiting = {ticket.lane for ticket in self._waiting}
        for lane in list(self._used_s):
            self._used_s[lane] *= share
            if self._used_s[lane] < PLEDGE_S / 100 and lane not in waiting:
                del self._used_s[lane]
