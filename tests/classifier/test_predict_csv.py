"""The contract of predict-batch for CSV tables, and the faults of the system it replaces."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import Service
from tests.inputs import echonest_csv, echonest_rows, fma_rows, to_csv
from tests.ledger import fetch
from tests.posting import post_csv


def info(uploaded: int, missing: int, added: int) -> dict[str, object]:
    """The whole body that existing clients read."""
    return {
        "status": "success",
        "status_code": 200,
        "info": {"total_rows_uploaded": uploaded, "total_rows_w_na": missing, "total_rows_added_to_db": added},
    }


def stored(service: Service, api: httpx.Client) -> dict[str, str]:
    """Title by external id of the client's catalog."""
    catalog = api.headers["client-id"]
    found = fetch(
        service.database_uri,
        "SELECT external_id, title FROM track JOIN catalog ON catalog.id = catalog_id WHERE name = $1",
        catalog,
    )
    return dict(found)


def faults(answer: httpx.Response) -> list[tuple[int, str, str]]:
    return [(fault.get("line"), fault.get("column"), fault["code"]) for fault in answer.json()["errors"]]


@pytest.mark.parametrize("path", ["/classifier/predict-batch", "/predict-batch"])
def test_both_routes_answer_the_exact_body_with_the_location_of_the_batch(api: httpx.Client, path: str) -> None:
    answer = api.post(path, files={"csv_file": ("tracks.csv", echonest_csv(50))})
    assert answer.status_code == 200
    assert answer.json() == info(50, 0, 50)
    batch = httpx.get(str(api.base_url.join(answer.headers["location"])), headers=api.headers).json()
    assert (batch["state"], batch["model"]) == ("completed", "echonest-8@1")
    assert answer.headers["location"] == f"/api/v1/classifier/batches/{batch['id']}"


def test_one_row_works_as_well_as_many(api: httpx.Client) -> None:
    assert post_csv(api, echonest_csv(1)).json() == info(1, 0, 1)


def test_a_header_alone_is_a_batch_of_nothing(api: httpx.Client) -> None:
    answer = post_csv(api, to_csv([], columns=list(echonest_rows(1)[0])))
    assert (answer.status_code, answer.json()) == (200, info(0, 0, 0))


def test_rows_with_an_empty_field_are_dropped_and_counted_and_words_for_nothing_are_titles(
    service: Service, api: httpx.Client
) -> None:
    records = echonest_rows(7)
    for record, title in zip(records, ["NA", "None", "null", "", "x", "x", "x"], strict=True):
        record["title"] = title
    records[4]["tempo"] = ""
    records[5]["vect_9"] = "NaN"
    records[6]["unknown"] = ""
    columns = [*records[0], "unknown"]
    assert post_csv(api, to_csv(records, columns=columns)).json() == info(7, 3, 4)
    assert sorted(stored(service, api).values()) == ["NA", "None", "null", "x"]


def test_every_bad_cell_is_reported_by_physical_line_and_nothing_is_stored(service: Service, api: httpx.Client) -> None:
    records = echonest_rows(9)
    records[0]["title"] = "two\nlines"
    records[1]["tempo"] = "fast"
    records[2]["loudness"] = "inf"
    records[3]["key"] = "12"
    records[4]["trackID"] = "5.5"
    records[5]["trackID"] = str(2**63)
    records[6]["tags"] = "a\0b"
    records[7]["title"] = "x" * 1025
    records[8]["tags"] = "x" * 65_537
    answer = post_csv(api, to_csv(records))
    assert answer.status_code == 422
    assert "location" in answer.headers
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["info"]["errorCode"] == "input_data_schema_error"
    assert faults(answer) == [
        (4, "tempo", "not_a_number"),
        (5, "loudness", "infinite"),
        (6, "key", "out_of_range"),
        (7, "trackID", "fractional"),
        (8, "trackID", "oversized"),
        (9, "tags", "nul"),
        (10, "title", "too_long"),
        (11, "tags", "too_long"),
    ]
    assert "fast" in answer.json()["errors"][0]["message"]
    assert stored(service, api) == {}
    assert api.get("/genre/list").json()["genre"] == []


