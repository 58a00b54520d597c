"""Manifests of a stranger's URLs, and whom the worker called for them."""

from __future__ import annotations

import csv
import io
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.attack.audited_worker import ALLOWED, CALLS
from tests.attack.listening import listening
from tests.attack.place import files_below
from tests.chaos.scenario import Act, Outcome
from tests.chaos.site import Site
from tests.ledger import watch
from tests.posting import post_audio
from tests.stranger import stranger

AUDITED = ("-m", "tests.attack.audited_worker")
FETCH_CODES = frozenset({"url_forbidden", "url_unreachable", "url_too_slow", "url_too_large", "url_status"})


@dataclass(frozen=True)
class Ways:
    """Where URLs may lead: `outside` is allowed, at the ports of `inside` nobody may knock."""

    outside: str
    inside: int
    inside_six: int

    @property
    def port(self) -> int:
        return int(self.outside.rpartition(":")[2])


def play(act: Act, urls: Callable[[Ways], Sequence[str]], *, good: Sequence[str] = ("/sound/a.wav",)) -> Outcome:
    """Every URL as a batch of its own, all at once, and good ones beside them. None else may succeed or be called."""
    site = act.site
    with stranger(ALLOWED) as outside, listening("127.0.0.1") as inside, listening("::1") as inside_six:
        found = list(urls(Ways(outside, inside.port, inside_six.port)))
        outcome = Outcome(trials=len(found))
        calls = site.home / "calls"
        _ready_worker(site, calls)
        before = len(calls.read_text())
        with site.client() as api:
            posted = {url: _post(api, url) for url in (*found, *(f"{outside}{path}" for path in good))}
            told = {url: _code(api, answer) for url, answer in posted.items()}
        for url in found:
            outcome.expect(told[url] in FETCH_CODES, f"{url[:90]}: {told[url]}")
        for path in good:
            outcome.expect(told[f"{outside}{path}"] == "succeeded", f"{path} beside them: {told[f'{outside}{path}']}")
        outcome.expect(not inside.heard and not inside_six.heard, f"called: {inside.heard[:2]} {inside_six.heard[:2]}")
        called = _called(calls.read_text()[before:])
        outcome.expect(bool(called), "no call was written down")
        allowed = {ALLOWED, *_database(site)}
        strays = {call for call in called if call[0] != ALLOWED and call not in allowed}
        outcome.expect(not strays, f"called {sorted(strays)[:5]}")
        outcome.expect(not files_below(site.storage / "incoming"), "something is left where files come in")
    outcome.notes.append(
        f"{dict(Counter(told.values()).most_common())}; {len(called)} calls, to {ALLOWED} and the database"
    )
    return outcome


def _ready_worker(site: Site, calls: Path) -> None:
    """The worker that writes down whom it calls, alone."""
    command = (sys.executable, *AUDITED)
    if not any(worker.is_alive and worker.kind[0] == command for worker in site.workers):
        site.end_workers()
        site.workers.append(site.start(command, "worker", **{CALLS: str(calls)}))
    site.workers[0].wait_until_it_says("worker ready")


def _post(api: httpx.Client, url: str) -> httpx.Response:
    text = io.StringIO()
    csv.writer(text).writerows([["file"], [url]])
    return post_audio(api, {}, manifest=text.getvalue().encode())


def _code(api: httpx.Client, answer: httpx.Response) -> str:
    """That of the only item, or of the only fault of a manifest that was refused as a whole."""
    if answer.status_code != httpx.codes.ACCEPTED:
        return f"HTTP {answer.status_code}"
    batch_id = answer.json()["id"]
    ended = watch(api, batch_id, within_s=240)
    if ended["state"] == "completed":
        [item] = api.get(f"/classifier/batches/{batch_id}/items").json()["items"]
        return str(item["error"]["code"] if item["error"] else item["state"])
    [fault] = api.get(f"/classifier/batches/{batch_id}/errors").json()["errors"]
    return str(fault["code"])


def _called(calls: str) -> set[tuple[str, int]]:
    lines = [line.split() for line in calls.splitlines()]
    return {(host, int(port)) for host, port in lines}


def _database(site: Site) -> Iterator[tuple[str, int]]:
    """Where the worker has its own connections to."""
    found = urlsplit(site.uri)
    for entry in socket.getaddrinfo(found.hostname, found.port, type=socket.SOCK_STREAM):
        yield str(entry[4][0]), int(entry[4][1])
