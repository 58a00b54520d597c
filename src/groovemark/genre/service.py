"""Which genres there are, and their titles in constant memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from groovemark.db import listings, models
from groovemark.db.clients import Caller
from groovemark.db.listings import TitleKey
from groovemark.db.models import DEFAULT_TASK
from groovemark.dependencies import Services
from groovemark.errors import RequestRejected, shorten

GENRES_ALWAYS_KNOWN = (
    "metal",
    "folk",
    "jazz and blues",
    "soul and reggae",
    "classic pop and rock",
    "punk",
    "dance and electronica",
    "pop",
)
"""The eight that integrations ask for, whether or not a model with them is installed."""

TITLES_A_READ = 5_000


async def find_label(services: Services, caller: Caller, *, task: str, name: str) -> str:
    """The label as the models write it. Raises RequestRejected, naming the valid ones."""
    async with services.database.transaction() as connection:
        known = await models.active(connection, catalog_id=caller.catalog_id, task=task)
    labels = {label for model in known for label in model.labels}
    if task == DEFAULT_TASK:
        labels |= set(GENRES_ALWAYS_KNOWN)
    if name in labels:
        return name
    # `FOLK` means the folk of every integration before it means another model's Folk.
    for label in (*GENRES_ALWAYS_KNOWN, *sorted(labels)):
        if label in labels and label.casefold() == name.casefold():
            return label
    raise RequestRejected(f"There is no {task} '{shorten(name)}'; valid are {', '.join(sorted(labels)) or 'none yet'}.")


async def all_titles(services: Services, caller: Caller, *, task: str, label: str) -> AsyncIterator[str]:
    """The whole answer, piece by piece; no connection is held while the client reads."""
    yield f'{{"status":"success","status_code":200,"genre":{json.dumps(label)},"titles":['
    after: TitleKey | None = None
    separator = ""
    while True:
        async with services.database.transaction() as connection:
            page = await listings.titles(
                connection,
                catalog_id=caller.catalog_id,
                task=task,
                label=label,
                after=after,
                limit=TITLES_A_READ,
            )
        if page:
            yield separator + ",".join(json.dumps(key.title, ensure_ascii=False) for key in page)
            separator, after = ",", page[-1]
        if len(page) < TITLES_A_READ:
            yield "]}"
            return
