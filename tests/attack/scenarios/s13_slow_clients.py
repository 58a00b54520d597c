"""S13: hundreds of clients that send or read a byte now and then keep nobody else waiting."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.attack.place import SETTINGS, Peak, files_below, ready_worker, target_of
from tests.attack.slow import Crowd
from tests.attack.target import Target
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import fma_rows, to_csv

P99_S = 1.0
READS = ("/ready", "/api/v1/classifier/batches", "/api/v1/genre/list")
AT_ONCE = 4
"""Clients in earnest."""


def play(act: Act) -> Outcome:
    outcome = Outcome(trials=act.size["slow"])
    ready_worker(act.site)
    target = target_of(act.site)
    with Peak(target.pid) as peak:
        alone, crowded, crowd = asyncio.run(_measure(target, act))
    outcome.notes.append(
        f"{len(crowded)} requests: median {_at(crowded, 0.5) * 1000:.0f} ms, p99 {_at(crowded, 0.99) * 1000:.0f} ms; "
        f"without the crowd {_at(alone, 0.5) * 1000:.0f} and {_at(alone, 0.99) * 1000:.0f} ms; "
        f"{crowd.given_up} slow ones were given up; the API took {peak.grown_mib:.0f} MiB more"
    )
    if act.size["is_timed"]:
        outcome.expect(_at(crowded, 0.99) < P99_S, f"p99 of a client in earnest was {_at(crowded, 0.99):.2f} s")
    deadline = time.monotonic() + 20
    while files_below(act.site.storage / "incoming") and time.monotonic() < deadline:
        time.sleep(0.1)
    outcome.expect(not files_below(act.site.storage / "incoming"), "what slow clients had sent is still there")
    return outcome


async def _measure(target: Target, act: Act) -> tuple[list[float], list[float], Crowd]:
    alone = await _ask(target, act.size["requests"] // 4)
    async with Crowd(target, act.size["slow"]) as crowd:
        act.tell(f"{crowd.connected} slow clients")
        await asyncio.sleep(act.size["settled_s"])
        crowded = await _ask(target, act.size["requests"])
        if crowd.connected < 0.9 * act.size["slow"]:
            raise AssertionError(f"only {crowd.connected} slow clients are left: the attack was not what it should be")
    return alone, crowded, crowd


async def _ask(target: Target, count: int) -> list[float]:
    """How long each request took in seconds, connecting included."""
    table = to_csv(fma_rows(1))
    took: list[float] = []

    async def ask(number: int) -> None:
        async with httpx.AsyncClient(base_url=target.address, headers=target.credentials, timeout=60) as client:
            began = time.perf_counter()
            if number % 4 == 0:
                files = {"csv_file": ("a.csv", table)}
                answer = await client.post(
                    "/api/v1/classifier/predict-batch", files=files, headers={"prefer": "respond-async"}
                )
            else:
                answer = await client.get(READS[number % 4 - 1])
            took.append(time.perf_counter() - began)
            assert answer.status_code in (200, 202), answer.text

    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(ask(number) for number in range(start, min(start + AT_ONCE, count))))
    return took


def _at(values: list[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]


SCENARIO = Scenario(
    "S13",
    "500 slow connections: legitimate p99 under 1 s",
    play,
    full={"slow": 500, "requests": 800, "settled_s": 5, "is_timed": 1},
    short={"slow": 60, "requests": 24, "settled_s": 0, "is_timed": 0},
    settings=SETTINGS,
)
