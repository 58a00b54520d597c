"""Which files an audio batch consists of, and what they are called."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.context import Context
from groovemark.db import batches, jobs, predictions
from groovemark.db.batches import NewItem
from groovemark.db.session import raw_connection
from groovemark.errors import Fault
from groovemark.ingest.archive import list_members
from groovemark.ingest.manifest import ManifestEntry, read_manifest
from groovemark.lease import Lease

UNMATCHED_CODE = "manifest_without_file"


async def prepare_items(
    context: Context, batch: RowMapping, uploads: Sequence[RowMapping], lease: Lease
) -> Sequence[RowMapping]:
    """The items still to do. The first attempt lists every zip, applies the manifest and settles equal ids.

    Raises InputRejected or TooLarge when a zip or the manifest cannot be used.
    """
    if batch["is_prepared"]:
        async with context.database.transaction() as connection:
            return await batches.pending_items(connection, batch["id"])
    members = [item for upload in uploads for item in await _members(context, upload)]
    manifest = await _read_manifest(context, uploads)
    async with context.database.transaction() as connection:
        await jobs.hold(connection, lease.claim)
        await batches.append_items(connection, batch["id"], members)
        await _apply(connection, batch["id"], manifest)
        await _settle_equal_ids(connection, batch["id"])
        await batches.set_prepared(connection, batch["id"])
        return await batches.pending_items(connection, batch["id"])


async def _members(context: Context, upload: RowMapping) -> list[NewItem]:
    """The files of a zip; nothing for any other upload."""
    if upload["field"] != "files" or upload["format"] != "zip":
        return []
    path = context.storage.path(upload["sha256"])
    names = await asyncio.to_thread(list_members, path, context.archive_limits)
    return [NewItem(name, None, upload["number"], member=name) for name in names]


async def _apply(connection: AsyncConnection, batch_id: uuid.UUID, manifest: Mapping[str, ManifestEntry]) -> None:
    """Ids and titles from the manifest; what it names and the batch lacks becomes a warning."""
    items = await batches.pending_items(connection, batch_id)
    for item in items:
        entry = manifest.get(item["file"])
        if entry is not None:
            external_id = entry.external_id or item["file"]
            await batches.name_item(connection, batch_id, item["position"], external_id=external_id, title=entry.title)
    missing = set(manifest) - {item["file"] for item in items}
    warnings = [
        (None, Fault(UNMATCHED_CODE, "the manifest names a file that the batch does not hold", item=file))
        for file in sorted(missing)
    ]
    raw = await raw_connection(connection)
    await predictions.add_faults(raw, batch_id, warnings, severity="warning")


async def _settle_equal_ids(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """Two files of one id would silently be one track: the last is taken, the others fail and say why."""
    last: dict[str, int] = {}
    items = await batches.pending_items(connection, batch_id)
    for item in items:
        last[item["external_id"]] = item["position"]
    message = "a later file of the batch has the same id; give each an id of its own with a manifest"
    faults = []
    for item in items:
        if last[item["external_id"]] != item["position"]:
            await batches.fail_item(connection, batch_id, item["position"])
            fault = Fault(predictions.DUPLICATE_CODE, message, item=item["external_id"])
            faults.append((item["position"], fault))
    await predictions.add_faults(await raw_connection(connection), batch_id, faults)
    await batches.add_counts(connection, batch_id, failed=len(faults))


async def _read_manifest(context: Context, uploads: Sequence[RowMapping]) -> Mapping[str, ManifestEntry]:
    for upload in uploads:
        if upload["field"] == "manifest":
            path = context.storage.path(upload["sha256"])
            return await asyncio.to_thread(read_manifest, path, limits=context.csv_limits)
    return {}
