"""R9: a transaction is committed, and the connection is cut before the answer comes: to a worker, and to the API.

Every COMMIT of a worker may be cut, whatever it says: of claims, heartbeats, shards, results and ends. Of the API it is
the one that accepts a batch; the client sends its request again with the same Idempotency-Key.
"""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import httpx

from tests.chaos.counting import accepted, clip, clips, count, post_zip
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site
from tests.chaos.tcp_proxy import CommitProxy, proxy
from tests.ledger import watch

ODDS = 0.25
TRIES_MAX = 60


def play(act: Act) -> Outcome:
    outcome = Outcome()
    server = urlsplit(act.site.uri)
    assert server.hostname is not None
    assert server.port is not None
    with proxy(server.hostname, server.port) as between:
        uri = act.site.uri.replace(f":{server.port}/", f":{between.listening_port}/")
        _cut_workers(act, between, uri, outcome)
        _cut_api(act, between, uri, outcome)
    return outcome


def _cut_workers(act: Act, between: CommitProxy, uri: str, outcome: Outcome) -> None:
    act.site.ready(1, POSTGRES_URI=uri)
    names = clips(act.size["items"])
    with act.site.client() as api:
        while outcome.trials < act.size["cuts"]:
            between.cuts = 0
            between.should_cut = lambda _: act.random.random() < ODDS
            path = post_zip(api, names)
            watch(api, path, within_s=300)
            between.should_cut = lambda _: False
            outcome.add(count(act.site, api, path, succeed=names))
            outcome.trials += between.cuts
            act.tell(f"{outcome.trials} of {act.size['cuts']} commits of a worker were cut")


def _cut_api(act: Act, between: CommitProxy, uri: str, outcome: Outcome) -> None:
    site = act.site
    site.start_api(POSTGRES_URI=uri)
    try:
        for nth in range(1, act.size["posts"] + 1):
            between.cuts = 0
            between.should_cut = lambda said: "INSERT INTO upload" in said and between.cuts == 0
            with site.client() as api:
                _post_until_accepted(site, api, f"r9-{nth}", act.random.getrandbits(31), outcome)
            outcome.expect(between.cuts == 1, f"{between.cuts} commits of the API were cut")
            outcome.trials += between.cuts
            act.tell(f"{nth} of {act.size['posts']} accepted batches were not acknowledged")
    finally:
        between.should_cut = lambda _: False
        site.end()


def _post_until_accepted(site: Site, api: httpx.Client, key: str, number: int, outcome: Outcome) -> None:
    content = marked(clip(), PLAIN, number=number)
    for _ in range(TRIES_MAX):
        try:
            answer = api.post(
                "/classifier/predict-batch",
                files=[("files", ("a.wav", content))],
                headers={"idempotency-key": key},
            )
        except httpx.TransportError:
            continue
        if answer.status_code == httpx.codes.ACCEPTED:
            break
        outcome.expect(answer.status_code in (409, 503), f"the API answered {answer.status_code}: {answer.text}")
    made = site.fetch("SELECT batch.id FROM batch WHERE client_id = $1", api.headers["client-id"])
    outcome.lost += int(len(made) == 0)
    outcome.doubled += max(0, len(made) - 1)
    outcome.expect(uuid.UUID(accepted(answer).rpartition("/")[2]) in {row["id"] for row in made}, "another Location")
    outcome.add(count(site, api, accepted(answer), succeed=["a.wav"]))


SCENARIO = Scenario(
    "R9",
    "commit sent, acknowledgement lost",
    play,
    full={"items": 200, "cuts": 500, "posts": 50},
    short={"items": 16, "cuts": 3, "posts": 1},
)
