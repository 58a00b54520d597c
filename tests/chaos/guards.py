"""The guard without which each scenario must break."""

from __future__ import annotations

from tests.guards.guard import SOURCE, Guard, Piece

EXPIRED = "(state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp()))"
LEASE_END = "lease_until = clock_timestamp() + make_interval(secs => :lease_s)"
LEASE_END_BY_WORKER = (
    'lease_until = to_timestamp(""" + str(__import__(\'time\').time()) + """) + make_interval(secs => :lease_s)'
)
HEARTBEAT_OF_ITS_OWN = """id = :id AND lease_token = :token AND state = 'running'
            RETURNING cancel_requested"""
MANAGER = "        manager = QueueManager(Queries(AsyncpgDriver(connection)))\n"
WITHOUT_ITS_HEARTBEATS = 'setattr(manager.queries, "update_heartbeat", lambda _: asyncio.sleep(0))'

GUARDS = (
    Guard(
        "R1", "a job whose lease has ended may be claimed", Piece(f"{SOURCE}db/jobs.py", EXPIRED, "state = 'queued'")
    ),
    Guard(
        "R2",
        "the sweep of what nobody refers to",
        Piece(f"{SOURCE}upkeep.py", "{**_CHORES, **(_STORE_CHORES if with_store else {})}", "_CHORES"),
        is_long=True,
    ),
    Guard(
        "R3",
        "results are written under the lease's token alone",
        Piece(
            f"{SOURCE}db/jobs.py",
            "WHERE id = :id AND lease_token = :token AND state = 'running' FOR UPDATE",
            "WHERE id = :id FOR UPDATE",
        ),
        behind=(
            Piece(
                f"{SOURCE}db/jobs.py",
                HEARTBEAT_OF_ITS_OWN,
                HEARTBEAT_OF_ITS_OWN.replace(" AND lease_token = :token AND state = 'running'", ""),
            ),
        ),
    ),
    Guard(
        "R4", "a job whose lease has ended may be claimed", Piece(f"{SOURCE}db/jobs.py", EXPIRED, "state = 'queued'")
    ),
    Guard(
        "R6",
        "heartbeats",
        Piece(f"{SOURCE}lease.py", "await asyncio.sleep(pause_s)", "await asyncio.sleep(1e6)"),
        # The library's own keep its row from being picked again.
        behind=(Piece(f"{SOURCE}queue/queue.py", MANAGER, f"{MANAGER}        {WITHOUT_ITS_HEARTBEATS}\n"),),
    ),
    Guard(
        "R7",
        "the queue's connection is opened again",
        Piece(
            f"{SOURCE}queue/queue.py", "        except _LOST as error:", "        except ZeroDivisionError as error:"
        ),
    ),
    Guard(
        "R8",
        "what tells of the server's state is told from an error of the statement",
        Piece(f"{SOURCE}db/session.py", '_PASSING = ("08", "25P03", "40", "53", "57P")', '_PASSING = ("99",)'),
    ),
    Guard(
        "R9",
        "a batch and the answer to its key are one transaction",
        Piece(f"{SOURCE}classifier/service.py", "        await once.record(connection, answers.accepted(row))\n"),
    ),
    Guard(
        "R10",
        "readiness has a limit of time",
        Piece(f"{SOURCE}db/session.py", "timeout=CURRENT_WITHIN_S", "timeout=3600"),
    ),
    Guard(
        "R11",
        "a decoder's crash is its file's failure",
        Piece(
            f"{SOURCE}ml/audio/sandbox.py",
            'return AudioRejected("decoder_crashed", f"The decoder ended',
            'return ServiceError(f"The decoder ended',
        ),
    ),
    Guard(
        "R12",
        "one file's rejection is kept apart from its neighbours",
        Piece(
            f"{SOURCE}ml/features/file_extractor.py",
            "        except AudioRejected as error:\n            return error",
            "        except ZeroDivisionError as error:\n            return error",
        ),
    ),
    Guard(
        "R13",
        "what was half received is removed",
        Piece(f"{SOURCE}storage/base.py", "        self.path.unlink(missing_ok=True)\n", "        self.path.touch()\n"),
    ),
    Guard(
        "R14", "the claim of the key", Piece(f"{SOURCE}idempotency.py", "    key = _key(request)\n", "    key = None\n")
    ),
    Guard(
        "R15",
        "the comparison of fingerprints",
        Piece(f"{SOURCE}idempotency.py", "    if asked != done.fingerprint:\n        raise KeyReused\n"),
    ),
    Guard(
        "R16",
        "items of the same bytes point to the first",
        Piece(
            f"{SOURCE}classifier/prepare_audio.py",
            '        await preparing.link_equal_content(raw, batch["id"], known)\n',
            "        del known\n",
        ),
    ),
    Guard(
        "R17",
        "a cancel stops the work on a shard",
        Piece(
            f"{SOURCE}lease.py",
            "        return self.is_cancelled or self.is_lost or self._stopping.is_set()",
            "        return self.is_lost or self._stopping.is_set()",
        ),
    ),
    Guard("R19", "the attempt is given back", Piece(f"{SOURCE}db/jobs.py", ", attempt = attempt - 1,", ",")),
    Guard(
        "R20",
        "a full queue takes nothing",
        Piece(f"{SOURCE}backpressure.py", "        await self._read()\n", "        return\n"),
    ),
    Guard(
        "R21",
        "clients take turns",
        Piece(f"{SOURCE}queue/queue.py", "[-job.turn for job in some]", "[0] * len(some)"),
    ),
    Guard(
        "R22",
        "a batch goes whole, with all that belongs to it",
        Piece(
            f"{SOURCE}db/retention.py",
            '    await connection.execute(text("DELETE FROM batch WHERE id = :id"), {"id": batch_id})\n',
        ),
    ),
    Guard(
        "R23",
        "counts go with the items that wait again",
        Piece(f"{SOURCE}db/items.py", "items_failed - (SELECT count(*) FROM again)", "items_failed"),
    ),
    Guard(
        "R24",
        "batches without a job get one when the schema goes back",
        Piece(
            "migrations/versions/0002_shards.py",
            "FROM batch WHERE job_id IS NULL RETURNING id)",
            "FROM batch WHERE false RETURNING id)",
        ),
    ),
    Guard("R25", "leases end by the database's clock", Piece(f"{SOURCE}db/jobs.py", LEASE_END, LEASE_END_BY_WORKER)),
)
