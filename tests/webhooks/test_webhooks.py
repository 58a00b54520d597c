"""Webhooks, against a real receiver and the formula of the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from groovemark.errors import ConfigurationError
from groovemark.webhooks.signing import KEY_FILE, load_key
from tests.conftest import REACHABLE_ADDRESS, Service
from tests.inputs import audio_file, many_fma_rows
from tests.ledger import fetch, watch
from tests.posting import post_audio, post_csv
from tests.webhooks.conftest import Received, Receiver

IN_NO_TIME = "UPDATE pgqueuer SET execute_after = now() WHERE entrypoint = 'deliver_webhook'"


def create(api: httpx.Client, url: str) -> dict[str, Any]:
    answer = api.post("/webhooks", json={"url": url})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def signature(secret: str, received: Received) -> str:
    """By the specification: base64 HMAC-SHA256 of id.timestamp.payload, with the key that follows whsec_."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def deliveries(api: httpx.Client, webhook_id: str, *, until: str, attempts: int = 1) -> list[dict[str, Any]]:
    """All of an endpoint, once they are in that state."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: list[dict[str, Any]] = api.get(f"/webhooks/{webhook_id}").json()["deliveries"]
        if found and all(delivery["state"] == until and delivery["attempts"] >= attempts for delivery in found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_the_end_of_a_batch_is_told_once_and_signed(api: httpx.Client, receiver: Receiver) -> None:
    made = create(api, receiver.url)
    posted = post_csv(api, many_fma_rows(3))
    batch = watch(api, posted.headers["location"])
    [delivery] = deliveries(api, made["id"], until="delivered")
    [received] = receiver.received
    assert received.headers["webhook-signature"] == signature(made["secret"], received)
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 300
    assert received.headers["webhook-id"] == delivery["id"]
    message = json.loads(received.body)
    assert (message["type"], message["timestamp"]) == ("batch.completed", batch["finished_at"])
    assert message["data"] == {
        "batch_id": batch["id"],
        "state": "completed",
        "counts": batch["counts"],
        "links": batch["links"],
    }
    assert (delivery["event"], delivery["response_status"], delivery["error"]) == ("batch.completed", 204, None)


def test_every_endpoint_is_told_of_failed_and_cancelled_batches_too(
    service: Service, api: httpx.Client, receiver: Receiver
) -> None:
    made = [create(api, receiver.url + end) for end in ("/a", "/b")]
    with service.client() as stranger:
        create(stranger, receiver.url + "/stranger")
        post_csv(api, b"a,b\n1,2\n")
        path = post_audio(api, {f"{number}.wav": audio_file(duration_s=5) for number in range(8)}).headers["location"]
        api.post(f"{path.removeprefix('/api/v1')}/cancel")
        ended = watch(api, path)["state"]
        for webhook in made:
            found = deliveries(api, webhook["id"], until="delivered")
            assert [delivery["event"] for delivery in found] == [f"batch.{ended}", "batch.failed"]
    assert {received.path for received in receiver.received} == {"/hook/a", "/hook/b"}
    assert len(receiver.received) == 4


def test_what_is_not_taken_is_sent_again_under_the_same_id(
    service: Service, api: httpx.Client, receiver: Receiver
) -> None:
    """Redirects are not followed."""
    receiver.statuses = [500, 307]
    made = create(api, receiver.url)
    post_csv(api, many_fma_rows(1))
    for attempts, status in ((1, 500), (2, 307)):
        [delivery] = deliveries(api, made["id"], until="pending", attempts=attempts)
        assert (delivery["response_status"], delivery["error"]) == (status, f"The receiver answered {status}.")
        fetch(service.database_uri, IN_NO_TIME)
    [delivery] = deliveries(api, made["id"], until="delivered")
    assert (delivery["attempts"], delivery["response_status"]) == (3, 204)
    assert {received.headers["webhook-id"] for received in receiver.received} == {delivery["id"]}
    assert len({received.body for received in receiver.received}) == 1
    assert {received.path for received in receiver.received} == {"/hook"}
    [job] = fetch(
        service.database_uri,
        "SELECT job.attempt, job.state FROM job JOIN webhook_delivery ON job_id = job.id WHERE endpoint_id = $1",
        made["id"],
    )
    assert tuple(job) == (1, "succeeded")


def test_what_is_never_taken_is_given_up(service: Service, api: httpx.Client, receiver: Receiver) -> None:
    receiver.statuses = [503, 503]
    made = create(api, receiver.url)
    post_csv(api, many_fma_rows(1))
    deliveries(api, made["id"], until="pending")
    fetch(service.database_uri, "UPDATE webhook_delivery SET attempts = 6 WHERE endpoint_id = $1", made["id"])
    fetch(service.database_uri, IN_NO_TIME)
    [delivery] = deliveries(api, made["id"], until="failed")
    assert (delivery["attempts"], delivery["response_status"]) == (7, 503)


def test_a_receiver_that_says_gone_is_not_asked_again(api: httpx.Client, receiver: Receiver) -> None:
    receiver.statuses = [410]
    made = create(api, receiver.url)
    post_csv(api, many_fma_rows(1))
    [delivery] = deliveries(api, made["id"], until="failed")
    assert delivery["attempts"] == 1


def test_a_name_that_leads_inside_is_never_connected_to(
    service: Service, api: httpx.Client, receiver: Receiver
) -> None:
    """It was public when it was given: the address that counts is the one at the time of sending."""
    made = create(api, receiver.url)
    fetch(
        service.database_uri,
        "UPDATE webhook_endpoint SET url = $1 WHERE id = $2",
        receiver.url.replace(REACHABLE_ADDRESS, "localhost"),
        made["id"],
    )
    post_csv(api, many_fma_rows(1))
    [delivery] = deliveries(api, made["id"], until="pending")
    assert "not on the public internet" in delivery["error"]
    assert receiver.received == []


def test_a_worker_with_another_key_sends_nothing_and_says_so(
    service: Service, api: httpx.Client, receiver: Receiver
) -> None:
    made = create(api, receiver.url)
    fetch(service.database_uri, "UPDATE webhook_endpoint SET secret_sha256 = '\\x00' WHERE id = $1", made["id"])
    post_csv(api, many_fma_rows(1))
    [delivery] = deliveries(api, made["id"], until="pending")
    assert "WEBHOOK_KEY" in delivery["error"]
    assert receiver.received == []


def test_for_a_day_after_a_rotation_both_secrets_verify(api: httpx.Client, receiver: Receiver) -> None:
    made = create(api, receiver.url)
    rotated = api.post(f"/webhooks/{made['id']}/rotate-secret").json()
    assert rotated["secret"] != made["secret"]
    post_csv(api, many_fma_rows(1))
    deliveries(api, made["id"], until="delivered")
    [received] = receiver.received
    signatures = received.headers["webhook-signature"].split(" ")
    assert signatures == [signature(secret, received) for secret in (rotated["secret"], made["secret"])]


def test_a_secret_is_shown_once_and_stored_nowhere(service: Service, api: httpx.Client) -> None:
    """The answer to a repeated request once came from the store of answers, with the secret in it."""
    headers = {"Idempotency-Key": "once"}
    first = api.post("/webhooks", json={"url": "https://example.com/"}, headers=headers)
    again = api.post("/webhooks", json={"url": "https://example.com/"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert "secret" not in again.json()
    secret = first.json()["secret"].removeprefix("whsec_")
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", secret)
    for path in ("/webhooks", f"/webhooks/{first.json()['id']}"):
        assert "secret" not in api.get(path).text
    for table in ("webhook_endpoint", "idempotency_key"):
        [found] = fetch(service.database_uri, f"SELECT string_agg(row::text, '') AS all FROM {table} row")
        assert secret not in found["all"]
        assert secret.encode().hex() not in found["all"]
        assert base64.b64decode(secret).hex() not in found["all"]


def test_a_deleted_webhook_gets_nothing_more(service: Service, api: httpx.Client, receiver: Receiver) -> None:
    receiver.statuses = [500]
    made = create(api, receiver.url)
    post_csv(api, many_fma_rows(1))
    deliveries(api, made["id"], until="pending")
    assert api.delete(f"/webhooks/{made['id']}").status_code == 204
    fetch(service.database_uri, IN_NO_TIME)
    post_csv(api, many_fma_rows(1))
    assert api.get(f"/webhooks/{made['id']}").status_code == 404
    assert api.get("/webhooks").json() == {"webhooks": []}
    assert len(receiver.received) == 1


def test_webhooks_are_their_clients_own_business_and_there_are_ten_at_most(service: Service, api: httpx.Client) -> None:
    made = [create(api, f"https://example.com/{number}") for number in range(10)]
    assert api.post("/webhooks", json={"url": "https://example.com/11"}).status_code == 409
    assert len(api.get("/webhooks").json()["webhooks"]) == 10
    with service.client(catalog=api.headers["client-id"]) as colleague, service.client() as stranger:
        for other in (colleague, stranger):
            assert other.get("/webhooks").json() == {"webhooks": []}
            path = f"/webhooks/{made[0]['id']}"
            answers = (other.get(path), other.delete(path), other.post(f"{path}/rotate-secret"))
            assert [answer.status_code for answer in answers] == [404, 404, 404]
    with service.client(catalog=api.headers["client-id"], scopes=("read",)) as reader:
        assert reader.post("/webhooks", json={"url": "https://example.com/"}).status_code == 403


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "https://user:pw@example.com/",
        "https://",
        "example.com",
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://example.com:22/",
        "https://example.com/#part",
        "https://example.com/\n",
        "https://" + "a" * 2000 + ".com/",
    ],
)
def test_an_address_that_is_plainly_wrong_is_refused_at_once(api: httpx.Client, url: str) -> None:
    answer = api.post("/webhooks", json={"url": url})
    assert (answer.status_code, api.get("/webhooks").json()) == (422, {"webhooks": []}), answer.text


def test_the_key_is_made_once_for_its_owner_alone_and_damage_is_told(tmp_path: Path) -> None:
    home = tmp_path / str(uuid.uuid4())
    key = load_key(None, home)
    assert load_key(None, home) == key
    assert load_key("k" * 32, home) == b"k" * 32
    assert (home / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]
    (home / KEY_FILE).write_bytes(b"")
    with pytest.raises(ConfigurationError):
        load_key(None, home)
