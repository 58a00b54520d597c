"""What clients upload comes back as data: formulas are neutral in CSV, markup is nowhere a page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

import groovemark.cli.demo
from tests.conftest import Service

DEMO = Path(groovemark.cli.demo.__file__).parent / "tracks.csv"
TITLES = {
    "1": '=HYPERLINK("http://evil.example","x")',
    "2": "+1+cmd|' /C calc'!A0",
    "3": "-2+3",
    "4": "@SUM(1)",
    "5": "\t=1",
    "6": "<script>alert(1)</script>",
    "7": "plain = title",
    "8": 'quoted "title", with\nlines',
}


@pytest.fixture(scope="module")
def hostile(service: Service) -> tuple[httpx.Client, str]:
    """A batch whose titles are meant to do harm."""
    with DEMO.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[: len(TITLES)]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    for row, (track_id, title) in zip(rows, TITLES.items(), strict=True):
        writer.writerow({**row, "trackID": track_id, "title": title})
    client = service.client()
    answer = client.post("/classifier/predict-batch", files={"csv_file": ("a.csv", text.getvalue().encode())})
    assert answer.status_code == 200, answer.text
    return client, f"/classifier/batches/{answer.headers['location'].rpartition('/')[2]}"


def test_cells_that_look_like_formulas_are_neutral_in_csv(hostile: tuple[httpx.Client, str]) -> None:
    client, batch = hostile
    answer = client.get(f"{batch}/results.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = {row["external_id"]: row["title"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    assert rows == {track_id: f"'{title}" if title[0] in "=+-@\t" else title for track_id, title in TITLES.items()}


def test_the_same_cells_are_unchanged_in_json_lines_and_parquet(hostile: tuple[httpx.Client, str]) -> None:
    client, batch = hostile
    lines = [json.loads(line) for line in client.get(f"{batch}/results.jsonl").text.split("\n") if line]
    assert {row["external_id"]: row["title"] for row in lines} == TITLES
    table = pq.read_table(io.BytesIO(client.get(f"{batch}/results.parquet").content)).to_pylist()
    assert {row["external_id"]: row["title"] for row in table} == TITLES


def test_no_answer_with_what_was_uploaded_is_a_page(hostile: tuple[httpx.Client, str]) -> None:
    client, batch = hostile
    paths = [f"{batch}{end}" for end in ("", "/items", "/errors", "/results", "/results.csv", "/results.parquet")]
    genres = client.get("/genre/list").json()["genre"]
    paths += [f"/genre/title-list?genre={genre}" for genre in genres]
    for path in paths:
        for accept in ("text/html", "*/*"):
            answer = client.get(path, headers={"accept": accept})
            assert "html" not in answer.headers["content-type"]
            assert answer.headers["x-content-type-options"] == "nosniff"
