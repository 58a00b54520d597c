"""Batches beyond one request: opened, filled and started in requests of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from tests.inputs import audio_file, echonest_csv, zip_file
from tests.ledger import watch
from tests.posting import post_csv

OPEN = "/classifier/batches"


def opened(api: httpx.Client) -> str:
    answer = api.post(OPEN)
    assert (answer.status_code, answer.json()["state"]) == (201, "open")
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return str(answer.headers["location"].removeprefix("/api/v1"))


def add(api: httpx.Client, path: str, **files: bytes) -> httpx.Response:
    return api.post(f"{path}/files", files=[("files", (name, content)) for name, content in files.items()])


def test_files_of_many_requests_and_zips_become_one_batch(api: httpx.Client) -> None:
    path, wav = opened(api), audio_file(seed=7)
    first = add(api, path, one=wav, album=zip_file({"three": audio_file(seed=3)}))
    assert first.status_code == 201, first.text
    assert first.json()["files"][0] == {
        "field": "files",
        "file_name": "one",
        "sha256": sha256(wav).hexdigest(),
        "size_bytes": len(wav),
        "format": "wav",
        "position": 0,
    }
    assert [(file["format"], file["position"]) for file in first.json()["files"]] == [("wav", 0), ("zip", None)]
    named = {"manifest": ("manifest.csv", b"file,external_id,title\none,first,Eins\n")}
    second = api.post(f"{path}/files", files={"files": ("two", b"no audio"), **named})
    assert [file["position"] for file in second.json()["files"]] == [1, None]
    assert second.json()["counts"]["items"] == 2
    again = {"manifest": ("manifest.csv", b"file,external_id,title\nthree,third,Drei\n")}
    assert api.post(f"{path}/files", files=again).status_code == 201
    started = api.post(f"{path}/start")
    assert (started.status_code, started.json()["state"]) == (202, "queued")
    ended = watch(api, path)
    assert (ended["state"], ended["counts"]["succeeded"], ended["counts"]["failed"]) == ("completed", 2, 1)
    assert ended["rate_per_s"] > 0
    found = [(item["external_id"], item["title"]) for item in api.get(f"{path}/items").json()["items"]]
    assert found == [("first", "Eins"), ("two", None), ("third", "Drei")]


def test_requests_at_once_lose_and_double_nothing(api: httpx.Client) -> None:
    path = opened(api)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: add(api, path, **{f"{number}a": b"x", f"{number}b": b"y"}), range(16)))
    positions = [file["position"] for answer in answers for file in answer.json()["files"]]
    assert sorted(positions) == list(range(32))
    items = api.get(f"{path}/items").json()["items"]
    assert len({item["external_id"] for item in items}) == api.get(path).json()["counts"]["items"] == 32
    assert api.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert api.get(path).json()["counts"]["cancelled"] == 32


def test_what_is_not_open_takes_no_files_and_is_not_started(api: httpx.Client) -> None:
    path = opened(api)
    assert api.post(f"{path}/start").json()["detail"].startswith("The batch is empty")
    api.post(f"{path}/cancel")
    done = post_csv(api, echonest_csv(1)).headers["location"].removeprefix("/api/v1")
    for ended in (path, done):
        for answer in (add(api, ended, a=b"x"), api.post(f"{ended}/start")):
            assert (answer.status_code, answer.json()["info"]["errorCode"]) == (409, "conflict")


@pytest.mark.parametrize(
    "parts",
    [
        [("csv_file", ("a.csv", b"x"))],
        [("files", ("a.wav", b"x")), ("model", (None, b"fma-8"))],
        [("files", ("", b""))],
        [("manifest", ("a.csv", b"x")), ("manifest", ("b.csv", b"x"))],
    ],
)
def test_form_that_does_not_fit_adds_nothing(api: httpx.Client, parts: list[tuple[str, tuple[str, bytes]]]) -> None:
    path = opened(api)
    answer = api.post(f"{path}/files", files=parts)
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (422, "request_error")
    assert api.get(f"{path}/items").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"task": "weather"}', 422),
        (b'{"model": "echonest-8"}', 422),
        (b'{"colour": "red"}', 422),
        (b'{"task": "\\u0000"}', 422),
        (b"{", 422),
        (b'"' + b"x" * 70_000 + b'"', 413),
    ],
)
def test_batch_that_cannot_be_made_is_refused(api: httpx.Client, body: bytes, status: int) -> None:
    answer = api.post(OPEN, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.get(OPEN).json()["batches"] == []
