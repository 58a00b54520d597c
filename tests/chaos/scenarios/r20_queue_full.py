"""R20: clients send ten times what the queue holds: they are told when to come back, quickly and in little memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.chaos.counting import accepted, clip, count
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.posting import post_audio

CLIENTS = 4
P99_S = 0.5
GROWTH_BYTES_MAX = 30 * 1024**2


@dataclass
class _Told:
    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    capacity = act.size["capacity"]
    site.know_models()
    site.end_workers()
    site.start_api(QUEUE_ITEMS_MAX=str(capacity), QUEUE_CLIENT_SHARE="0.5")
    clients = [site.client() for _ in range(CLIENTS)]
    try:
        assert site.api is not None
        pid = site.api.process.pid
        for api in clients:
            api.get("/classifier/batches")
        contents = [marked(clip(), PLAIN, number=act.random.getrandbits(31)) for _ in range(10 * capacity)]
        act.tell(f"{len(contents)} items for a queue of {capacity}")
        shares = [contents[nth::CLIENTS] for nth in range(CLIENTS)]
        half = [share[: len(share) // 2] for share in shares]
        rest = [share[len(share) // 2 :] for share in shares]
        with ThreadPoolExecutor(CLIENTS) as threads:
            told = list(threads.map(_send, clients, half))
            before = _peak_bytes(pid)
            told_later = list(threads.map(_send, clients, rest))
        growth = _peak_bytes(pid) - before
        outcome.expect(growth <= GROWTH_BYTES_MAX, f"the API's peak memory grew by {growth / 1e6:.0f} MB")
        outcome.notes.append(
            f"peak memory {before / 1e6:.0f} MB after half of it, {growth / 1e6:.0f} MB more after all"
        )
        _judge(outcome, told, told_later, capacity, is_timed=bool(act.size["is_timed"]))
        site.ready(1)
        for api, early, late in zip(clients, told, told_later, strict=True):
            for path in (*early.accepted, *late.accepted):
                outcome.add(count(site, api, path, succeed=["a.wav"]))
        _expect_room(clients[0], contents[0], outcome)
    finally:
        for api in clients:
            api.close()
    outcome.trials = len(contents)
    return outcome


def _send(api: httpx.Client, contents: list[bytes]) -> _Told:
    told = _Told()
    for content in contents:
        began = time.monotonic()
        answer = post_audio(api, {"a.wav": content})
        told.took_s.append(time.monotonic() - began)
        if answer.status_code == httpx.codes.ACCEPTED:
            told.accepted.append(accepted(answer))
        elif answer.status_code in (429, 503) and answer.headers.get("retry-after", "").isdigit():
            told.refused += 1
        else:
            told.wrong.append(f"{answer.status_code} {dict(answer.headers)}")
        began = time.monotonic()
        api.get("/classifier/batches?limit=10")
        told.took_s.append(time.monotonic() - began)
    return told


def _judge(outcome: Outcome, told: list[_Told], later: list[_Told], capacity: int, *, is_timed: bool) -> None:
    everyone = [*told, *later]
    wrong = [text for one in everyone for text in one.wrong]
    outcome.expect(not wrong, f"answers that are neither 202, 429 nor 503 with Retry-After: {wrong[:2]}")
    taken = sum(len(one.accepted) for one in everyone)
    outcome.expect(capacity / 2 <= taken <= capacity + CLIENTS, f"{taken} were taken into a queue of {capacity}")
    took_s = sorted(second for one in everyone for second in one.took_s)
    p99_s = took_s[int(len(took_s) * 0.99)]
    outcome.notes.append(f"{taken} taken, {sum(one.refused for one in everyone)} refused, p99 {p99_s * 1000:.0f} ms")
    outcome.expect(p99_s <= P99_S or not is_timed, f"the API's p99 is {p99_s:.2f} s")


def _peak_bytes(pid: int) -> int:
    """What was resident at the most until now, as Linux keeps it; elsewhere what is resident now."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _expect_room(api: httpx.Client, content: bytes, outcome: Outcome) -> None:
    """Once the workers have got through it, more is taken; the API looks once a second."""
    for _ in range(50):
        answer = post_audio(api, {"again.wav": content})
        if answer.status_code == httpx.codes.ACCEPTED:
            return
        time.sleep(0.1)
    outcome.broken.append("the queue is empty, and nothing is taken")


SCENARIO = Scenario(
    "R20",
    "the queue at ten times its capacity",
    play,
    full={"capacity": 200, "is_timed": 1},
    short={"capacity": 8, "is_timed": 0},
)
