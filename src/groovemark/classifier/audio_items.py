"""Which files an audio batch consists of, and what they are called."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy import RowMapping

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
    """Unpack the list of every zip, apply the manifest, and return the items still to do. Safe to repeat.

    Raises InputRejected or TooLarge when a zip or the manifest cannot be used.
    """
    members = {
        upload["number"]: await asyncio.to_thread(
            list_members, context.storage.path(upload["sha256"]), context.archive_limits
        )
        for upload in uploads
        if upload["field"] == "files" and upload["format"] == "zip"
    }
    manifest = await _read_manifest(context, uploads)
    async with context.database.transaction() as connection:
        await jobs.hold(connection, lease.claim)
        for number, names in members.items():
            items = [NewItem(name, None, number, member=name) for name in names]
            await batches.append_items(connection, batch["id"], number, items)
        pending = await batches.pending_items(connection, batch["id"])
        if not manifest:
            return pending
        named = {item["file"] for item in pending}
        for item in pending:
            entry = manifest.get(item["file"])
            if entry is not None:
                await batches.name_item(
                    connection,
                    batch["id"],
                    item["position"],
                    external_id=entry.external_id or item["file"],
                    title=entry.title,
                )
        if lease.claim.attempt == 1:
            unmatched = [
                (None, Fault(UNMATCHED_CODE, "the manifest names a file that the batch does not hold", item=file))
                for file in manifest
                if file not in named
            ]
            raw = await raw_connection(connection)
            await predictions.add_faults(raw, batch["id"], unmatched, severity="warning")
        return await batches.pending_items(connection, batch["id"])


async def _read_manifest(context: Context, uploads: Sequence[RowMapping]) -> Mapping[str, ManifestEntry]:
    for upload in uploads:
        if upload["field"] == "manifest":
            path = context.storage.path(upload["sha256"])
            return await asyncio.to_thread(read_manifest, path, limits=context.csv_limits)
    return {}
