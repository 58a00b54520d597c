"""Bodies that are too large, endless, cut or crooked: refused before anything is stored, at no cost in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.attack.target import (
    AUDIO_FILE_BYTES_MAX,
    AUDIO_FILES_MAX,
    CSV_BYTES_MAX,
    UPLOAD,
    Answer,
    Target,
    part,
)

MEMORY_BYTES_MAX = 20 * 1024 * 1024
PIECE = b"x" * 65_536
FILE_START = b'--b\r\nContent-Disposition: form-data; name="csv_file"; filename="a.csv"\r\n\r\n'
END = b"--b--\r\n"


@pytest.fixture(autouse=True)
def _nothing_is_left_and_memory_is_flat(target: Target) -> Iterator[None]:
    """Holds after every attack of this file."""
    assert target.upload([part("csv_file", b"", file_name="a.txt"), END]).status == 415  # every path is warm
    before = target.memory_bytes()
    yield
    assert target.stored_files() == []
    assert target.memory_bytes() - before <= MEMORY_BYTES_MAX


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == status


def endless(piece: bytes, *, megabytes: int = 64) -> Iterator[bytes]:
    """As good as endless: far more than any limit here."""
    for _ in range(megabytes * 1024 * 1024 // len(piece)):
        yield piece


def test_body_that_announces_too_much_is_refused_before_it_comes(target: Target) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in target.credentials.items())
    answer = target.exchange(
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{head}Content-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 5000000000\r\n\r\n"
    )
    assert_problem(answer, 413)


def test_file_over_its_limit_is_refused_as_soon_as_the_limit_is_passed(target: Target) -> None:
    answer = target.upload([FILE_START, *endless(PIECE)])
    assert_problem(answer, 413)
    assert answer.sent_bytes < 48 * 1024 * 1024


def test_file_of_just_the_allowed_size_is_not_too_large(target: Target) -> None:
    # Without a worker nothing is classified; the name is what it is refused for, after it was read to its end.
    fits = part("csv_file", b"x" * CSV_BYTES_MAX, file_name="a.txt") + END
    assert_problem(target.upload([fits]), 415)
    assert_problem(target.upload([part("csv_file", b"x" * (CSV_BYTES_MAX + 1), file_name="a.txt") + END]), 413)


def test_audio_limits_hold_for_each_file_and_for_their_number(target: Target) -> None:
    large = part("files", b"x" * (AUDIO_FILE_BYTES_MAX + 1), file_name="a.wav")
    assert_problem(target.upload([large, END]), 413)
    many = [part("files", b"x", file_name=f"{number}.wav") for number in range(AUDIO_FILES_MAX + 1)]
    assert_problem(target.upload([*many, END]), 413)


def test_hundred_thousand_parts_are_refused(target: Target) -> None:
    assert_problem(target.upload([part("files", b"", file_name="") * 1000] * 100), 413)
    assert_problem(target.upload([part("task", b"genre") * 1000] * 100), 413)


def test_hundred_thousand_headers_of_a_part_are_refused(target: Target) -> None:
    headers = (b"".join(b"X-%d: y\r\n" % (1000 * block + line) for line in range(1000)) for block in range(100))
    assert_problem(target.upload([b"--b\r\n", *headers]), 400)


@pytest.mark.parametrize(
    "start",
    [b"--b\r\nX: ", b"--b\r\n", b"--b\r\nX", b'--b\r\nContent-Disposition: form-data; name="', b"", b"\r\n", b"--"],
    ids=["value", "name", "longer name", "field name", "preamble", "preamble after a line", "boundary"],
)
def test_endless_framing_is_refused(target: Target, start: bytes) -> None:
    answer = target.upload([start, *endless(PIECE, megabytes=8)])
    assert answer.status in (400, 413), answer.body
    assert answer.headers["content-type"] == "application/problem+json"


def test_endless_text_field_is_refused(target: Target) -> None:
    start = b'--b\r\nContent-Disposition: form-data; name="task"\r\n\r\n'
    assert_problem(target.upload([start, *endless(PIECE, megabytes=8)]), 413)


def test_body_in_single_bytes_costs_no_more_than_its_size(target: Target) -> None:
    body = FILE_START + b"y" * 100_000
    answer = target.upload(body[start : start + 1] for start in range(len(body)))
    assert_problem(answer, 400)


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n\r\nnameless\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n",
        b'--b\r\nContent-Disposition: form-data; filename="a.csv"\r\n\r\nx\r\n',
        b'--b\r\nContent-Disposition: attachment; name="csv_file"\r\n\r\nx\r\n',
        b'--b\r\nContent-Disposition: form-data; name=""\r\n\r\nx\r\n',
        b"--b\r\nContent-Type: text/csv\r\n\r\nx\r\n",
    ],
)
def test_part_without_a_name_is_refused(target: Target, body: bytes) -> None:
    assert_problem(target.upload([part("csv_file", b"id\r\n1", file_name="a.csv") + body + END]), 400)


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        FILE_START[:20],
        FILE_START,
        FILE_START + b"some rows",
        FILE_START + b"some rows\r\n--",
        FILE_START + b"some rows\r\n--b",
        FILE_START + b"some rows\r\n--b\r\n",
        FILE_START + b"some rows\r\n--b-",
    ],
)
def test_cut_body_is_refused_and_what_came_of_it_is_dropped(target: Target, cut: bytes) -> None:
    assert_problem(target.upload([cut]), 400)


def test_client_that_hangs_up_in_the_middle_leaves_nothing(target: Target) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in target.credentials.items())
    answer = target.exchange(
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{head}Content-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 1000\r\nConnection: close\r\n\r\n" + FILE_START.decode() + "rows",
        timeout_s=0.3,
    )
    assert answer.status == 0
    with target.client() as client:  # the next answer comes after the hang-up was noticed
        assert client.get("/live").status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/csv",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=b",
        f"multipart/form-data; boundary={'b' * 5000}",
        "multipart/form-data; boundary*=utf-8''b",
        "multipart/form-data; boundary=\xff\xfe",
        ";" * 10_000,
    ],
)
def test_content_type_that_frames_no_form_is_refused(target: Target, content_type: str) -> None:
    whole = part("csv_file", b"x", file_name="a.csv") + END
    assert_problem(target.upload([whole], **{"Content-Type": content_type}), 400)


def test_million_urlencoded_fields_are_not_even_read(target: Target) -> None:
    fields = b"&".join(b"f%d=1" % number for number in range(1000))
    answer = target.upload([fields] * 1000, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert_problem(answer, 400)


def test_boundary_inside_the_content_does_not_end_the_part(target: Target) -> None:
    tricky = b"\r\n--\r\n--c\r\n--bb\r\n--b\x00--b\r\r\n-b--"
    answer = target.upload([part("csv_file", tricky, file_name="a.txt") + END])
    assert_problem(answer, 415)  # one file, and its name is what is wrong with it


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (part("csv_file", b"", file_name=""), 422),
        (part("files", b"", file_name="") * 5, 422),
        (part("csv_file", b"rows", file_name=""), 422),
        (part("csv_file", b"rows"), 422),
        (part("csv_file", b"x", file_name="a.csv") * 2, 422),
        (part("csv_file", b"x", file_name="a.csv") + part("files", b"x", file_name="a.wav"), 422),
        (part("csv_file", b"x", file_name="a.csv") + part("other", b"x"), 422),
        (part("csv_file", b"x", file_name="a.csv") + part("task", b"no such task"), 422),
        (part("csv_file", b"x", file_name="a.csv") + part("task", b"genre\x00"), 422),
        (part("csv_file", b"x", file_name="a.csv") + part("model", b"\xff\x00"), 422),
        (part("csv_file", b"x", file_name="a.csv") + part("on_error", b"ignore"), 422),
        (part("files", b"x", file_name="x" * 501), 422),
        (part("csv_file", b"x", file_name="../../etc/passwd\x00"), 415),
    ],
)
def test_form_that_makes_no_sense_is_refused_and_its_files_are_dropped(
    target: Target, body: bytes, status: int
) -> None:
    """Files stayed in the store for good when a later part of the same form was refused."""
    assert_problem(target.upload([body + END]), status)


def test_request_headers_without_end_close_the_connection(target: Target) -> None:
    """The HTTP parser kept every header until the last one had come, before anybody was asked for credentials."""
    many = (b"".join(b"x-%d: %b\r\n" % (number, b"y" * 1000) for number in range(50)) for _ in range(1000))
    assert target.exchange("GET /live HTTP/1.1\r\nHost: x\r\n", many).status == 400
    assert target.exchange("GET /live HTTP/1.1\r\nHost: x\r\nX: ", endless(PIECE)).status == 400
    assert target.exchange("GET /", endless(PIECE)).status == 400


def test_trailers_without_end_close_the_connection(target: Target) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in target.credentials.items())
    trailers = (b"".join(b"x-%d: %b\r\n" % (number, b"y" * 1000) for number in range(50)) for _ in range(1000))
    answer = target.exchange(
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{head}Content-Type: multipart/form-data; boundary=b\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\n--b\r\n\r\n0\r\n",
        trailers,
    )
    assert answer.sent_bytes < 48 * 1024 * 1024
