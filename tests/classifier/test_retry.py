"""Running again what failed, and nothing else."""

from __future__ import annotations

import httpx

from tests.conftest import Service
from tests.inputs import audio_file, echonest_csv, echonest_rows, to_csv, zip_file
from tests.ledger import fetch, watch
from tests.posting import post_audio, post_csv


def refusal(answer: httpx.Response) -> str:
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (409, "conflict")
    return str(answer.json()["detail"])


def path_of(answer: httpx.Response) -> str:
    return str(answer.headers["location"].removeprefix("/api/v1"))


def test_failed_files_alone_run_again_and_errors_are_grouped(service: Service, api: httpx.Client) -> None:
    bad = {f"{number}.wav": f"no audio {number}".encode() for number in range(4)}
    path = path_of(post_audio(api, {"good.wav": audio_file(), **bad, "short.wav": audio_file(duration_s=0.3)}))
    first = watch(api, path)
    groups = api.get(f"{path}/errors/by-code").json()["groups"]
    assert [(group["code"], group["count"], len(group["examples"])) for group in groups] == [
        ("undecodable", 4, 3),
        ("too_short", 1, 1),
    ]
    assert groups[0]["examples"] == api.get(f"{path}/errors").json()["errors"][:3]
    [before] = fetch(service.database_uri, "SELECT created_at FROM prediction WHERE batch_id = $1", first["id"])
    again = api.post(f"{path}/retry")
    assert (again.status_code, again.json()["state"], again.json()["finished_at"]) == (202, "queued", None)
    assert (again.json()["counts"]["succeeded"], again.json()["counts"]["failed"]) == (1, 0)
    ended = watch(api, path)
    assert (ended["state"], ended["counts"]) == ("completed", first["counts"])
    assert fetch(service.database_uri, "SELECT created_at FROM prediction WHERE batch_id = $1", first["id"]) == [before]
    assert len(api.get(f"{path}/errors").json()["errors"]) == 5


def test_nothing_to_retry_is_refused_with_the_reason(service: Service, api: httpx.Client) -> None:
    completed = path_of(post_csv(api, echonest_csv(1)))
    assert "nothing of it failed" in refusal(api.post(f"{completed}/retry"))
    skipped = path_of(post_csv(api, to_csv(echonest_rows(1, tempo="fast")), on_error="skip"))
    assert "rejected again" in refusal(api.post(f"{skipped}/retry"))
    opened = f"/classifier/batches/{api.post('/classifier/batches').json()['id']}"
    assert "is open" in refusal(api.post(f"{opened}/retry"))
    api.post(f"{opened}/cancel")
    assert "nothing of it failed" in refusal(api.post(f"{opened}/retry"))
    failed = path_of(post_csv(api, to_csv(echonest_rows(1, tempo="fast"))))
    removed = "UPDATE batch SET uploads_removed_at = now() WHERE id = $1"
    fetch(service.database_uri, removed, failed.rpartition("/")[2])
    assert "uploads were removed" in refusal(api.post(f"{failed}/retry"))


def test_batches_that_failed_as_a_whole_run_again_as_a_whole(api: httpx.Client) -> None:
    table = path_of(post_csv(api, to_csv(echonest_rows(2, tempo="fast"))))
    damaged = path_of(post_audio(api, {"a.zip": zip_file({"a.wav": audio_file()})[:-30], "b.wav": audio_file()}))
    for path in (table, damaged):
        first = watch(api, path)
        faults = api.get(f"{path}/errors").json()
        assert api.post(f"{path}/retry").status_code == 202
        ended = watch(api, path)
        assert (first["state"], ended["state"]) == ("failed", "failed")
        assert (ended["error"], ended["counts"]) == (first["error"], first["counts"])
        assert api.get(f"{path}/errors").json() == faults
