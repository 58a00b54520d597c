"""The Prefer header (RFC 7240): how long a client wants to wait for its CSV."""

from __future__ import annotations

from groovemark.errors import RequestRejected

WAIT_DEFAULT_S = 30
WAIT_MAX_S = 300


def wait_s(prefer: str | None) -> int:
    """Seconds to wait before answering 202; `respond-async` alone means none, with `wait` it waits so long.

    Unknown preferences are ignored, as the RFC asks. Raises RequestRejected when `wait` is no number of seconds.
    """
    chosen: int | None = None
    default = WAIT_DEFAULT_S
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "respond-async":
            default = 0
        if name.strip().lower() == "wait":
            seconds = value.strip().strip('"')
            if not (seconds.isascii() and seconds.isdigit()):
                raise RequestRejected(f"Prefer: wait must be a number of seconds from 0 to {WAIT_MAX_S}.")
            chosen = min(int(seconds[:6]), WAIT_MAX_S)
    return default if chosen is None else chosen
