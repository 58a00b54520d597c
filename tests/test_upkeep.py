"""What the workers see to: what nobody needs goes, what somebody needs stays, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import functools
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import RowMapping, text

from groovemark import upkeep
from groovemark.cli.db import upgrade_schema
from groovemark.db import batches, clients, items, jobs, result_files, retention
from groovemark.db.batches import NewBatch, NewUpload
from groovemark.db.clients import Caller
from groovemark.db.items import NewItem
from groovemark.db.session import Database, connect, raw_connection
from groovemark.errors import StorageUnavailable
from groovemark.keeping import check_kept
from groovemark.queue import queue
from groovemark.storage.local import LocalStorage
from groovemark.upkeep import Upkeep
from tests.conftest import Server

KEPT_DAYS = 30.0


@pytest.fixture(scope="module")
def database_uri(postgres: Server) -> str:
    """Of its own: chores look at everything."""
    uri = postgres.create_database()
    upgrade_schema(uri)
    return uri


@dataclass
class House:
    """A database and a store with what tests put there."""

    database: Database
    storage: LocalStorage
    caller: Caller

    @property
    def upkeep(self) -> Upkeep:
        return Upkeep(self.database, self.storage, lease_s=1, uploads_kept_days=KEPT_DAYS, batches_kept_days=KEPT_DAYS)

    def put(self, content: bytes, *, age_s: float = 0) -> str:
        with self.storage.receive() as incoming:
            incoming.write(content)
            self.storage.commit([incoming])
        path = self.storage.path(incoming.stored.sha256)
        modified = path.stat().st_mtime - age_s
        os.utime(path, (modified, modified))
        return incoming.stored.sha256

    async def batch(self, *sha256s: str, state: str = "completed", days: float = 0) -> uuid.UUID:
        """With an upload and an item for each object; opened, and where that is its state ended, days ago."""
        caller = self.caller
        new = NewBatch(caller.catalog_id, caller.client_id, "audio", "genre", "reject", None, None)
        uploads = [NewUpload("files", f"{number}.wav", sha, 1, "wav") for number, sha in enumerate(sha256s)]
        async with self.database.transaction() as connection:
            batch_id = await batches.create(connection, new)
            await batches.add_uploads(connection, batch_id, uploads)
            names = [NewItem(upload.file_name, None, number) for number, upload in enumerate(uploads)]
            await items.append(connection, batch_id, names)
            await batches.add_counts(connection, batch_id, total=len(names))
        await self.do(
            """UPDATE batch SET state = :state, created_at = now() - make_interval(secs => :s),
               finished_at = CASE WHEN :state <> 'open' THEN now() - make_interval(secs => :s) END WHERE id = :id""",
            id=batch_id,
            state=state,
            s=days * 86_400,
        )
        await self.do(
            "UPDATE upload SET created_at = now() - make_interval(secs => :s) WHERE batch_id = :id",
            id=batch_id,
            s=days * 86_400,
        )
        return batch_id

    async def do(self, statement: str, **values: object) -> Sequence[RowMapping]:
        async with self.database.transaction() as connection:
            found = await connection.execute(text(statement), values)
            return found.mappings().all() if found.returns_rows else []

    async def find(self, batch_id: uuid.UUID) -> RowMapping | None:
        async with self.database.transaction() as connection:
            return await batches.get(connection, batch_id)

    def there(self, sha256: str) -> bool:
        return not self.storage.missing([sha256])


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    name = f"client-{uuid.uuid4()}"
    async with database.transaction() as connection:
        secret = await clients.add(connection, name, catalog=name)
        caller = await clients.authenticate(connection, name, secret)
    assert caller is not None
    yield House(database, LocalStorage(tmp_path), caller)
    async with database.transaction() as connection:
        await connection.execute(text("TRUNCATE batch, job, batch_item, worker, pgqueuer, pgqueuer_log CASCADE"))


async def test_file_that_nobody_refers_to_goes_after_an_hour(house: House) -> None:
    orphan, fresh = house.put(b"orphan", age_s=4000), house.put(b"fresh")
    needed, result = house.put(b"needed", age_s=4000), house.put(b"result", age_s=4000)
    batch_id = await house.batch(needed)
    async with house.database.transaction() as connection:
        job = await jobs.create(connection, kind="export_results", catalog_id=house.caller.catalog_id)
        await result_files.request(connection, batch_id, "parquet", job_id=job.id)
        await result_files.complete(connection, job.id, sha256=result, size_bytes=6)
    assert await upkeep.sweep_orphans(house.upkeep) == 1
    assert [house.there(sha256) for sha256 in (orphan, fresh, needed, result)] == [False, True, True, True]


async def test_upload_of_bytes_that_are_being_swept_is_recorded_whole_or_not_at_all(house: House) -> None:
    """The file is old and of no batch; a request that brings it again is between the store and the database."""
    kept, lost = house.put(b"kept", age_s=4000), house.put(b"lost", age_s=4000)
    async with house.database.transaction() as connection:
        await check_kept(connection, house.storage, [kept])
        sweeping = asyncio.create_task(upkeep.sweep_orphans(house.upkeep))
        await asyncio.sleep(0.3)
        assert house.there(kept)
        new = NewBatch(house.caller.catalog_id, house.caller.client_id, "audio", "genre", "reject", None, None)
        batch_id = await batches.create(connection, new)
        await batches.add_uploads(connection, batch_id, [NewUpload("files", "a.wav", kept, 4, "wav")])
    assert await sweeping == 1
    assert house.there(kept)
    async with house.database.transaction() as connection:
        with pytest.raises(StorageUnavailable):
            await check_kept(connection, house.storage, [lost])


async def test_half_uploads_go_after_a_day(house: House) -> None:
    old, new = house.storage.incoming / "old", house.storage.incoming / "new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert await upkeep.sweep_halves(house.upkeep) == 1
    assert list(house.storage.incoming.iterdir()) == [new]


async def test_uploads_go_when_their_batch_ended_long_ago_and_no_other_needs_them(house: House) -> None:
    alone, shared = house.put(b"alone", age_s=9e6), house.put(b"shared", age_s=9e6)
    old = await house.batch(alone, shared, days=KEPT_DAYS + 1)
    new = await house.batch(shared, days=KEPT_DAYS - 1)
    running = await house.batch(house.put(b"running", age_s=9e6), state="running", days=KEPT_DAYS + 1)
    assert await upkeep.give_up_uploads(house.upkeep) == 1
    assert await upkeep.sweep_orphans(house.upkeep) == 1
    assert [house.there(sha256) for sha256 in (alone, shared)] == [False, True]
    given_up = {row["id"]: row["uploads_removed_at"] is not None for row in await house.do("SELECT * FROM batch")}
    assert given_up == {old: True, new: False, running: False}
    assert len(await house.do("SELECT 1 FROM upload WHERE batch_id = :id", id=old)) == 2
    assert await upkeep.give_up_uploads(house.upkeep) == 0


async def test_batch_goes_whole_after_its_time_and_what_is_known_of_its_tracks_stays(house: House) -> None:
    old = await house.batch(house.put(b"old", age_s=4000), days=KEPT_DAYS + 1)
    new = await house.batch(house.put(b"new"), days=KEPT_DAYS - 1)
    for number, batch_id in enumerate((old, new)):
        async with house.database.transaction() as connection:
            catalog_id = house.caller.catalog_id
            mine = await jobs.create(connection, kind="classify", catalog_id=catalog_id, batch_id=batch_id)
            export = await jobs.create(connection, kind="export_results", catalog_id=catalog_id)
            await result_files.request(connection, batch_id, "parquet", job_id=export.id)
        await house.do("UPDATE batch SET job_id = :job WHERE id = :id", job=mine.id, id=batch_id)
        await house.do(
            """INSERT INTO prediction (batch_id, position, track_id, model_version_id, label, confidence, probabilities)
               VALUES (:id, 0, :track, 1, 'folk', 1, '{1}')""",
            id=batch_id,
            track=number,
        )
        await house.do(
            """INSERT INTO batch_fault (batch_id, number, severity, code, message)
               VALUES (:id, 1, 'error', 'x', 'y')""",
            id=batch_id,
        )
    [track] = await house.do(
        "INSERT INTO track (catalog_id, external_id, title) VALUES (:c, 'a', 'b') RETURNING id",
        c=house.caller.catalog_id,
    )
    assert await upkeep.remove_batches(house.upkeep) == 1
    for table, key in (
        ("batch", "id"),
        ("batch_item", "batch_id"),
        ("batch_fault", "batch_id"),
        ("prediction", "batch_id"),
        ("upload", "batch_id"),
        ("result_file", "batch_id"),
    ):
        left = await house.do(f"SELECT DISTINCT {key} AS id FROM {table} WHERE {key} IN (:old, :new)", old=old, new=new)
        assert [row["id"] for row in left] == [new], table
    assert len(await house.do("SELECT 1 FROM job")) == 2
    assert await house.do("SELECT 1 FROM track WHERE id = :id", id=track["id"])
    assert await upkeep.sweep_orphans(house.upkeep) == 1


async def test_batch_that_is_run_again_meanwhile_stays(house: House) -> None:
    batch_id = await house.batch(days=KEPT_DAYS + 1)
    await house.do("UPDATE batch SET state = 'queued', finished_at = NULL WHERE id = :id", id=batch_id)
    async with house.database.transaction() as connection:
        assert not await retention.remove_batch(connection, batch_id, after_days=KEPT_DAYS)
    assert await house.find(batch_id) is not None


async def test_what_is_kept_for_ever_stays(house: House) -> None:
    chores = replace(house.upkeep, uploads_kept_days=None, batches_kept_days=None)
    ended = await house.batch(house.put(b"x", age_s=9e9), days=9999)
    opened = await house.batch(state="open", days=9999)
    done = await upkeep.run_once(chores)
    assert not any(done.values())
    for batch_id, state in ((ended, "completed"), (opened, "open")):
        row = await house.find(batch_id)
        assert row is not None
        assert (row["state"], row["uploads_removed_at"]) == (state, None)


async def test_batch_that_was_opened_and_never_started_is_cancelled(house: House) -> None:
    old = await house.batch(house.put(b"old"), state="open", days=KEPT_DAYS + 1)
    growing = await house.batch(house.put(b"growing"), state="open", days=KEPT_DAYS + 1)
    await house.do("UPDATE upload SET created_at = now() WHERE batch_id = :id", id=growing)
    assert await upkeep.cancel_abandoned(house.upkeep) == 1
    row, other = await house.find(old), await house.find(growing)
    assert row is not None
    assert other is not None
    assert (row["state"], row["items_cancelled"], other["state"]) == ("cancelled", 1, "open")


async def test_idempotency_keys_go_after_a_day(house: House) -> None:
    for key, hours in (("old", 25), ("new", 23)):
        await house.do(
            """INSERT INTO idempotency_key (client_id, key, token, running_until, created_at)
               VALUES (:client, :key, gen_random_uuid(), now() - interval '1 minute',
                       now() - make_interval(hours => :hours))""",
            client=house.caller.client_id,
            key=key,
            hours=hours,
        )
    assert await upkeep.forget_keys(house.upkeep) == 1
    assert [row["key"] for row in await house.do("SELECT key FROM idempotency_key")] == ["new"]


async def test_workers_that_died_are_forgotten(house: House) -> None:
    for minutes in (61, 59):
        await house.do(
            """INSERT INTO worker (id, host, pid, heartbeat_at)
               VALUES (gen_random_uuid(), 'here', :minutes, now() - make_interval(mins => :minutes))""",
            minutes=minutes,
        )
    assert await upkeep.forget_workers(house.upkeep) == 1
    assert [row["pid"] for row in await house.do("SELECT pid FROM worker")] == [59]


async def test_log_and_held_rows_of_the_queue_go(house: House) -> None:
    await house.do(
        """INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint)
           SELECT now() - make_interval(hours => hours), hours, 'successful', 0, 'x'
           FROM unnest('{23, 25}'::int[]) AS hours"""
    )
    await house.do(
        """INSERT INTO pgqueuer (priority, status, entrypoint, updated)
           SELECT 0, status::pgqueuer_status, 'x', now() - interval '2 days'
           FROM unnest('{failed, queued}'::text[]) AS status"""
    )
    assert await upkeep.clear_queue(house.upkeep) == 2
    assert [row["job_id"] for row in await house.do("SELECT job_id FROM pgqueuer_log")] == [23]
    assert [row["status"] for row in await house.do("SELECT status FROM pgqueuer")] == ["queued"]


async def test_jobs_that_the_queue_has_lost_are_queued_again(house: House) -> None:
    made = {}
    async with house.database.transaction() as connection:
        for name in ("waiting", "running", "leased", "ended", "in the queue"):
            made[name] = await jobs.create(connection, kind="classify", catalog_id=house.caller.catalog_id)
        await queue.enqueue(await raw_connection(connection), "classify", [made["in the queue"]])
    await house.do("UPDATE job SET created_at = now() - interval '1 hour'")
    for name, state, lease in (
        ("running", "running", "-1 hour"),
        ("leased", "running", "1 hour"),
        ("ended", "succeeded", "-1 hour"),
    ):
        await house.do(
            "UPDATE job SET state = :state, lease_until = now() + CAST(:lease AS text)::interval WHERE id = :id",
            state=state,
            lease=lease,
            id=made[name].id,
        )
    assert await upkeep.queue_forgotten(house.upkeep) == 2
    queued = [uuid.UUID(bytes=row["payload"]) for row in await house.do("SELECT payload FROM pgqueuer")]
    assert sorted(queued) == sorted(made[name].id for name in ("waiting", "running", "in the queue"))
    assert await upkeep.queue_forgotten(house.upkeep) == 0


async def test_one_of_several_leads_and_another_when_it_has_ended(house: House, database_uri: str) -> None:
    async def hold() -> asyncio.Task[None]:
        opened = functools.partial(connect, database_uri)
        return asyncio.create_task(upkeep.keep_up(house.upkeep, opened, every_s=0.05, sweep_every_s=0.05))

    keepers = [await hold() for _ in range(2)]
    try:
        async with asyncio.timeout(20):
            for keeper in keepers:
                orphan = house.put(b"orphan", age_s=4000)
                while house.there(orphan):  # noqa: ASYNC110  it is on the disk
                    await asyncio.sleep(0.02)
                leads = await house.do(
                    """
                    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
                    WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND datname = current_database()
                    """
                )
                assert len(leads) == 1
                if keeper is keepers[0]:
                    await house.do("SELECT pg_terminate_backend(:pid)", pid=leads[0]["pid"])
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)


async def test_chore_that_fails_keeps_no_other_from_its_turn(house: House, tmp_path: Path) -> None:
    orphan = house.put(b"orphan", age_s=4000)
    house.storage.incoming.rmdir()  # the sweep of half uploads cannot begin
    done = await upkeep.run_once(house.upkeep)
    assert "half uploads removed" not in done
    (tmp_path / "incoming").mkdir()
    assert (await upkeep.run_once(house.upkeep))["files that nobody refers to removed"] == 1
    assert not house.there(orphan)
