"""R23: Hypothesis plays clients, workers, their deaths and the passing of time; the invariants hold after every step.

Clients speak to the real API over HTTP. Worker steps are the worker's own tasks on its own context, run here one at a
time, so that a failing run can be repeated and shrunk. A worker dies by taking a job and never coming back, at once or
after some of its files; time passes by ending every lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
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
from groovemark.classifier.kinds import SHARD
from groovemark.config import Settings
from groovemark.context import Context
from groovemark.db import clients, jobs
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.lifecycle import BATCH, BATCH_ENDED
from groovemark.db.session import raw_connection
from groovemark.ml.features.file_extractor import FileExtractor
from groovemark.queue.queue import NotNow
from groovemark.tasks import LANES
from groovemark.working import AttemptsExhausted
from tests.chaos.counting import clip
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site
from tests.inputs import zip_file
from tests.ledger import BROKEN_PROMISES

T = TypeVar("T")
STEPS = 15
CONTENTS = 3
KINDS = st.lists(st.sampled_from(["good", "bad", "zip"]), min_size=1, max_size=3)
LEASE_S = 3600.0
"""Leases end when the machine says so."""
TASKS = {kind: task for lane in LANES for kind, task in lane.tasks.items()}

_KEPT = "SELECT " + ", ".join(f"NOT EXISTS ({statement})" for statement in BROKEN_PROMISES.values())
"""All promises in one question: it is asked after every step."""

_ITEMS = """
    SELECT batch.id AS batch_id, batch.state AS batch_state, batch.job_id, external_id, item.state, fault.code,
           (SELECT id FROM job WHERE batch_id = batch.id AND kind = 'classify_shard'
            AND coalesce(item.same_as, item.position) BETWEEN first_position AND last_position
            ORDER BY created_at DESC LIMIT 1) AS shard_id
    FROM batch JOIN catalog ON catalog.id = catalog_id AND name = $1 JOIN batch_item item ON item.batch_id = batch.id
    LEFT JOIN batch_fault fault
    ON fault.batch_id = batch.id AND fault.position = item.position AND severity = 'error'
"""
"""With the shard that an item was last in."""


class _Died(BaseException):
    """A worker's end in the middle of its work. Nothing in it may catch that, as it could not catch a kill."""


class _Deadly(FileExtractor):
    """Ends its worker after so many files."""

    def __init__(self, alive: FileExtractor, survived: int) -> None:
        super().__init__(alive._sandbox, batches=alive._batches, cache=alive._cache)
        self._survived = survived

    def extract(self, *files_and_specs: Any, **options: Any) -> Iterator[Any]:
        yield from islice(super().extract(*files_and_specs, **{**options, "at_once": 1}), self._survived)
        raise _Died