def test_a_rejected_table_reports_the_first_hundred_bad_cells(api: httpx.Client) -> None:
    answer = post_csv(api, to_csv(echonest_rows(150, tempo="fast")))
    assert [line for line, _, _ in faults(answer)] == list(range(2, 102))
    path = answer.headers["location"].removeprefix("/api/v1")
    assert len(api.get(f"{path}/errors", params={"limit": 1000}).json()["errors"]) == 100
    assert api.get(path).json()["state"] == "failed"


def test_a_row_of_another_width_is_called_a_fault_and_no_cell(api: httpx.Client) -> None:
    answer = post_csv(api, to_csv(echonest_rows(2)).rstrip() + b",1\n")
    assert faults(answer) == [(3, None, "wrong_field_count")]
    assert answer.json()["detail"].startswith("The rows have 1 fault and nothing was stored; correct it")


def test_skipping_errors_stores_the_good_rows(service: Service, api: httpx.Client) -> None:
    records = echonest_rows(4)
    records[1]["tempo"] = "fast"
    records[2]["key"] = "-1"
    records[2]["mode"] = "2"
    answer = post_csv(api, to_csv(records), on_error="skip")
    assert (answer.status_code, answer.json()) == (200, info(4, 0, 2))
    assert set(stored(service, api)) == {"1", "4"}
    path = answer.headers["location"].removeprefix("/api/v1")
    found = api.get(f"{path}/errors").json()["errors"]
    assert [(fault["line"], fault["column"]) for fault in found] == [(3, "tempo"), (4, "key"), (4, "mode")]
    failed = api.get(f"{path}/items", params={"state": "failed"}).json()["items"]
    assert [(item["line"], item["error"]["column"]) for item in failed] == [(3, "tempo"), (4, "key")]
    assert [item["external_id"] for item in failed] == ["2", "3"], "the id was good"
    assert api.get(path).json()["counts"] == {
        "rows_uploaded": 4,
        "rows_w_na": 0,
        "items": 4,
        "succeeded": 2,
        "failed": 2,
        "cancelled": 0,
    }


def test_of_a_repeated_id_the_last_row_wins_with_a_warning_for_the_others(service: Service, api: httpx.Client) -> None:
    records = echonest_rows(4)
    for record, (track_id, title) in zip(
        records, [("7", "first"), ("8", "other"), ("07", "second"), ("7", "third")], strict=True
    ):
        record.update(trackID=track_id, title=title)
    answer = post_csv(api, to_csv(records))
    assert answer.json() == info(4, 0, 2)
    assert stored(service, api) == {"7": "third", "8": "other"}
    path = answer.headers["location"].removeprefix("/api/v1")
    warnings = api.get(f"{path}/errors", params={"severity": "warning"}).json()["errors"]
    assert [(fault["item"], fault["line"], fault["code"]) for fault in warnings] == [
        ("7", 2, "duplicate_id"),
        ("7", 4, "duplicate_id"),
    ]
    assert "line 5" in warnings[0]["message"]
    assert api.get(f"{path}/errors").json()["errors"] == []


def test_track_ids_are_stored_in_canonical_form_up_to_63_bits(service: Service, api: httpx.Client) -> None:
    records = echonest_rows(4)
    for record, track_id in zip(records, ["007", "0", "5.0", str(2**63 - 1)], strict=True):
        record["trackID"] = track_id
    assert post_csv(api, to_csv(records)).status_code == 200
    assert set(stored(service, api)) == {"7", "0", "5", str(2**63 - 1)}


