"""How long a client waits: Prefer, 200, 202 and Location."""

from __future__ import annotations

import httpx
import pytest

from groovemark.classifier.prefer import wait_s
from groovemark.classifier.schema.batch import Batch
from groovemark.errors import RequestRejected
from tests.inputs import echonest_csv, echonest_rows, to_csv
from tests.ledger import watch
from tests.posting import post_csv


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "handling=lenient, respond-async"])
def test_a_client_that_does_not_wait_gets_202_with_the_batch_as_body(api: httpx.Client, prefer: str) -> None:
    answer = post_csv(api, echonest_csv(500), prefer=prefer)
    assert answer.status_code == 202
    batch = Batch.model_validate(answer.json())
    assert batch.state in ("queued", "running")
    assert answer.headers["location"] == batch.links.self == f"/api/v1/classifier/batches/{batch.id}"
    ended = watch(api, str(batch.id))
    assert (ended["state"], ended["progress"], ended["counts"]["succeeded"]) == ("completed", 1.0, 500)
    assert ended["created_at"] <= ended["started_at"] <= ended["finished_at"]


def test_a_table_rejected_after_the_client_left_says_so_in_its_batch(api: httpx.Client) -> None:
    answer = post_csv(api, to_csv(echonest_rows(3, tempo="fast")), prefer="respond-async")
    assert answer.status_code == 202
    ended = watch(api, answer.headers["location"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "input_data_schema_error")
    assert ended["counts"]["items"] == 0


def test_a_wait_that_is_no_number_is_refused_before_anything_is_stored(api: httpx.Client) -> None:
    answer = post_csv(api, echonest_csv(1), prefer="wait=soon")
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (422, "request_error")
    assert api.get("/classifier/batches").json() == {"batches": []}


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 30),
        ("return=minimal", 30),
        ("wait=7", 7),
        ('Wait="7"', 7),
        ("wait=7; foo=bar", 7),
        ("wait=300", 300),
        ("wait=301", 300),
        ("wait=999999999999", 300),
        ("respond-async", 0),
        ("respond-async, wait=9", 9),
    ],
)
def test_prefer_is_read_as_its_rfc_says(prefer: str | None, seconds: int) -> None:
    assert wait_s(prefer) == seconds


@pytest.mark.parametrize("prefer", ["wait=", "wait", "wait=-1", "wait=1.5", "wait=²"])
def test_a_wait_that_cannot_be_counted_is_refused(prefer: str) -> None:
    with pytest.raises(RequestRejected, match="wait must be a number"):
        wait_s(prefer)
