"""Batches of audio files, and of zips."""

from __future__ import annotations

import hashlib
import json

import httpx
import pytest

from tests.conftest import Service
from tests.inputs import aac_file, audio_file, zip_file
from tests.ledger import watch
from tests.posting import post_audio


def items(api: httpx.Client, answer: httpx.Response) -> list[dict[str, object]]:
    """Of the batch, once it has ended."""
    location = answer.headers["location"]
    watch(api, location)
    found: list[dict[str, object]] = api.get(f"{location.removeprefix('/api/v1')}/items").json()["items"]
    return found


def test_audio_always_answers_202_with_the_batch(api: httpx.Client) -> None:
    answer = api.post(
        "/classifier/predict-batch", files={"files": ("a.wav", audio_file())}, headers={"prefer": "wait=60"}
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["links"]["self"]
    assert (answer.json()["kind"], answer.json()["model"], answer.json()["counts"]["items"]) == ("audio", "fma-8@1", 1)
    ended = watch(api, answer.headers["location"])
    assert (ended["state"], ended["progress"], ended["counts"]["succeeded"]) == ("completed", 1.0, 1)


def test_every_format_is_recognised_by_its_content_whatever_it_is_called(api: httpx.Client) -> None:
    files = {kind: audio_file(kind, sample_rate=44_100, channels=2) for kind in ("wav", "flac", "ogg", "mp3")}
    files |= {"m4a": aac_file("ipod"), "aac": aac_file("adts"), "eight": audio_file(sample_rate=8_000, channels=8)}
    found = items(api, post_audio(api, {f"{kind}.txt": content for kind, content in files.items()}))
    assert [(item["external_id"], item["state"], item["error"]) for item in found] == [
        (f"{kind}.txt", "succeeded", None) for kind in files
    ]


def test_a_zip_is_unpacked_and_its_bad_members_fail_alone(api: httpx.Client) -> None:
    members = {
        "good.wav": audio_file(title="Tagged"),
        "disc 1/side a/deep.flac": audio_file("flac"),
        "readme.txt": b"nothing to hear here",
        "broken.mp3": b"ID3" + bytes(range(256)) * 8,
        "short.wav": audio_file(duration_s=0.3),
        "nine.wav": audio_file(channels=9),
        "__MACOSX/._good.wav": b"litter",
    }
    answer = post_audio(api, {"album.zip": zip_file(members)})
    found = {item["external_id"]: item for item in items(api, answer)}
    assert list(found) == [name for name in members if not name.startswith("__MACOSX")]
    assert {name for name, item in found.items() if item["state"] == "succeeded"} == {
        "good.wav",
        "disc 1/side a/deep.flac",
    }
    assert (found["good.wav"]["title"], found["disc 1/side a/deep.flac"]["title"]) == ("Tagged", "deep")
    assert found["short.wav"]["error"]["code"] == "too_short"
    assert found["nine.wav"]["error"]["code"] == "too_many_channels"
    assert found["readme.txt"]["error"]["code"] == found["broken.mp3"]["error"]["code"] == "undecodable"
    path = answer.headers["location"].removeprefix("/api/v1")
    assert api.get(path).json()["state"] == "completed"
    counts = api.get(path).json()["counts"]
    assert (counts["items"], counts["succeeded"], counts["failed"]) == (6, 2, 4)
    faults = api.get(f"{path}/errors").json()["errors"]
    assert {fault["item"] for fault in faults} == set(found) - {"good.wav", "disc 1/side a/deep.flac"}
    assert all(fault["message"] and fault["line"] is None for fault in faults)


def test_a_damaged_zip_fails_the_batch_and_says_so(api: httpx.Client) -> None:
    answer = post_audio(api, {"album.zip": zip_file({"a.wav": audio_file()})[:-30], "b.wav": audio_file()})
    ended = watch(api, answer.headers["location"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "input_data_schema_error")
    assert (ended["counts"]["items"], ended["counts"]["failed"]) == (1, 1)
    # The files beside it failed without a word why.
    (fault,) = api.get(f"{answer.headers['location'].removeprefix('/api/v1')}/errors").json()["errors"]
    assert (fault["item"], fault["code"]) == ("b.wav", "input_data_schema_error")
    assert fault["message"] == f"The batch failed as a whole: {ended['error']['message']}"


def test_the_manifest_names_ids_and_titles_of_files_and_members(api: httpx.Client) -> None:
    manifest = b"file,external_id,title\na.wav,A-001,First\nin/b.wav,B-002,\nc.wav,,Third\nnowhere.wav,X,Y\n"
    files = {
        "a.wav": audio_file(title="Tag A"),
        "c.wav": audio_file(),
        "z.zip": zip_file({"in/b.wav": audio_file(title="Tag B")}),
    }
    answer = post_audio(api, files, manifest=manifest)
    assert [(item["external_id"], item["title"], item["state"]) for item in items(api, answer)] == [
        ("A-001", "First", "succeeded"),
        ("c.wav", "Third", "succeeded"),
        ("B-002", "Tag B", "succeeded"),
    ]
    path = answer.headers["location"].removeprefix("/api/v1")
    [warning] = api.get(f"{path}/errors", params={"severity": "warning"}).json()["errors"]
    assert (warning["item"], warning["code"]) == ("nowhere.wav", "manifest_without_file")


def test_without_manifest_and_tag_the_title_is_the_name_without_its_last_extension(api: httpx.Client) -> None:
    found = items(api, post_audio(api, {"01. a.b.wav": audio_file(), "none": audio_file()}))
    assert [(item["external_id"], item["title"]) for item in found] == [("01. a.b.wav", "01. a.b"), ("none", "none")]


def test_long_audio_is_averaged_over_windows_and_a_short_rest_is_dropped(service: Service, api: httpx.Client) -> None:
    files = {name: audio_file("flac", duration_s) for name, duration_s in (("46", 46), ("44", 44), ("29", 29))}
    answer = post_audio(api, files)
    assert [item["state"] for item in items(api, answer)] == ["succeeded"] * 3
    path = answer.headers["location"].removeprefix("/api/v1")
    whole = [json.loads(line) for line in api.get(f"{path}/results.jsonl").text.splitlines()]
    timelines = [api.get(f"{path}/items/{position}/segments").json() for position in range(3)]
    assert [timeline["window_s"] for timeline in timelines] == [30, None, None]
    assert [[segment["start_s"] for segment in timeline["segments"]] for timeline in timelines] == [[0, 30], [0], [0]]
    for line, timeline in zip(whole, timelines, strict=True):
        assert timeline["external_id"] == line["external_id"]
        for label in timeline["segments"][0]["probabilities"]:
            heard = [segment["probabilities"][label] for segment in timeline["segments"]]
            assert line[f"prob_{label}"] == pytest.approx(sum(heard) / len(heard), abs=1e-6)
        for segment in timeline["segments"]:
            assert segment["confidence"] == max(segment["probabilities"].values())
            assert segment["probabilities"][segment["label"]] == segment["confidence"]


def test_only_what_succeeded_has_a_timeline_and_only_for_its_own_catalog(service: Service, api: httpx.Client) -> None:
    answer = post_audio(api, {"a.wav": audio_file(), "b.wav": b"no audio"})
    items(api, answer)
    path = answer.headers["location"].removeprefix("/api/v1")
    assert [api.get(f"{path}/items/{position}/segments").status_code for position in (0, 1, 2, 2**31 - 1)] == [
        200,
        404,
        404,
        404,
    ]
    assert api.get(f"{path}/items/-1/segments").status_code == 422
    with service.client() as stranger:
        assert stranger.get(f"{path}/items/0/segments").status_code == 404


def test_of_two_files_of_one_name_the_last_one_wins_and_the_other_says_why_it_failed(api: httpx.Client) -> None:
    """Both once succeeded and became one track, whichever of them was finished last."""
    parts = [("files", ("a.wav", audio_file(seed=seed, title=f"Take {seed}"))) for seed in (1, 2)]
    found = items(api, api.post("/classifier/predict-batch", files=parts))
    assert [item["state"] for item in found] == ["failed", "succeeded"]
    assert found[0]["error"]["code"] == "duplicate_id"
    genre = str(found[1]["label"])
    assert api.get("/genre/title-list", params={"genre": genre}).json()["titles"] == ["Take 2"]


def test_bytes_that_were_decoded_once_are_not_decoded_again_whatever_they_come_in(
    service: Service, api: httpx.Client
) -> None:
    """Shown by an entry of the cache whose title nobody could read from the file."""
    clip = audio_file(seed=41, title="of the file")
    album = zip_file({"third.wav": clip, "other.wav": audio_file(seed=42)})
    [first] = items(api, post_audio(api, {"first.wav": clip}))
    [entry] = (service.storage / "features").rglob(hashlib.sha256(clip).hexdigest())
    entry.write_bytes(entry.read_bytes().replace(b"of the file", b"of the past"))
    [second] = items(api, post_audio(api, {"second.wav": clip}))
    third, _ = items(api, post_audio(api, {"album.zip": album}))
    assert [item["title"] for item in (first, second, third)] == ["of the file", "of the past", "of the past"]
    assert len({(item["label"], item["confidence"]) for item in (first, second, third)}) == 1
