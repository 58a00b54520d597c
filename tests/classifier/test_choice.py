"""Which model answers, and what the form may say."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.inputs import audio_file, echonest_csv, echonest_rows, fma_rows, to_csv
from tests.ledger import watch
from tests.posting import post_audio, post_csv


def model_of(api: httpx.Client, answer: httpx.Response) -> str:
    model: str = watch(api, answer.headers["location"])["model"]
    return model


@pytest.mark.parametrize(
    ("table", "model"), [(echonest_csv(2), "echonest-8@1"), (to_csv(fma_rows(2)), "fma-8@1")], ids=["157", "42"]
)
def test_the_header_decides_where_no_model_is_named(api: httpx.Client, table: bytes, model: str) -> None:
    assert model_of(api, post_csv(api, table)) == model


@pytest.mark.parametrize("name", ["fma-8", "fma-8@1"])
def test_a_model_is_named_with_or_without_its_version(api: httpx.Client, name: str) -> None:
    assert model_of(api, post_csv(api, to_csv(fma_rows(2)), model=name)) == "fma-8@1"
    assert model_of(api, post_audio(api, {"a.wav": audio_file()}, model=name)) == "fma-8@1"


def test_audio_can_go_to_another_model_than_the_default(api: httpx.Client) -> None:
    assert model_of(api, post_audio(api, {"a.wav": audio_file()})) == "fma-8@1"
    assert model_of(api, post_audio(api, {"a.wav": audio_file()}, model="gtzan-10")) == "gtzan-10@1"


def test_a_shipped_transformer_answers_for_audio_with_a_timeline_of_three_seconds(api: httpx.Client) -> None:
    answer = post_audio(api, {"a.wav": audio_file(duration_s=7.5)}, model="gtzan-ast")
    ended = watch(api, answer.headers["location"])
    assert (ended["model"], ended["counts"]["succeeded"]) == ("gtzan-ast@1", 1)
    path = answer.headers["location"].removeprefix("/api/v1")
    timeline = api.get(f"{path}/items/0/segments").json()
    assert [segment["start_s"] for segment in timeline["segments"]] == [0, 3, 6]
    assert timeline["window_s"] == 3


@pytest.mark.parametrize("name", ["fma-9", "fma-8@2", "fma", "@1"])
def test_an_unknown_model_is_refused_with_the_names_of_the_known(api: httpx.Client, name: str) -> None:
    answer = post_csv(api, echonest_csv(1), model=name)
    assert answer.status_code == 422
    assert name in answer.json()["detail"]
    named = set(answer.json()["detail"].removesuffix(".").split("installed are ")[1].split(", "))
    assert named >= {"echonest-8@1", "fma-8@1", "gtzan-10@1"}
    assert "composer-14@1" not in named  # which does another task
    assert api.get("/classifier/batches").json() == {"batches": []}


def test_a_model_of_tables_takes_no_audio(api: httpx.Client) -> None:
    answer = post_audio(api, {"a.wav": audio_file()}, model="echonest-8")
    assert answer.status_code == 422
    assert "not audio" in answer.json()["detail"]


def test_a_task_without_a_model_is_refused_with_the_tasks_there_are(api: httpx.Client) -> None:
    answer = post_csv(api, echonest_csv(1), task="mood")
    assert answer.status_code == 422
    assert "'mood'" in answer.json()["detail"]
    assert "composer, genre" in answer.json()["detail"]


def test_the_composer_of_a_file_is_asked_for_by_its_task_and_no_genre_comes_of_it(api: httpx.Client) -> None:
    answer = post_audio(api, {"a.wav": audio_file()}, task="composer")
    batch = watch(api, answer.headers["location"])
    assert (batch["task"], batch["model"], batch["counts"]["succeeded"]) == ("composer", "composer-14@1", 1)
    location = answer.headers["location"].removeprefix("/api/v1")
    (row,) = (json.loads(line) for line in api.get(f"{location}/results").text.splitlines())
    chances = {name.removeprefix("prob_"): row[name] for name in row if name.startswith("prob_")}
    assert len(chances) == 14
    assert row["label"] == max(chances, key=lambda name: chances[name])
    assert {"Beethoven", "Chopin", "Mozart"} < set(chances)
    assert api.get("/genre/list").json()["genre"] == []


def test_a_header_that_fits_no_model_names_what_the_nearest_one_misses(api: httpx.Client) -> None:
    records = fma_rows(1)
    columns = [name for name in records[0] if name not in ("mfcc_3", "zcr")]
    answer = post_csv(api, to_csv(records, columns=columns))
    assert answer.status_code == 422
    assert [fault["column"] for fault in answer.json()["errors"]] == ["mfcc_3", "zcr"]
    assert "fma-42" in answer.json()["detail"]


def test_a_header_that_does_not_fit_the_named_model_names_what_that_one_misses(api: httpx.Client) -> None:
    answer = post_csv(api, echonest_csv(1), model="fma-8")
    assert answer.status_code == 422
    columns = [fault["column"] for fault in answer.json()["errors"]]
    assert "mfcc_1" in columns
    assert "tempo" not in columns


@pytest.mark.parametrize("is_before", [True, False])
def test_form_fields_may_stand_before_or_after_the_file(api: httpx.Client, *, is_before: bool) -> None:
    """Written by hand, because httpx always sends fields first."""
    table = to_csv([{**record, "zcr": "loud"} if n else record for n, record in enumerate(fma_rows(2))])
    fields = [("on_error", None, b"skip"), ("model", None, b"fma-8"), ("task", None, b"genre")]
    parts = [("csv_file", "a.csv", table)]
    body = b""
    for name, file_name, content in fields + parts if is_before else parts + fields:
        named = f'; filename="{file_name}"' if file_name else ""
        body += f'--cut\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    answer = api.post(
        "/classifier/predict-batch",
        content=body + b"--cut--\r\n",
        headers={"content-type": "multipart/form-data; boundary=cut"},
    )
    assert answer.json()["info"] == {"total_rows_uploaded": 2, "total_rows_w_na": 0, "total_rows_added_to_db": 1}
    assert model_of(api, answer) == "fma-8@1"


@pytest.mark.parametrize("on_error", ["ignore", "SKIP"])
def test_an_unknown_way_to_treat_errors_is_refused(api: httpx.Client, on_error: str) -> None:
    answer = post_csv(api, echonest_csv(1), on_error=on_error)
    assert answer.status_code == 422
    assert "reject or skip" in answer.json()["detail"]


def test_a_form_without_a_file_or_with_both_kinds_is_refused(api: httpx.Client) -> None:
    nothing = api.post("/classifier/predict-batch", files={"model": (None, b"fma-8")})
    both = api.post(
        "/classifier/predict-batch",
        files=[("csv_file", ("a.csv", echonest_csv(1))), ("files", ("a.wav", audio_file()))],
    )
    for answer in (nothing, both):
        assert answer.status_code == 422
        assert "csv_file" in answer.json()["detail"]


def test_a_row_scores_the_same_alone_and_among_others(api: httpx.Client) -> None:
    records = echonest_rows(20)
    alone, among = (post_csv(api, to_csv(rows)).headers["location"] for rows in (records[7:8], records))
    path = "/classifier/batches/{}/results"
    [one] = api.get(path.format(alone.rpartition("/")[2])).text.splitlines()
    assert one in api.get(path.format(among.rpartition("/")[2])).text.splitlines()