def test_textual_ids_keep_their_leading_zeros_and_are_the_title_where_there_is_none(
    service: Service, api: httpx.Client
) -> None:
    records = fma_rows(4)
    for record, track_id in zip(records, ["007", "7", " 7", "ä" * 255], strict=True):
        record["track_id"] = track_id
    assert post_csv(api, to_csv(records)).json() == info(4, 0, 4)
    assert stored(service, api) == {name: name for name in ("007", "7", " 7", "ä" * 255)}
    records[0]["track_id"] = "x" * 256
    assert faults(post_csv(api, to_csv(records))) == [(2, "track_id", "too_long")]


def test_columns_may_stand_in_any_order_beside_others_that_nobody_reads(api: httpx.Client) -> None:
    records = echonest_rows(3, extra="", **{"another, one": "inf"})
    columns = sorted(records[0], reverse=True)
    assert post_csv(api, to_csv(records, columns=columns)).json() == info(3, 0, 3)


@pytest.mark.parametrize("column", ["trackID", "title", "tags", "duration", "vect_148"])
def test_a_table_without_a_required_column_names_it(api: httpx.Client, column: str) -> None:
    columns = [name for name in echonest_rows(1)[0] if name != column]
    answer = post_csv(api, to_csv(echonest_rows(2), columns=columns))
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert (fault["code"], fault["line"]) == ("missing_column", 1)
    assert column in fault["column"]
    assert column in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("tracks.CSV", lambda text: text.encode()),
        ("bom.csv", lambda text: b"\xef\xbb\xbf" + text.encode()),
        ("crlf.csv", lambda text: text.replace("\n", "\r\n").encode()),
        ("utf16.csv", lambda text: text.encode("utf-16")),
        ("packed.csv.gz", lambda text: gzip.compress(text.encode())),
        ("packed.csv", lambda text: gzip.compress(text.encode("utf-16"))),
    ],
)
def test_encodings_and_names_that_the_old_system_refused(api: httpx.Client, name: str, encode: object) -> None:
    table = echonest_csv(3).decode()
    assert post_csv(api, encode(table), name=name).json() == info(3, 0, 3)


def test_semicolons_separate_where_the_header_then_holds_every_column(api: httpx.Client) -> None:
    records = echonest_rows(2, tags="soft; loud")
    lines = [";".join(records[0])]
    lines += [";".join(f'"{cell}"' for cell in record.values()) for record in records]
    assert post_csv(api, "\n".join(lines).encode()).json() == info(2, 0, 2)


def test_undecodable_bytes_are_refused_with_their_offset_and_line(api: httpx.Client) -> None:
    table = echonest_csv(2)
    offset = table.index(b"\n") + 5
    answer = post_csv(api, table[:offset] + b"\xe9" + table[offset:])
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (415, "file_type_error")
    assert f"{offset:,} (line 2)" in answer.json()["detail"]
    assert "location" in answer.headers


def test_a_file_that_is_not_called_csv_is_refused_by_name(api: httpx.Client) -> None:
    answer = post_csv(api, echonest_csv(1), name="x.txt")
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (415, "file_type_error")
    assert answer.json()["info"]["message"] == (
        "The extension of input file `x.txt` is not supported. Only `.csv` files can be processed."
    )


def test_posting_tracks_again_replaces_what_was_known_of_them(service: Service, api: httpx.Client) -> None:
    assert post_csv(api, echonest_csv(200, seed=1)).json() == info(200, 0, 200)
    before = stored(service, api)
    assert post_csv(api, echonest_csv(200, seed=2)).json() == info(200, 0, 200)
    after = stored(service, api)
    assert set(after) == set(before)
    assert after != before
    listed = [
        title
        for genre in api.get("/genre/list").json()["genre"]
        for title in api.get("/genre/title-list", params={"genre": genre}).json()["titles"]
    ]
    assert sorted(listed) == sorted(after.values())


def test_eight_equal_uploads_at_once_all_succeed(service: Service, api: httpx.Client) -> None:
    table = echonest_csv(1000)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: post_csv(api, table), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(answer.json() == info(1000, 0, 1000) for answer in answers)
    assert len(stored(service, api)) == 1000
