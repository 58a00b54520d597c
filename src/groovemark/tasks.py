"""Every job kind, once: kind -> handler, in lanes that do not wait for each other."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from groovemark.classifier import kinds, tasks
from groovemark.classifier.prepare_audio import SHARD_ITEMS
from groovemark.context import Context
from groovemark.db import webhooks
from groovemark.webhooks.tasks import deliver

Task = Callable[[Context, uuid.UUID], Awaitable[None]]


@dataclass(frozen=True)
class Lane:
    """`at_once`: so many of its jobs a worker with so many processes for audio runs."""

    tasks: Mapping[str, Task]
    at_once: Callable[[int], int]


def shards_at_once(processes: int) -> int:
    """So many that the processes always have a file waiting, and one more that is beginning or recording.

    Not more: another client's shard begins when one of these ends.
    """
    return 1 + -(-2 * processes // SHARD_ITEMS)


def _beside_others(task: Task) -> Task:
    """Not while another of the worker's jobs tries what may end it: it would be blamed, too."""

    async def run(context: Context, job_id: uuid.UUID) -> None:
        async with context.solitude.shared():
            await task(context, job_id)

    return run


MESSAGES_AT_ONCE = 8
LANES = (
    # A table of a million rows takes a worker's cores for minutes: with two places a short one need not wait for it.
    Lane({kinds.CLASSIFY: _beside_others(tasks.begin), kinds.EXPORT: _beside_others(tasks.export)}, lambda _: 2),
    # Short, but for a large zip.
    Lane({kinds.PREPARE: _beside_others(tasks.begin)}, lambda _: 2),
    Lane({kinds.SHARD: _beside_others(tasks.shard)}, shards_at_once),
    # They wait for other people's servers, and nothing waits for them.
    Lane({webhooks.JOB_KIND: deliver}, lambda _: MESSAGES_AT_ONCE),
)
