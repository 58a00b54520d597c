"""What belongs to a catalog is seen by its clients and by nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import groovemark.cli.demo
from groovemark.paging import encode_cursor
from tests.conftest import Service

DEMO = Path(groovemark.cli.demo.__file__).parent / "tracks.csv"


@dataclass
class Two:
    """A catalog with a classified batch, a second client of it, and a client of another catalog."""

    batch_id: str
    owner: httpx.Client
    colleague: httpx.Client
    stranger: httpx.Client


@pytest.fixture(scope="module")
def two(service: Service) -> Iterator[Two]:
    catalog = f"catalog-{uuid.uuid4().hex}"
    with (
        service.client(catalog=catalog) as owner,
        service.client(catalog=catalog) as colleague,
        service.client() as stranger,
    ):
        answer = owner.post("/classifier/predict-batch", files={"csv_file": ("tracks.csv", DEMO.read_bytes())})
        assert answer.status_code == 200, answer.text
        yield Two(answer.headers["location"].rpartition("/")[2], owner, colleague, stranger)


def routes_of_a_batch(two: Two) -> list[tuple[str, str]]:
    description = two.owner.get(str(two.owner.base_url.copy_with(path="/openapi.json"))).json()
    return [
        (method, path.removeprefix("/api/v1"))
        for path, methods in description["paths"].items()
        for method in methods
        if "{batch_id}" in path
    ]


def test_stranger_gets_404_on_every_route_of_a_batch_as_if_it_did_not_exist(two: Two) -> None:
    routes = routes_of_a_batch(two)
    assert len(routes) >= 6
    for method, path in routes:
        for file_format in ("csv", "jsonl", "parquet"):
            known = path.replace("{file_format}", file_format).replace("{position}", "0")
            answer = two.stranger.request(method, known.replace("{batch_id}", two.batch_id))
            assert answer.status_code == 404, (method, path)
            nowhere = str(uuid.uuid4())
            unknown = two.stranger.request(method, known.replace("{batch_id}", nowhere))
            assert answer.text.replace(two.batch_id, "ID") == unknown.text.replace(nowhere, "ID")


def test_clients_of_one_catalog_share_batches_and_tracks(two: Two) -> None:
    [first] = two.colleague.get(f"/classifier/batches/{two.batch_id}/items", params={"limit": 1}).json()["items"]
    for method, path in routes_of_a_batch(two):
        known = path.replace("{batch_id}", two.batch_id).replace("{file_format}", "csv")
        known = known.replace("{position}", str(first["position"]))
        answer = two.colleague.request(method, known)
        assert answer.status_code == (409 if method == "post" else 200), (method, path, answer.text)
    assert two.batch_id in two.colleague.get("/classifier/batches").text
    assert two.colleague.get("/genre/list").json() == two.owner.get("/genre/list").json()


def test_stranger_sees_none_of_it_in_any_list(two: Two) -> None:
    genres = two.owner.get("/genre/list").json()["genre"]
    assert genres
    assert two.stranger.get("/genre/list").json()["genre"] == []
    assert two.stranger.get("/classifier/batches").json() == {"batches": []}
    for parameters in ({}, {"limit": 10}):
        titles = two.stranger.get("/genre/title-list", params={"genre": genres[0], **parameters})
        assert titles.json()["titles"] == []


def test_batch_of_another_catalog_is_no_cursor(two: Two, service: Service) -> None:
    """A page behind a foreign batch's id told whether that batch exists, and when it was made."""
    with service.client() as other:
        answer = other.post("/classifier/predict-batch", files={"csv_file": ("tracks.csv", DEMO.read_bytes())})
        assert answer.status_code == 200, answer.text
        foreign = answer.headers["location"].rpartition("/")[2]
        now = datetime.now(UTC)
        behind, behind_nothing = (
            two.owner.get("/classifier/batches", params={"after": encode_cursor(now, batch_id)})
            for batch_id in (foreign, str(uuid.uuid4()))
        )
        assert behind.json() == behind_nothing.json()
        assert two.owner.get("/classifier/batches", params={"after": encode_cursor(foreign)}).status_code == 422
