"""Which model classifies a batch."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db import models
from groovemark.db.clients import Caller
from groovemark.db.models import AUDIO_DEFAULT, ModelRow
from groovemark.errors import RequestRejected, shorten


async def choose_model(
    connection: AsyncConnection, caller: Caller, *, kind: str, task: str, name: str | None
) -> ModelRow | None:
    """The model asked for, or the one for audio; None leaves it to the CSV's header."""
    known = await models.active(connection, catalog_id=caller.catalog_id, task=task)
    if not known:
        tasks = await models.tasks(connection, catalog_id=caller.catalog_id)
        asked = shorten(task)
        raise RequestRejected(f"No model does the task '{asked}'; there are models for {', '.join(tasks)}.")
    if name is not None:
        chosen = _named(known, name)
        if kind == "audio" and not chosen.takes_audio:
            raise RequestRejected(f"The model {chosen.full_name} takes CSV tables, not audio.")
        if kind == "csv" and not chosen.takes_tables:
            raise RequestRejected(f"The model {chosen.full_name} takes audio, not CSV tables.")
        return chosen
    if kind == "csv":
        if not any(model.takes_tables for model in known):
            raise RequestRejected(f"No model of the task '{task}' takes CSV tables.")
        return None
    for_audio = [model for model in known if model.takes_audio]
    if not for_audio:
        raise RequestRejected(f"No model of the task '{task}' takes audio.")
    return next((model for model in for_audio if model.alias == AUDIO_DEFAULT), for_audio[0])


def _named(known: list[ModelRow], name: str) -> ModelRow:
    for model in known:
        if name in (model.name, model.full_name):
            return model
    names = ", ".join(model.full_name for model in known)
    raise RequestRejected(f"There is no model '{shorten(name)}' for this task; installed are {names}.")
