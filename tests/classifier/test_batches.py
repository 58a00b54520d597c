"""Watching, listing and cancelling batches."""

from __future__ import annotations

import base64
import json
import uuid

import httpx
import pytest

from tests.conftest import Service
from tests.inputs import distinct_clips, echonest_csv, echonest_rows, many_fma_rows, to_csv, zip_file
from tests.ledger import fetch, watch
from tests.posting import post_audio, post_csv


def pages(api: httpx.Client, path: str, entries: str, **query: str | int) -> list[list[object]]:
    """Every page of a listing, by its Link headers."""
    found = []
    answer = api.get(path, params=query)
    while True:
        found.append(answer.json()[entries])
        if "next" not in answer.links:
            return found
        answer = api.get(answer.links["next"]["url"].removeprefix("/api/v1"))


def batch_path(answer: httpx.Response) -> str:
    return answer.headers["location"].removeprefix("/api/v1")


def test_batches_are_listed_newest_first_over_pages(api: httpx.Client) -> None:
    posted = [batch_path(post_csv(api, echonest_csv(1))).rpartition("/")[2] for _ in range(5)]
    found = pages(api, "/classifier/batches", "batches", limit=2)
    assert [batch["id"] for page in found for batch in page] == posted[::-1]
    assert [len(page) for page in found][:2] == [2, 2]


def test_items_and_faults_are_complete_over_pages(api: httpx.Client) -> None:
    records = [
        {**record, "tempo": "fast"} if number % 3 == 0 else record for number, record in enumerate(echonest_rows(10))
    ]
    path = batch_path(post_csv(api, to_csv(records), on_error="skip"))
    for limit in (1, 3, 10, 100):
        found = [item["line"] for page in pages(api, f"{path}/items", "items", limit=limit) for item in page]
        assert found == list(range(2, 12))
        found = [fault["line"] for page in pages(api, f"{path}/errors", "errors", limit=limit) for fault in page]
        assert found == [2, 5, 8, 11]
    states = {state: pages(api, f"{path}/items", "items", state=state, limit=2) for state in ("succeeded", "failed")}
    assert [item["line"] for page in states["failed"] for item in page] == [2, 5, 8, 11]
    assert {item["state"] for page in states["succeeded"] for item in page} == {"succeeded"}
    assert [len(page) for page in states["succeeded"]] == [2, 2, 2]
    assert pages(api, f"{path}/items", "items", state="pending") == [[]]


def test_an_unknown_state_or_severity_is_refused_with_the_known_ones(api: httpx.Client) -> None:
    path = batch_path(post_csv(api, echonest_csv(1)))
    for answer in (
        api.get(f"{path}/items", params={"state": "done"}),
        api.get(f"{path}/errors", params={"severity": "fatal"}),
        api.get(f"{path}/items", params={"limit": 0}),
        api.get(f"{path}/items", params={"limit": 1001}),
    ):
        assert (answer.status_code, answer.json()["info"]["errorCode"]) == (422, "request_error")


def forged(*key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "=",
        "A" * 3000,
        forged(),
        forged("x"),
        forged(True),
        forged(1, 2),
        forged(2**70),
        forged(None),
        forged(-5),
    ],
)
def test_a_forged_cursor_is_refused(api: httpx.Client, cursor: str) -> None:
    path = batch_path(post_csv(api, echonest_csv(1)))
    for listing in (f"{path}/items", f"{path}/errors", "/classifier/batches"):
        answer = api.get(listing, params={"after": cursor})
        assert (answer.status_code, answer.json()["info"]["errorCode"]) == (422, "request_error"), listing


def test_a_cursor_to_another_catalogs_batch_shows_none_of_its_batches(service: Service, api: httpx.Client) -> None:
    own = batch_path(post_csv(api, echonest_csv(1))).rpartition("/")[2]
    with service.client() as other:
        post_csv(other, echonest_csv(1))
        post_csv(other, echonest_csv(1))
        link = other.get("/classifier/batches", params={"limit": 1}).links["next"]["url"].removeprefix("/api/v1")
    assert [batch["id"] for batch in api.get(link).json()["batches"]] == [own]


def test_an_unknown_batch_is_404_on_every_route(api: httpx.Client) -> None:
    for tail in ("", "/items", "/errors", "/results", "/results.csv", "/results.parquet"):
        answer = api.get(f"/classifier/batches/{uuid.uuid4()}{tail}")
        assert (answer.status_code, answer.json()["info"]["errorCode"]) == (404, "not_found")
    assert api.post(f"/classifier/batches/{uuid.uuid4()}/cancel").status_code == 404
    assert api.get("/classifier/batches/x").status_code == 422


def test_a_cancelled_audio_batch_keeps_what_is_finished(api: httpx.Client) -> None:
    clips = zip_file(distinct_clips(200, 4))  # far more than are done before a worker looks for the wish
    path = batch_path(post_audio(api, {"clips.zip": clips}))
    while api.get(path).json()["counts"]["succeeded"] == 0:
        pass
    asked = api.post(f"{path}/cancel")
    assert (asked.status_code, asked.json()["cancel_requested"]) == (202, True)
    ended = watch(api, path)
    counts = ended["counts"]
    assert ended["state"] == "cancelled"
    assert counts["succeeded"] > 0 < counts["cancelled"]
    assert counts["succeeded"] + counts["cancelled"] == counts["items"] == 200
    assert len(api.get(f"{path}/results").text.splitlines()) == counts["succeeded"]
    cancelled = api.get(f"{path}/items", params={"state": "cancelled"}).json()["items"]
    assert len(cancelled) == min(100, counts["cancelled"])


def test_a_cancelled_table_stores_nothing_and_tells_a_client_that_waits(service: Service, api: httpx.Client) -> None:
    path = batch_path(post_csv(api, many_fma_rows(40_000), prefer="respond-async"))
    watch(api, path, until={"running"})
    assert api.post(f"{path}/cancel").status_code == 202
    ended = watch(api, path)
    assert (ended["state"], ended["counts"]["items"], ended["error"]) == ("cancelled", 0, None)
    assert api.get("/genre/list").json()["genre"] == []
    assert api.get(f"{path}/results").text == ""


def test_what_has_ended_cannot_be_cancelled(api: httpx.Client) -> None:
    path = batch_path(post_csv(api, echonest_csv(1)))
    answer = api.post(f"{path}/cancel")
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (409, "conflict")
    assert "completed" in answer.json()["detail"]
    assert api.get(path).json()["state"] == "completed"


def test_a_batch_keeps_summaries_of_its_input_and_counts_the_models_use(service: Service, api: httpx.Client) -> None:
    used = "SELECT uses, last_used_at FROM model_version WHERE name = 'echonest-8'"
    [before] = fetch(service.database_uri, used)
    path = batch_path(post_csv(api, echonest_csv(50)))
    [row] = fetch(service.database_uri, "SELECT input_summary FROM batch WHERE id = $1", path.rpartition("/")[2])
    assert "tempo" in json.dumps(json.loads(row["input_summary"]))
    [after] = fetch(service.database_uri, used)
    assert after["uses"] >= before["uses"] + 50
