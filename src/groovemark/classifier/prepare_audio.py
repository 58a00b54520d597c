"""Which files an audio batch consists of, their names and which are copies of others; then it is cut into shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier.ending import end_batch
from groovemark.classifier.kinds import SHARD
from groovemark.context import Context
from groovemark.db import batches, items, jobs, preparing, shards
from groovemark.db.items import NewItem
from groovemark.db.preparing import Archive
from groovemark.db.session import raw_connection
from groovemark.errors import InputRejected
from groovemark.ingest.archive import Member, hash_members, list_members
from groovemark.ingest.manifest import ManifestEntry, read_manifest
from groovemark.lease import Lease
from groovemark.queue import queue

SHARD_ITEMS = 8
"""Few enough that another client's batch soon finds a free place, enough that a transaction is worth its price."""

_BLOCK_ROWS = 10_000
_LOW = np.uint64(0xFFFFFFFF)
_NONE = np.empty(0, dtype=np.uint64)


async def prepare_audio(context: Context, batch: RowMapping, lease: Lease) -> None:
    """Raises InputRejected or TooLarge when a zip or the manifest cannot be used."""
    is_retry = batch["is_prepared"]
    if not is_retry:
        await _settle_items(context, batch, lease)
    async with context.database.transaction() as connection:
        if await jobs.hold(connection, lease.claim):
            lease.is_cancelled = True
        lease.check()
        raw = await raw_connection(connection)
        if is_retry:
            failed = await preparing.settle_equal_ids(raw, batch["id"])
            await batches.add_counts(connection, batch["id"], failed=failed)
        work = await shards.create(connection, batch, kind=SHARD, items_each=SHARD_ITEMS)
        await queue.enqueue(raw, SHARD, work)
        await jobs.finish(connection, lease.claim, "succeeded")
        if state := await batches.end_reached(connection, batch["id"]):
            await end_batch(connection, batch["id"], state)


async def _settle_items(context: Context, batch: RowMapping, lease: Lease) -> None:
    """Zips are listed twice, first to check them all: the names of a million members are never in memory at once."""
    async with context.database.transaction() as connection:
        raw = await raw_connection(connection)
        archives = await preparing.archives(raw, batch["id"])
        upload_sizes = await preparing.upload_sizes(raw, batch["id"]) if archives else ()
        manifests = await preparing.manifests(raw, batch["id"])
    contents = _Contents(upload_sizes)
    for archive in archives:
        lease.check()
        contents.add(await _members(context, archive))
    urls = sum([await asyncio.to_thread(_count_urls, context, sha256) for sha256 in manifests])
    copies = await _hash_alike(context, archives, contents, lease)
    async with context.database.transaction() as connection:
        await jobs.hold(connection, lease.claim)
        raw = await raw_connection(connection)
        first = await items.append(connection, batch["id"], [])
        for archive in archives:
            members = await _members(context, archive)
            await items.append(connection, batch["id"], (_item(archive, member) for member in members))
        await _apply_manifests(context, connection, batch, manifests)
        if not (total := first + sum(contents.lengths) + urls):
            raise InputRejected("The batch has no file: none was sent, and the manifest names no URL.")
        failed = await preparing.settle_equal_ids(raw, batch["id"])
        known = ((first + index, sha256) for index, sha256 in copies.items())
        await preparing.link_equal_content(raw, batch["id"], known)
        await batches.add_counts(connection, batch["id"], total=total - first, failed=failed)
        await batches.set_prepared(connection, batch["id"])


def _item(archive: Archive, member: Member) -> NewItem:
    return NewItem(member.name, None, archive.number, member=member.name)


class _Contents:
    """Which members of zips may be copies: equal in size and checksum to another, or in size to an upload."""

    def __init__(self, upload_sizes: Collection[int]) -> None:
        self._upload_sizes = np.array(sorted(upload_sizes), dtype=np.uint64) & _LOW
        self._sums: list[NDArray[np.uint64]] = []  # of each zip's members in order, 8 bytes each

    @property
    def lengths(self) -> list[int]:
        return [len(own) for own in self._sums]

    def add(self, members: Sequence[Member]) -> None:
        """The members of the next zip."""
        sizes = np.array([member.size_bytes for member in members], dtype=np.uint64) & _LOW
        self._sums.append(sizes << np.uint64(32) | np.array([member.crc32 for member in members], dtype=np.uint64))

    def alike(self) -> Iterator[list[int]]:
        """For each zip, the indices among its members."""
        sums, counts = np.unique(np.concatenate(self._sums or [_NONE]), return_counts=True)
        for own in self._sums:
            is_alike = np.isin(own, sums[counts > 1]) | np.isin(own >> np.uint64(32), self._upload_sizes)
            yield np.flatnonzero(is_alike).tolist()


async def _hash_alike(
    context: Context, archives: Sequence[Archive], contents: _Contents, lease: Lease
) -> Mapping[int, str]:
    """SHA-256 by index among the members of all zips, of those that may be copies."""
    found: dict[int, str] = {}
    start = 0
    for archive, alike, count in zip(archives, contents.alike(), contents.lengths, strict=True):
        lease.check()
        if alike:
            members = await _members(context, archive)
            index_of = {members[index].name: start + index for index in alike}
            hashed = await asyncio.to_thread(_hashed, context, archive, list(index_of), lease)
            lease.check()
            found.update({index_of[name]: sha256 for name, sha256 in hashed.items()})
        start += count
    return found


async def _members(context: Context, archive: Archive) -> list[Member]:
    return await asyncio.to_thread(_listed, context, archive)


def _listed(context: Context, archive: Archive) -> list[Member]:
    with context.storage.fetch(archive.sha256) as path:
        return list_members(path, context.archives.limits)


def _hashed(context: Context, archive: Archive, names: Sequence[str], lease: Lease) -> Mapping[str, str]:
    with context.storage.fetch(archive.sha256) as path:
        return hash_members(path, names, context.archives.limits, should_stop=lambda: lease.should_stop)


def _count_urls(context: Context, sha256: str) -> int:
    """After this it is known that the manifest has no fault."""
    with context.storage.fetch(sha256) as path:
        return sum(entry.is_url for entry in read_manifest(path, limits=context.manifest_limits))


async def _apply_manifests(
    context: Context, connection: AsyncConnection, batch: RowMapping, sha256s: Sequence[str]
) -> None:
    """URLs become items, the other entries say what is to be known of files that were sent."""
    with ExitStack() as stack:
        paths = [await asyncio.to_thread(stack.enter_context, context.storage.fetch(sha256)) for sha256 in sha256s]

        async for block in _blocks(context, paths):
            await items.append(connection, batch["id"], [_remote_item(entry) for entry in block if entry.is_url])
        named = (
            (entry.file, entry.external_id, entry.title)
            async for block in _blocks(context, paths)
            for entry in block
            if not entry.is_url
        )
        await preparing.apply_manifest(await raw_connection(connection), batch["id"], named)


async def _blocks(context: Context, paths: Sequence[Path]) -> AsyncIterator[list[ManifestEntry]]:
    """Read in a thread: a million rows take longer than a lease."""
    for path in paths:
        entries = read_manifest(path, limits=context.manifest_limits)
        while block := await asyncio.to_thread(list, islice(entries, _BLOCK_ROWS)):
            yield block


def _remote_item(entry: ManifestEntry) -> NewItem:
    return NewItem(entry.external_id or entry.file, entry.title, None, url=entry.file)
