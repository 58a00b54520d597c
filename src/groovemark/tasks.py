"""Every job kind, once: kind -> handler."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping

from groovemark.classifier import kinds, tasks
from groovemark.context import Context

TASKS: Mapping[str, Callable[[Context, uuid.UUID], Awaitable[None]]] = {
    kinds.CLASSIFY: tasks.classify,
    kinds.EXPORT: tasks.export,
}
