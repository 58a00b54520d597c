"""R23: Hypothesis plays clients, workers, their deaths and the passing of time; the invariants hold after every step.

Clients speak to the real API over HTTP. Worker steps are the worker's own tasks on its own context, run here one at a
time, so that a failing run can be repeated and shrunk. A worker dies by claiming a job and never coming back; time
passes by ending every lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import httpx
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from groovemark import worker
from groovemark.config import Settings
from groovemark.context import Context
from groovemark.db import clients, jobs
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.lifecycle import BATCH, BATCH_ENDED
from groovemark.db.session import raw_connection
from groovemark.queue.queue import NotNow
from groovemark.tasks import LANES
from tests.chaos.counting import clip
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site
from tests.inputs import zip_file
from tests.ledger import BROKEN_PROMISES

T = TypeVar("T")
STEPS = 20
CONTENTS = 3
TASKS = {kind: task for lane in LANES for kind, task in lane.tasks.items()}


class _Workshop:
    """A worker's context in a thread of its own, and what steps do with it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._stack = contextlib.AsyncExitStack()
        self.context: Context = self.do(self._open())

    def do(self, step: Awaitable[T]) -> T:
        async def wait() -> T:
            return await step

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(300)

    async def _open(self) -> Context:
        environment = {name.lower(): value for name, value in self.site.environment.items()}
        found = Settings.model_validate({**environment, "feature_cache_bytes_max": 1 << 24, "host": "127.0.0.1"})
        return await self._stack.enter_async_context(worker._context(found, self.site.uri, asyncio.Event()))

    def close(self) -> None:
        self.do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def add_client(self, name: str) -> str:
        async with self.context.database.transaction() as connection:
            return await clients.add(connection, name, catalog=name, scopes=clients.SCOPES)

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        async with self.context.database.transaction() as connection:
            raw = await raw_connection(connection)
            return list(await raw.fetch(statement, *values))

    async def broken(self, catalog: str) -> dict[str, list[Any]]:
        async with self.context.database.transaction() as connection:
            raw = await raw_connection(connection)
            return {
                promise: rows
                for promise, statement in BROKEN_PROMISES.items()
                if (rows := await raw.fetch(f"{statement} LIMIT 5", catalog))
            }

    async def run(self, job: Any) -> None:
        with contextlib.suppress(NotNow):
            await TASKS[job["kind"]](self.context, job["id"])

    async def claim(self, job_id: uuid.UUID) -> Claim | None:
        async with self.context.database.transaction() as connection:
            return await jobs.claim(connection, job_id, token=uuid.uuid4(), lease_s=3600)

    async def is_held(self, held: Claim) -> bool:
        try:
            async with self.context.database.transaction() as connection:
                await jobs.hold(connection, held)
        except LeaseLost:
            return False
        return True


@dataclass
class _Known:
    """What a client knows of its batch."""

    path: str
    good: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    state: str = "open"
    was_cancelled: bool = False


