"""Reading a form as it arrives: nothing is stored before it is kept, and every limit holds on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groovemark.errors import MalformedRequest, RequestRejected, ServiceError, TooLarge
from groovemark.ingest.uploads import ReceivedForm, UploadLimits, receive_form
from groovemark.storage.local import LocalStorage
from tests.attack.target import part

LIMITS = UploadLimits(
    csv_bytes_max=1_000_000, audio_request_bytes_max=2_000_000, audio_files_max=1_000, audio_file_bytes_max=1_500_000
)
END = b"--b--\r\n"
ZIP_START = b"PK\x03\x04"


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def receive(folder: Path, *pieces: bytes, keep: bool = False, limits: UploadLimits = LIMITS) -> ReceivedForm:
    async with receive_form(
        stream(pieces),
        content_type="multipart/form-data; boundary=b",
        content_length=None,
        storage=LocalStorage(folder),
        limits=limits,
    ) as form:
        if keep:
            form.keep()
        return form


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_kept_files_lie_in_the_store_under_their_hash(tmp_path: Path) -> None:
    form = await receive(
        tmp_path,
        part("model", b" fma-8 "),
        part("files", b"one", file_name="1.wav"),
        part("files", b"two", file_name="2.wav"),
        END,
        keep=True,
    )
    assert form.texts == {"model": "fma-8"}
    assert [(file.file_name, file.head, file.stored.size_bytes) for file in form.files] == [
        ("1.wav", b"one", 3),
        ("2.wav", b"two", 3),
    ]
    paths = [LocalStorage(tmp_path).path(file.stored.sha256) for file in form.files]
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert sorted(files_in(tmp_path)) == sorted(paths)


async def test_files_of_a_form_that_is_not_kept_are_gone(tmp_path: Path) -> None:
    await receive(tmp_path, part("files", b"one", file_name="1.wav"), END)
    assert files_in(tmp_path) == []


async def test_complete_files_are_dropped_when_a_later_part_is_refused(tmp_path: Path) -> None:
    """They stayed in the store for good, where nothing referred to them."""
    with pytest.raises(RequestRejected, match="unknown field 'other'"):
        await receive(tmp_path, part("csv_file", b"x", file_name="a.csv"), part("other", b"x"), END, keep=True)
    assert files_in(tmp_path) == []


async def test_form_is_the_same_however_the_network_cuts_it(tmp_path: Path) -> None:
    content = b"\r\n--\r\n--c\r\n--bb\r\n--b\x00\r\r\n-b--" * 50
    body = part("task", b"genre") + part("csv_file", content, file_name="ä.csv") + END
    for size in (1, 2, 3, 7, 100, len(body)):
        form = await receive(tmp_path, *(body[at : at + size] for at in range(0, len(body), size)), keep=True)
        assert form.texts == {"task": "genre"}
        assert form.files[0].file_name == "ä.csv"
        assert LocalStorage(tmp_path).path(form.files[0].stored.sha256).read_bytes() == content


async def test_body_over_the_limit_of_all_is_refused_with_and_without_its_length(tmp_path: Path) -> None:
    endless = iter([b"x"] * 10)
    body = [b"\r\n" * 32_768] * 100
    with pytest.raises(TooLarge, match="body has more than"):
        await receive(tmp_path, *body)
    with pytest.raises(TooLarge, match="body has 9000000 bytes"):
        async with receive_form(
            stream(endless),
            content_type="multipart/form-data; boundary=b",
            content_length=9_000_000,
            storage=LocalStorage(tmp_path),
            limits=LIMITS,
        ):
            pass
    assert len(list(endless)) == 10, "a body that announces too much is not read"


async def test_audio_has_a_limit_a_file_and_one_for_all_files_and_a_zip_may_be_as_large_as_all(tmp_path: Path) -> None:
    allowed = b"x" * LIMITS.audio_file_bytes_max
    await receive(tmp_path, part("files", allowed, file_name="a.wav"), END)
    with pytest.raises(TooLarge, match=r"'a\.wav' has more than the 1500000 bytes"):
        await receive(tmp_path, part("files", allowed + b"x", file_name="a.wav"), END)
    with pytest.raises(TooLarge, match="The files have more than the 2000000 bytes"):
        await receive(tmp_path, *[part("files", b"x" * 700_000, file_name=name) for name in "abc"], END)
    archive = ZIP_START + b"x" * (LIMITS.audio_request_bytes_max - len(ZIP_START))
    await receive(tmp_path, part("files", archive, file_name="a.zip"), END)
    with pytest.raises(TooLarge, match=r"'a\.zip' has more than the 2000000 bytes"):
        await receive(tmp_path, part("files", archive + b"x", file_name="a.zip"), END)
    assert files_in(tmp_path) == []


async def test_exactly_as_many_files_as_allowed_are_taken(tmp_path: Path) -> None:
    files = [part("files", b"%d" % number, file_name=f"{number}.wav") for number in range(6)]
    limits = UploadLimits(1000, 1000, 5, 1000)
    form = await receive(tmp_path, part("task", b"genre"), *files[:5], END, limits=limits)
    assert len(form.of("files")) == 5
    with pytest.raises(TooLarge, match="more than 5 files"):
        await receive(tmp_path, part("task", b"genre"), *files, END, limits=limits)


async def test_many_files_and_empty_file_inputs_hold_no_descriptors(tmp_path: Path) -> None:
    """Empty inputs stayed open until the form's end: one request could take every descriptor of the process."""
    empty = [part("files", b"", file_name="") * 500]
    full = [part("files", b"%d" % number, file_name=f"{number}.wav") for number in range(40)]
    before = psutil.Process().num_fds()
    async with receive_form(
        stream([*empty, *full, END]),
        content_type="multipart/form-data; boundary=b",
        content_length=None,
        storage=LocalStorage(tmp_path),
        limits=LIMITS,
    ) as form:
        assert len(form.files) == 40
        assert psutil.Process().num_fds() - before < 10


async def test_body_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield part("csv_file", b"x" * 600_000, file_name="a.csv")[:-2]
        await asyncio.Event().wait()

    with pytest.raises(MalformedRequest, match="Nothing of the body came"):
        async with receive_form(
            dripping(),
            content_type="multipart/form-data; boundary=b",
            content_length=None,
            storage=LocalStorage(tmp_path),
            limits=LIMITS,
            silence_s=0.05,
        ):
            pass
    assert files_in(tmp_path) == []


async def test_name_of_a_file_is_shown_without_what_cannot_be_printed(tmp_path: Path) -> None:
    form = await receive(tmp_path, part("files", b"x", file_name="a\x01\x7f\u202e.wav"), END)
    assert form.files[0].file_name == "a���.wav"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"--b", b"\r\n", b"--b\r\n", END, part("files", b"x")])))
def test_no_body_whatever_raises_anything_but_the_errors_of_the_service(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-body"
    try:
        asyncio.run(receive(folder, *pieces))
    except ServiceError as error:
        assert error.status in (400, 413, 422)  # noqa: PT017
    assert files_in(folder) == []