class _Workshop:
    """A worker's context in a thread of its own, and what steps do with it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._stack = contextlib.AsyncExitStack()
        self.context: Context = self.do(self._open())
        # One for all runs: opening another takes longer than a run's first steps.
        self.api = httpx.Client(base_url=f"{site.address}/api/v1", timeout=60)

    def do(self, step: Awaitable[T]) -> T:
        async def wait() -> T:
            return await step

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(300)

    async def _open(self) -> Context:
        environment = {name.lower(): value for name, value in self.site.environment.items()}
        found = Settings.model_validate({**environment, "feature_cache_bytes_max": 1 << 24, "host": "127.0.0.1"})
        return await self._stack.enter_async_context(worker._context(found, self.site.uri, asyncio.Event()))

    def close(self) -> None:
        self.api.close()
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
            kept = await raw.fetchrow(_KEPT, catalog)
            return {
                promise: await raw.fetch(f"{statement} LIMIT 5", catalog)
                for (promise, statement), is_kept in zip(BROKEN_PROMISES.items(), kept, strict=True)
                if not is_kept
            }

    async def run(self, job: Any) -> None:
        with contextlib.suppress(NotNow):
            await TASKS[job["kind"]](self.context, job["id"])

    async def claim(self, job_id: uuid.UUID) -> Claim | None:
        async with self.context.database.transaction() as connection:
            return await jobs.claim(connection, job_id, token=uuid.uuid4(), lease_s=LEASE_S)

    async def run_and_die(self, job: Any, survived: int) -> Claim | None:
        """None where it got through."""
        dying = replace(self.context, extractor=_Deadly(self.context.extractor, survived), lease_s=LEASE_S)
        try:
            with contextlib.suppress(NotNow):
                await TASKS[job["kind"]](dying, job["id"])
        except _Died:
            [row] = await self.fetch("SELECT lease_token, attempt FROM job WHERE id = $1", job["id"])
            return Claim(job["id"], row["lease_token"], row["attempt"])
        return None

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
    failed: int = 0
    was_cancelled: bool = False
    is_to_end: bool = False
    """The client has asked for the end of what is under way."""
    told: object = None
    """What the results were last compared with."""

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]


class Life(RuleBasedStateMachine):
    workshop: ClassVar[_Workshop]
    seen: ClassVar[Counter[str]]

    @initialize(data=st.data(), kinds=KINDS, begun=st.sampled_from(["again", "over", "waiting"]))
    def open_shop(self, data: st.DataObject, kinds: list[str], begun: str) -> None:
        """With a batch that waits for workers, has been through them or is tried again, so that runs get far."""
        self.catalog = f"life-{uuid.uuid4().hex}"
        secret = self.workshop.do(self.workshop.add_client(self.catalog))
        self.api = self.workshop.api
        self.api.headers.update({"client-id": self.catalog, "client-secret": secret})
        self.batches: list[_Known] = []
        self.deaths: list[Claim] = []
        self.numbers = iter(range(10_000))
        self.post(data, [*kinds, "bad"] if begun == "again" else kinds)
        if begun != "waiting":
            self._get_through()
        if begun == "again":
            self.batches_are_as_told()
            self.retry(data)

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

    @rule(data=st.data(), kinds=KINDS)
    def post(self, data: st.DataObject, kinds: list[str]) -> None:
        """Made, filled and started at once."""
        files, good, bad = self._files(data, kinds)
        answer = self.api.post("/classifier/predict-batch", files=files)
        assert answer.status_code == 202, answer.text
        self.batches.append(_Known(f"/classifier/batches/{answer.json()['id']}", good, bad, answer.json()["state"]))

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), kinds=KINDS)
    def add(self, data: st.DataObject, kinds: list[str]) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        files, good, bad = self._files(data, kinds)
        answer = self.api.post(f"{batch.path}/files", files=files)
        assert answer.status_code == (201 if batch.state == "open" else 409), answer.text
        if batch.state == "open":
            batch.good |= good
            batch.bad |= bad

    def _files(self, data: st.DataObject, kinds: list[str]) -> tuple[list[Any], set[str], set[str]]:
        """As they are sent, and the names of the good and the bad ones."""
        files, good, bad = list[Any](), set[str](), set[str]()
        for kind in kinds:
            name = f"{next(self.numbers)}.wav"
            content = marked(clip(), PLAIN, number=data.draw(st.integers(0, CONTENTS - 1)))
            if kind == "zip":
                files.append(("files", (f"{name}.zip", zip_file({name: content}))))
            else:
                files.append(("files", (name, content if kind == "good" else b"no sound")))
            (bad if kind == "bad" else good).add(name)
        return files, good, bad

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        answer = self.api.post(f"{batch.path}/start")
        if batch.state != "open":
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == (202 if batch.good | batch.bad else 422), answer.text
            self._note_queued(batch, answer)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        answer = self.api.post(f"{batch.path}/cancel")
        assert answer.status_code == (409 if batch.state in BATCH_ENDED else 202), answer.text
        if answer.status_code == 202:
            batch.was_cancelled = batch.is_to_end = True

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        # Mostly where there is something to try again.
        having = [batch for batch in self.batches if batch.state in BATCH_ENDED and batch.failed]
        batch = data.draw(st.sampled_from([*having, *having, *having, *self.batches]))
        may = batch.state == "failed" or batch in having
        answer = self.api.post(f"{batch.path}/retry")
        assert answer.status_code == (202 if may else 409), answer.text
        self._note_queued(batch, answer)
        self.seen["retries"] += may

    def _note_queued(self, batch: _Known, answer: httpx.Response) -> None:
        """The two requests that make a batch wait for workers; it never does so by itself."""
        if answer.status_code == 202:
            assert answer.json()["state"] == "queued", answer.text
            batch.state, batch.is_to_end = "queued", False

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

    @rule(data=st.data(), jobs_max=st.sampled_from([1, 2, 12]))
    def work(self, data: st.DataObject, jobs_max: int) -> None:
        for _ in range(jobs_max):
            if (job := self._job(data)) is None:
                return
            self.workshop.do(self.workshop.run(job))

    def _get_through(self) -> None:
        """What workers do that are left alone."""
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

    @rule(data=st.data(), workers=st.sampled_from([1, 1, 2, 4, 8]), survived=st.none() | st.integers(0, 2))
    def die(self, data: st.DataObject, workers: int, survived: int | None) -> None:
        """So many workers, one after the other, take a job and are never seen again.

        `survived`: after so many files, or before they have begun anything.
        """
        if (job := self._job(data)) is None:
            return
        for nth in range(workers):
            if nth:
                self.pass_time()
            is_begun = survived is not None and job["kind"] == SHARD
            step = self.workshop.run_and_die(job, survived or 0) if is_begun else self.workshop.claim(job["id"])
            if held := self.workshop.do(step):
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
        if not getattr(self, "batches", ()):
            return
        everything = self.api.get("/classifier/batches?limit=100").json()["batches"]
        assert {told["id"] for told in everything} == {batch.id for batch in self.batches}
        for told in everything:
            batch = next(batch for batch in self.batches if batch.id == told["id"])
            assert told["state"] in _reachable(batch), f"from {batch.state} to {told['state']}"
            counts = told["counts"]
            batch.state, batch.failed = told["state"], counts["failed"]
            assert counts["succeeded"] + counts["failed"] + counts["cancelled"] <= counts["items"], counts
            if batch.state in BATCH_ENDED:
                assert counts["succeeded"] + counts["failed"] + counts["cancelled"] == counts["items"], counts
            if batch.told != (batch.state, counts):
                self._compare_results(batch, counts)
                batch.told = batch.state, counts

    def _compare_results(self, batch: _Known, counts: dict[str, int]) -> None:
        results = self._results(batch)
        assert len(results) == len(set(results)) == counts["succeeded"], (results, counts)
        assert set(results) <= batch.good

    @invariant()
    def items_end_as_they_must(self) -> None:
        """The good succeed and the bad fail, unless workers died of them or the client wanted an end."""
        if not getattr(self, "batches", ()):
            return
        deaths = Counter(held.job_id for held in self.deaths)
        attempts_max = self.workshop.context.attempts_max
        known = {batch.id: batch for batch in self.batches}
        names = dict[str, set[str]]()
        for item in self.workshop.do(self.workshop.fetch(_ITEMS, self.catalog)):
            batch, name = known[str(item["batch_id"])], item["external_id"]
            names.setdefault(batch.id, set()).add(name)
            if item["state"] == "succeeded":
                assert name in batch.good, item
            elif item["state"] == "cancelled":
                assert batch.was_cancelled, item
            elif item["state"] == "failed" and item["code"] in (None, AttemptsExhausted.code):
                # With its shard, or with a batch that was not cut into any.
                is_whole = item["batch_state"] == "failed"
                self.seen[f"items failed with their {'batch' if is_whole else 'shard'}"] += 1
                assert is_whole or item["code"] is not None, item
                assert deaths[item["job_id"] if is_whole else item["shard_id"]] >= attempts_max, item
            elif item["state"] == "failed":
                self.seen["items failed by themselves"] += 1
                assert item["code"] == "undecodable", item
                assert name in batch.bad, item
        for batch in self.batches:
            if batch.state == "completed":
                assert names[batch.id] == batch.good | batch.bad

    def _results(self, batch: _Known) -> list[str]:
        text = self.api.get(f"{batch.path}/results").text
        return [json.loads(line)["external_id"] for line in text.splitlines()]

    def teardown(self) -> None:
        """Left alone, the workers get through it: everything that was started ends, and nothing good is lost."""
        if not hasattr(self, "batches"):
            return
        self._get_through()
        self.promises_are_kept()
        for batch in self.batches:
            batch.told = None  # the results are compared whatever was told before
        self.batches_are_as_told()
        self.items_end_as_they_must()
        for batch in self.batches:
            assert self.api.get(batch.path).json()["state"] == batch.state
            assert batch.state == "open" or batch.state in BATCH_ENDED, batch
            assert batch.state != "cancelled" or batch.was_cancelled, batch


def _reachable(batch: _Known) -> set[str]:
    """A step may take a batch over several arrows, but for those that lead where only a client can send it."""
    found = {batch.state}
    clients_own = {"queued"} if batch.is_to_end else {"queued", "cancelled"}
    while further := {following for one in found for following in BATCH[one]} - clients_own - found:
        found |= further
    return found


def play(act: Act) -> Outcome:
    act.site.end_workers()
    outcome = Outcome(trials=act.size["runs"])
    Life.seen = Counter()
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
    # Each as often as it was looked at.
    outcome.notes.append(", ".join(f"{count} {what}" for what, count in sorted(Life.seen.items())))
    return outcome


@contextlib.contextmanager
def _open(site: Site) -> Iterator[None]:
    Life.workshop = _Workshop(site)
    try:
        yield
    finally:
        Life.workshop.close()


SCENARIO = Scenario(
    "R23", "a Hypothesis state machine over the life cycle", play, full={"runs": 1_000}, short={"runs": 15}
)
