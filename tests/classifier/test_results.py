"""Results in three formats, while a batch runs and after its end."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pyarrow.parquet as pq
import pytest

from tests.conftest import Service
from tests.inputs import distinct_clips, echonest_rows, to_csv, zip_file
from tests.ledger import fetch, watch
from tests.posting import post_audio, post_csv

LABELS = [
    "classic pop and rock",
    "dance and electronica",
    "folk",
    "jazz and blues",
    "metal",
    "pop",
    "punk",
    "soul and reggae",
]
COLUMNS = [
    "external_id",
    "title",
    "label",
    "confidence",
    *(f"prob_{label}" for label in LABELS),
    "model",
    "model_version",
]


@pytest.fixture
def path(api: httpx.Client) -> str:
    """Of the results of a batch with one failed row and titles that a spreadsheet would run."""
    records = echonest_rows(7)
    for record, title in zip(records, ["=1+1", "+1", "-1", "@x", "été", 'a "b"\nc', "bad"], strict=True):
        record["title"] = title
    records[6]["tempo"] = "fast"
    return post_csv(api, to_csv(records), on_error="skip").headers["location"].removeprefix("/api/v1") + "/results"


def test_json_lines_hold_succeeded_items_with_every_probability(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert answer.headers["content-type"] == "application/jsonl"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [list(row) for row in rows] == [COLUMNS] * 6
    assert [row["external_id"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["title"] for row in rows] == ["=1+1", "+1", "-1", "@x", "été", 'a "b"\nc']
    assert {(row["model"], row["model_version"]) for row in rows} == {("echonest-8", "1")}
    for row in rows:
        chances = {label: row[f"prob_{label}"] for label in LABELS}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["confidence"] == chances[row["label"]] == max(chances.values())


def test_formulas_are_neutralised_in_csv_only(api: httpx.Client, path: str) -> None:
    answer = api.get(f"{path}.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].endswith('.csv"')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert list(rows[0]) == COLUMNS
    assert [row["title"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@x", "été", 'a "b"\nc']
    assert {row["model_version"] for row in rows} == {"1"}


def test_parquet_holds_what_the_json_lines_hold(api: httpx.Client, path: str) -> None:
    answer = api.get(f"{path}.parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    rows = pq.read_table(io.BytesIO(answer.content)).to_pylist()
    assert rows == [json.loads(line) for line in api.get(f"{path}.jsonl").text.splitlines()]
    assert api.get(path, headers={"accept": "application/vnd.apache.parquet"}).content == answer.content


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/jsonl", "application/jsonl"),
        ("application/x-ndjson", "application/jsonl"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/csv;q=0.5, application/jsonl", "application/jsonl"),
        ("text/html, */*;q=0.1", "application/jsonl"),
        ("text/csv;q=0, */*", "application/jsonl"),
        ("application/vnd.apache.parquet, text/csv;q=0.9", "application/vnd.apache.parquet"),
    ],
)
def test_accept_chooses_the_format_the_client_likes_best(
    api: httpx.Client, path: str, accept: str, content_type: str
) -> None:
    assert api.get(path, headers={"accept": accept}).headers["content-type"] == content_type


def test_a_format_nobody_writes_is_refused(api: httpx.Client, path: str) -> None:
    answer = api.get(path, headers={"accept": "image/png"})
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (422, "request_error")
    assert api.get(f"{path}.xlsx").status_code == 422


def test_results_of_an_empty_batch_are_empty_in_every_format(api: httpx.Client) -> None:
    answer = post_csv(api, to_csv([], columns=list(echonest_rows(1)[0])))
    path = answer.headers["location"].removeprefix("/api/v1") + "/results"
    assert api.get(f"{path}.jsonl").text == ""
    assert api.get(f"{path}.csv").text.strip().split(",") == COLUMNS
    table = pq.read_table(io.BytesIO(api.get(f"{path}.parquet").content))
    assert (table.num_rows, table.column_names) == (0, COLUMNS)


def test_a_running_batch_can_be_read_but_not_as_parquet(api: httpx.Client) -> None:
    clips = zip_file(distinct_clips(200, 4))
    location = post_audio(api, {"clips.zip": clips}).headers["location"]
    path = f"{location.removeprefix('/api/v1')}"
    while (batch := api.get(path).json())["counts"]["succeeded"] == 0:
        assert batch["state"] in ("queued", "running")
    refused = api.get(f"{path}/results.parquet")
    found = api.get(f"{path}/results").text.splitlines()
    pending = api.get(f"{path}/items", params={"state": "pending"}).json()["items"]
    api.post(f"{path}/cancel")
    assert (refused.status_code, refused.json()["info"]["errorCode"]) == (409, "conflict")
    assert 0 < len(found) < 200
    assert pending
    assert watch(api, location)["state"] == "cancelled"


def test_parquet_asked_for_by_many_at_once_is_one_job(service: Service, api: httpx.Client) -> None:
    """Every request but the first once left a job behind that nobody ran."""
    location = post_csv(api, to_csv(echonest_rows(3))).headers["location"].removeprefix("/api/v1")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: api.get(f"{location}/results.parquet"), range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    jobs = fetch(
        service.database_uri,
        "SELECT job.state FROM job JOIN catalog ON catalog.id = catalog_id WHERE name = $1 AND kind = 'export_results'",
        api.headers["client-id"],
    )
    assert [job["state"] for job in jobs] == ["succeeded"]
