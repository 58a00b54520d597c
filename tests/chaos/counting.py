"""Posting batches of clips, and counting what became of them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from functools import cache

import httpx

from tests.chaos.scenario import Outcome
from tests.chaos.site import Site
from tests.inputs import audio_file, distinct_clips, zip_file
from tests.ledger import broken_promises, watch
from tests.posting import post_audio

ENDS_WITHIN_S = float(os.environ.get("CHAOS_ENDS_WITHIN_S", "300"))
"""A batch that takes longer is taken for lost."""
CLIP_S = 0.5
"""The shortest that has features: 5 ms of work."""


@cache
def clip() -> bytes:
    return audio_file(duration_s=CLIP_S)


def clips(count: int) -> dict[str, bytes]:
    return distinct_clips(count, CLIP_S)


def post_zip(api: httpx.Client, members: Mapping[str, bytes]) -> str:
    """The path of a batch of these files, sent as one zip."""
    return accepted(post_audio(api, {"clips.zip": zip_file(members)}))


def accepted(answer: httpx.Response) -> str:
    assert answer.status_code == httpx.codes.ACCEPTED, f"{answer.status_code} {answer.text}"
    return answer.headers["location"].removeprefix("/api/v1")


def done(api: httpx.Client, path: str) -> int:
    """How many items have ended."""
    counts = api.get(path).json()["counts"]
    return int(counts["succeeded"] + counts["failed"] + counts["cancelled"])


def wait_until_done(api: httpx.Client, path: str, count: int, *, within_s: float = ENDS_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while done(api, path) < count:
        assert time.monotonic() < deadline, f"still at {api.get(path).json()}"
        time.sleep(0.02)


def wait_until_begun(site: Site) -> None:
    """A worker is at a shard."""
    while not site.fetch("SELECT FROM job WHERE kind = 'classify_shard' AND state = 'running'"):
        time.sleep(0.01)


def count(
    site: Site,
    api: httpx.Client,
    path: str,
    *,
    succeed: Collection[str],
    fail: Mapping[str, str | None] | Collection[str] = (),
    within_s: float = ENDS_WITHIN_S,
) -> Outcome:
    """Wait for the batch's end, then compare what can be downloaded with the names that must have succeeded or failed.

    `fail`: names, or names with the error's code.
    """
    outcome = Outcome()
    try:
        ended = watch(api, path, within_s=within_s)
    except AssertionError as error:
        outcome.lost += 1
        outcome.broken.append(str(error))
        return outcome
    outcome.expect(ended["state"] == "completed", f"the batch ended as {ended['state']}: {ended['error']}")
    results = downloaded(api, path)
    errors = failures(api, path)
    codes = fail if isinstance(fail, Mapping) else dict.fromkeys(fail)
    outcome.lost += len(set(succeed) - set(results)) + len(set(codes) - {name for name, _ in errors})
    outcome.doubled += len(results) - len(set(results)) + len(errors) - len({name for name, _ in errors})
    outcome.doubled += len(set(results) & {name for name, _ in errors})
    outcome.expect(set(results) <= set(succeed), "results of items that were never sent, or were to fail")
    for name, code in errors:
        outcome.expect(name in codes, f"{name} failed with {code}")
        outcome.expect(codes.get(name) in (None, code), f"{name} failed with {code} and not {codes.get(name)}")
    told = ended["counts"]
    found = (told["items"], told["succeeded"], told["failed"], told["cancelled"])
    wanted = (len(succeed) + len(codes), len(succeed), len(codes), 0)
    outcome.expect(found == wanted, f"counts of items, succeeded, failed, cancelled are {found}, not {wanted}")
    outcome.add(promises(site, api))
    return outcome


def downloaded(api: httpx.Client, path: str) -> list[str]:
    """The ids of all results."""
    import json

    answer = api.get(f"{path}/results", headers={"accept": "application/x-ndjson"})
    assert answer.status_code == httpx.codes.OK, answer.text
    return [json.loads(line)["external_id"] for line in answer.text.splitlines()]


def failures(api: httpx.Client, path: str) -> list[tuple[str, str]]:
    """(item, code) of all errors."""
    found: list[tuple[str, str]] = []
    url: str | None = f"{path}/errors?limit=1000"
    while url is not None:
        answer = api.get(url)
        found += [(fault["item"], fault["code"]) for fault in answer.json()["errors"]]
        link = answer.links.get("next", {}).get("url")
        url = link.removeprefix("/api/v1") if link else None
    return found


def promises(site: Site, api: httpx.Client) -> Outcome:
    """What the database must always say of the client's catalog."""
    found = broken_promises(site.uri, api.headers["client-id"])
    return Outcome(broken=[f"{promise}: {rows[:2]}" for promise, rows in found.items()])


def calls(site: Site) -> list[tuple[float, str]]:
    """(when, SHA-256) of every file that a watched worker has begun."""
    if not site.calls.exists():
        return []
    lines = [line.split() for line in site.calls.read_text().splitlines()]
    return [(float(when), sha256) for when, sha256 in lines]