class Life(RuleBasedStateMachine):
    workshop: ClassVar[_Workshop]

    @initialize()
    def open_shop(self) -> None:
        self.catalog = f"life-{uuid.uuid4().hex}"
        secret = self.workshop.do(self.workshop.add_client(self.catalog))
        self.api = httpx.Client(
            base_url=f"{self.workshop.site.address}/api/v1",
            headers={"client-id": self.catalog, "client-secret": secret},
            timeout=60,
        )
        self.batches: list[_Known] = []
        self.deaths: list[Claim] = []
        self.numbers = iter(range(10_000))

    # what clients do

    @rule(as_key=st.booleans())
    def create(self, as_key: bool) -> None:
        headers = {"idempotency-key": f"create-{len(self.batches)}"} if as_key else {}
        answer = self.api.post("/classifier/batches", headers=headers)
        assert answer.status_code == 201, answer.text
        if as_key:
            again = self.api.post("/classifier/batches", headers=headers)
            assert again.json()["id"] == answer.json()["id"]
        self.batches.append(_Known(f"/classifier/batches/{answer.json()['id']}"))

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), kinds=st.lists(st.sampled_from(["good", "bad", "zip"]), min_size=1, max_size=3))
    def add(self, data: st.DataObject, kinds: list[str]) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        files, good, bad = [], set(), set()
        for kind in kinds:
            name = f"{next(self.numbers)}.wav"
            content = marked(clip(), PLAIN, number=data.draw(st.integers(0, CONTENTS - 1)))
            if kind == "zip":
                files.append((f"{name}.zip", zip_file({name: content})))
            else:
                files.append((name, content if kind == "good" else b"no sound"))
            (bad if kind == "bad" else good).add(name)
        answer = self.api.post(f"{batch.path}/files", files=[("files", file) for file in files])
        assert answer.status_code == (201 if batch.state == "open" else 409), answer.text
        if batch.state == "open":
            batch.good |= good
            batch.bad |= bad

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        answer = self.api.post(f"{batch.path}/start")
        if batch.state != "open":
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == (202 if batch.good | batch.bad else 422), answer.text

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        answer = self.api.post(f"{batch.path}/cancel")
        assert answer.status_code == (409 if batch.state in BATCH_ENDED else 202), answer.text
        batch.was_cancelled |= answer.status_code == 202

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        failed = self.api.get(batch.path).json()["counts"]["failed"]
        answer = self.api.post(f"{batch.path}/retry")
        assert answer.status_code == (202 if batch.state in BATCH_ENDED and failed else 409), answer.text

    # what workers do, and what becomes of them

    def _job(self, data: st.DataObject) -> Any | None:
        found = self.workshop.do(
            self.workshop.fetch(
                "SELECT id, kind FROM job WHERE client_id = $1 AND (state = 'queued' OR state = 'running' AND "
                "lease_until < clock_timestamp()) ORDER BY turn, created_at, id",
                self.catalog,
            )
        )
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        if job := self._job(data):
            self.workshop.do(self.workshop.run(job))

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker claims a job and is never seen again."""
        if (job := self._job(data)) and (held := self.workshop.do(self.workshop.claim(job["id"]))):
            self.deaths.append(held)

    @rule()
    def pass_time(self) -> None:
        """Every lease runs out; nobody holds one rightly, since work is done one step at a time."""
        self.workshop.do(
            self.workshop.fetch(
                "UPDATE job SET lease_until = clock_timestamp() - interval '1 s' "
                "WHERE client_id = $1 AND state = 'running'",
                self.catalog,
            )
        )

    @rule()
    def wake_dead(self) -> None:
        """What died may write only while nobody else took its job."""
        for held in self.deaths:
            [row] = self.workshop.do(
                self.workshop.fetch("SELECT lease_token, state FROM job WHERE id = $1", held.job_id)
            )
            may = row["state"] == "running" and row["lease_token"] == held.token
            assert self.workshop.do(self.workshop.is_held(held)) == may

    # what must always be so

    @invariant()
    def promises_are_kept(self) -> None:
        if hasattr(self, "catalog"):
            assert self.workshop.do(self.workshop.broken(self.catalog)) == {}

    @invariant()
    def batches_are_as_told(self) -> None:
        for batch in getattr(self, "batches", ()):
            told = self.api.get(batch.path).json()
            assert told["state"] in _reachable(batch.state), f"from {batch.state} to {told['state']}"
            batch.state = told["state"]
            counts = told["counts"]
            assert counts["succeeded"] + counts["failed"] + counts["cancelled"] <= counts["items"], counts
            results = self._results(batch)
            assert len(results) == len(set(results)) == counts["succeeded"], (results, counts)
            assert set(results) <= batch.good
            if batch.state in BATCH_ENDED:
                assert counts["succeeded"] + counts["failed"] + counts["cancelled"] == counts["items"], counts

    def _results(self, batch: _Known) -> list[str]:
        import json

        text = self.api.get(f"{batch.path}/results").text
        return [json.loads(line)["external_id"] for line in text.splitlines()]

    def teardown(self) -> None:
        """Left alone, the workers get through it: everything that was started ends, and nothing good is lost."""
        if not hasattr(self, "batches"):
            return
        for _ in range(200):
            self.pass_time()
            found = self.workshop.do(
                self.workshop.fetch(
                    "SELECT id, kind FROM job WHERE client_id = $1 AND state IN ('queued', 'running')", self.catalog
                )
            )
            if not found:
                break
            for job in found:
                self.workshop.do(self.workshop.run(job))
        self.promises_are_kept()
        self.batches_are_as_told()
        for batch in self.batches:
            assert batch.state == "open" or batch.state in BATCH_ENDED, batch
            if batch.state == "completed" and not self.deaths and not batch.was_cancelled:
                assert set(self._results(batch)) == batch.good
        self.api.close()


def _reachable(state: str) -> set[str]:
    """A step may take a batch over several arrows."""
    found = {state}
    while further := {following for one in found for following in BATCH[one]} - found:
        found |= further
    return found


def play(act: Act) -> Outcome:
    act.site.end_workers()
    outcome = Outcome(trials=act.size["runs"])
    with _open(act.site):
        machine = seed(act.random.getrandbits(32))(Life)
        act.tell(f"{act.size['runs']} runs of at most {STEPS} steps")
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=act.size["runs"],
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    phases=(Phase.generate, Phase.shrink) if act.size["runs"] > 100 else (Phase.generate,),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            act.tell(f"{type(error).__name__}: {error}\n{notes}")
            outcome.broken.append(f"{type(error).__name__}: {str(error)[:500]}")
    return outcome


@contextlib.contextmanager
def _open(site: Site) -> Iterator[None]:
    Life.workshop = _Workshop(site)
    try:
        yield
    finally:
        Life.workshop.close()


SCENARIO = Scenario(
    "R23", "a Hypothesis state machine over the life cycle", play, full={"runs": 1_000}, short={"runs": 10}
)
