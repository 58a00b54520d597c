"""What states batches, items and jobs have, and what may follow what: the one place that says so.

batch   open ──► queued ──► running ──► completed      at least the good items are recorded; the counts say how many
          │         │          ├──────► failed         the whole batch was rejected or could not be run
          └─────────┴──────────┴──────► cancelled      what was finished stays
                    ▲ retry ◄─────────────┘ (completed, failed or cancelled, with failed items)

item    pending ──► succeeded | failed | cancelled     failed ──► pending by a retry

job     queued ──► running ──► succeeded | failed      running ──► queued when a worker gives it back
          └───────────┴──────► cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Machine = Mapping[str, frozenset[str]]
"""From each state to those that may follow it."""

BATCH: Final[Machine] = {
    "open": frozenset({"queued", "cancelled"}),
    "queued": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"completed", "failed", "cancelled"}),
    "completed": frozenset({"queued"}),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
}
ITEM: Final[Machine] = {
    "pending": frozenset({"succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset({"pending"}),
    "cancelled": frozenset(),
}
JOB: Final[Machine] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
DELIVERY: Final[Machine] = {
    "pending": frozenset({"delivered", "failed"}),
    "delivered": frozenset(),
    "failed": frozenset(),
}

BATCH_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
JOB_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


def before(machine: Machine, state: str) -> list[str]:
    """The states that may turn into this one; statements change a row only where it is in one of them."""
    return sorted(earlier for earlier, following in machine.items() if state in following)
