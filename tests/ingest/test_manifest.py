"""The manifest of an audio batch."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from groovemark.errors import FileTypeRejected, InputRejected, TooLarge
from groovemark.ingest.manifest import ManifestEntry, read_manifest
from groovemark.ingest.rows import CsvLimits


def manifest(path: Path, content: str | bytes, **limits: int) -> dict[str, ManifestEntry]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {entry.file: entry for entry in read_manifest(path, limits=CsvLimits(**limits))}


def faults(path: Path, content: str) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(InputRejected) as caught:
        manifest(path, content)
    return [(fault.line, fault.column, fault.code) for fault in caught.value.faults]


def test_gives_files_ids_and_titles(tmp_path: Path) -> None:
    content = 'title,file,external_id\n"So, What",a/one.mp3,007\n,two.mp3,\nNA,three.mp3,x\n'
    assert manifest(tmp_path / "m", content) == {
        "a/one.mp3": ManifestEntry("a/one.mp3", "007", "So, What", 2),
        "two.mp3": ManifestEntry("two.mp3", None, None, 3),
        "three.mp3": ManifestEntry("three.mp3", "x", "NA", 4),
    }


def test_id_and_title_columns_may_be_left_out(tmp_path: Path) -> None:
    assert manifest(tmp_path / "m", "file\none.mp3\n") == {"one.mp3": ManifestEntry("one.mp3", None, None, 2)}
    assert manifest(tmp_path / "m", "file\n") == {}


@pytest.mark.parametrize(
    "content",
    [
        "\ufefffile;title\nö.mp3;Ö\n".encode(),
        "file,title\r\nö.mp3,Ö\r\n".encode("utf-16"),
        gzip.compress("file,title\nö.mp3,Ö".encode(), mtime=0),
    ],
)
def test_encodings_are_those_of_feature_tables(tmp_path: Path, content: bytes) -> None:
    assert manifest(tmp_path / "m", content) == {"ö.mp3": ManifestEntry("ö.mp3", None, "Ö", 2)}


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    content = f"file,external_id,title\na,1,x\na,2,x\nb,1,x\n,3,x\nc,{'9' * 256},{'t' * 1025}\nd,\ne\0,,\n"
    assert faults(tmp_path / "m", content) == [
        (3, "file", "duplicate"),
        (4, "external_id", "duplicate"),
        (5, "file", "empty"),
        (6, "external_id", "too_long"),
        (6, "title", "too_long"),
        (7, None, "wrong_field_count"),
        (8, "file", "nul"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name,title\na,b\n", (1, "file", "missing_column")),
        ("file\ttitle\na\tb\n", (1, None, "wrong_separator")),
        ("sep=;\nfile;title\na;b\n", (1, None, "separator_line")),
        ("file,titel\na,b\n", (1, "titel", "unknown_column")),
        ("file,title,title\na,b,c\n", (1, "title", "duplicate_column")),
        ('file,title\na,"b\n', (2, None, "unclosed_quote")),
    ],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, content: str, expected: tuple[int, str, str]) -> None:
    assert faults(tmp_path / "m", content) == [expected]


def test_a_column_of_files_in_another_case_is_shown(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match=r"'file'\. Case and spaces count: 'File' must be file\."):
        manifest(tmp_path / "m", "File,title\na,b\n")


def test_limits_hold(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="more than 2 rows"):
        manifest(tmp_path / "m", "file\na\nb\nc\n", rows=2)
    with pytest.raises(TooLarge):
        manifest(tmp_path / "m", gzip.compress(b"file\n" + b"a" * 100_000), size_bytes=50_000)
    with pytest.raises(FileTypeRejected, match="line 2"):
        manifest(tmp_path / "m", b"file\n\xff\n")


def test_urls_have_themselves_without_their_query_as_ids(tmp_path: Path) -> None:
    content = (
        "file,external_id\nhttps://example.com/a%20b.wav?signature=x#y,\nHTTP://example.com/c,7\n"
        "s3://bucket/a?b.wav,\nfile:///srv/music/a.wav,\nalbum/a.wav,\n"
    )
    found = manifest(tmp_path / "m", content)
    assert [(entry.is_url, entry.external_id) for entry in found.values()] == [
        (True, "https://example.com/a%20b.wav"),
        (True, "7"),
        (True, "s3://bucket/a?b.wav"),
        (True, "file:///srv/music/a.wav"),
        (False, None),
    ]


def test_urls_that_cannot_be_fetched_are_named_with_their_line_and_without_their_secrets(tmp_path: Path) -> None:
    content = (
        "file\nhttps://name:pass-word@example.com/a\nftp://name:pass-word@example.com/a\nhttp://127.1/a\n"
        f"https://example.com/{'a' * 240}\nhttps://name:pass-word@example.com/\0\ns3://key:pass-word@bucket/a\n"
        f"https://name:pass-word@example.com/{'a' * 2048}\nhttps://e.com/a?pass-word\nhttps://e.com/a?pass-word\n"
    )
    path = tmp_path / "m"
    path.write_text(content)
    with pytest.raises(InputRejected) as caught:
        list(read_manifest(path, limits=CsvLimits()))
    assert [(fault.line, fault.code) for fault in caught.value.faults] == [
        (2, "url_forbidden"),
        (3, "url_forbidden"),
        (4, "url_forbidden"),
        (5, "too_long"),
        (6, "nul"),
        (7, "url_forbidden"),
        (8, "too_long"),
        (10, "duplicate"),
    ]
    assert "pass-word" not in str([caught.value.message, caught.value.faults])


def test_rows_are_read_in_blocks_whatever_lies_between_them(tmp_path: Path) -> None:
    rows = [f'"a\n{number}.wav",{number}' for number in range(300)]
    path = tmp_path / "m"
    path.write_text("file,external_id\r\n" + "\r\n".join(rows))
    found = list(read_manifest(path, limits=CsvLimits(block_rows=7)))
    assert [entry.file for entry in found] == [f"a\n{number}.wav" for number in range(300)]
    assert [entry.line for entry in found[:3]] == [2, 4, 6]


def test_no_more_than_a_hundred_faults_are_collected(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("file\n" + "ftp://a/b\n" * 1000)
    with pytest.raises(InputRejected, match="100 faults or more") as caught:
        list(read_manifest(path, limits=CsvLimits()))
    assert len(caught.value.faults) == 100
