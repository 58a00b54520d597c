"""Fetching from the web, from buckets and from the server's own folders."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
import threading
from pathlib import Path

import pytest
from servers import answer, saying, serving

from groovemark.errors import FetchFailed, StorageFull
from groovemark.ingest.guarded import FetchLimits, GuardedClient
from groovemark.ingest.remote import Remote
from groovemark.ingest.urls import check_url, scheme_of, split_s3, stem_of, without_query
from groovemark.ml.audio.slots import Abandoned

LIMITS = FetchLimits(bytes_max=100_000, total_s=20, answer_s=5)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "album"
    folder.mkdir(parents=True)
    (folder / "ö 1.wav").write_bytes(b"music")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "rooted").mkdir()
    (tmp_path / "rooted" / "secret").write_bytes(b"secret")
    return tmp_path / "root"


def remote(**allowed: object) -> Remote:
    http = GuardedClient(allowed=[ipaddress.ip_network("127.0.0.1/32")])
    return Remote(http, limits=LIMITS, **allowed)  # type: ignore[arg-type]


def refused(source: Remote, url: str, target: Path) -> str:
    with pytest.raises(FetchFailed) as caught:
        source.fetch(url, target)
    assert url not in caught.value.message
    target.unlink(missing_ok=True)
    return caught.value.reason


async def test_a_file_of_the_web_is_fetched_in_a_thread(target: Path) -> None:
    async with serving(saying(answer(b"music"))) as server:
        await asyncio.to_thread(remote().fetch, f"HTTP://127.0.0.1:{server.port}/a.wav", target)
    assert await asyncio.to_thread(target.read_bytes) == b"music"


async def test_fetching_ends_soon_after_it_is_to_stop_however_slowly_the_server_answers(target: Path) -> None:
    """A worker that was told to stop lived on for up to ten minutes, as its process waits for its threads."""

    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(bytes(1000))[:-999])
        await asyncio.sleep(60)

    stop = threading.Event()
    async with serving(drip) as server:
        fetching = asyncio.create_task(
            asyncio.to_thread(remote().fetch, f"http://127.0.0.1:{server.port}/a.wav", target, should_stop=stop.is_set)
        )
        done, _ = await asyncio.wait({fetching}, timeout=1)
        assert not done
        stop.set()
        with pytest.raises(Abandoned):
            await asyncio.wait_for(fetching, 3)


async def test_one_url_that_fails_says_why_without_its_query(target: Path) -> None:
    async with serving(saying(answer(status=403))) as server:
        with pytest.raises(FetchFailed, match=r"^The server answered 403\.$") as caught:
            await asyncio.to_thread(remote().fetch, f"http://127.0.0.1:{server.port}/a.wav?signature=x", target)
    assert caught.value.reason == "url_status"


@pytest.mark.parametrize("url", ["ftp://example.com/a", "a.wav", "/etc/passwd", "gs://bucket/a", "data:,a", ""])
def test_other_schemes_are_refused(url: str, target: Path) -> None:
    assert refused(remote(), url or "x", target) == "url_forbidden"


def test_no_file_of_the_server_is_read_by_default(root: Path, target: Path) -> None:
    assert refused(remote(), f"file://{root}/album/%C3%B6%201.wav", target) == "url_forbidden"


def test_files_below_an_allowed_root_are_read(root: Path, target: Path) -> None:
    (root / "link.wav").symlink_to(root / "album" / "ö 1.wav")
    source = remote(file_roots=[root])
    for url in (f"file://{root}/album/%C3%B6%201.wav", f"FILE://{root}/link.wav", f"file://{root}/album/../link.wav"):
        source.fetch(url, target)
        assert target.read_bytes() == b"music"
        target.unlink()


def test_nothing_outside_of_the_roots_is_read_by_any_way(root: Path, target: Path) -> None:
    outside = root.parent
    (root / "secret").symlink_to(outside / "secret")
    (root / "up").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    source = remote(file_roots=[root])
    for path in (
        f"{outside}/secret",
        f"{root}/../secret",
        f"{root}/%2e%2e/secret",
        f"{root}/secret",
        f"{root}/up/secret",
        f"{outside}/rooted/secret",
        "/etc/passwd",
        "/proc/self/environ",
        f"{outside}/there-is-none",
        f"{root}",
        f"{root}/a%00.wav",
        "localhost/etc/passwd",
    ):
        assert refused(source, f"file://{path}", target) == "url_forbidden", path
    assert refused(source, f"file://{root}/loop", target) in ("url_forbidden", "url_unreachable")


def test_only_regular_files_are_read(root: Path, target: Path) -> None:
    os.mkfifo(root / "pipe")
    source = remote(file_roots=[root, Path("/dev")])
    for path in (f"{root}/pipe", f"{root}/album", f"{root}/none.wav", "/dev/zero", "/dev/full"):
        assert refused(source, f"file://{path}", target) == "url_unreachable", path


def test_a_link_put_in_place_after_the_check_is_not_followed(root: Path, target: Path) -> None:
    """The path is resolved first; what was a folder then may be a link when it is opened."""
    from contextlib import ExitStack

    from groovemark.ingest.remote import _open_below

    (root / "album").rename(root / "moved")
    (root / "album").symlink_to(root.parent)
    with ExitStack() as stack, pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        _open_below(root, ("album", "secret"), stack)


def test_a_file_over_the_limit_is_refused(root: Path, target: Path) -> None:
    (root / "large.wav").write_bytes(b"x" * (LIMITS.bytes_max + 1))
    assert refused(remote(file_roots=[root]), f"file://{root}/large.wav", target) == "url_too_large"


def test_a_full_disk_is_no_fault_of_the_file(root: Path, tmp_path: Path) -> None:
    from groovemark.ingest.remote import _write

    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StorageFull):
        _write(full, b"music")


def test_objects_below_an_allowed_prefix_are_read_and_no_others(s3_place: str, target: Path) -> None:
    import s3fs

    bucket = s3_place.removeprefix("s3://").partition("/")[0]
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    for key, content in {"in/a.wav": b"music", "in/b c%20.wav": b"more", "inside/a.wav": b"secret"}.items():
        files.pipe_file(f"{bucket}/{key}", content)
    files.pipe_file(f"{bucket}/in/large.wav", b"x" * (LIMITS.bytes_max + 1))
    source = remote(s3_prefixes=[f"s3://{bucket}/in/"])
    source.fetch(f"s3://{bucket}/in/a.wav", target)
    assert target.read_bytes() == b"music"
    target.unlink()
    source.fetch(f"s3://{bucket}/in/b c%20.wav", target)
    assert target.read_bytes() == b"more"
    target.unlink()
    assert refused(source, f"s3://{bucket}/in/large.wav", target) == "url_too_large"
    assert refused(source, f"s3://{bucket}/in/none.wav", target) == "url_unreachable"
    for url in (
        f"{bucket}/inside/a.wav",
        f"{bucket}/in/../inside/a.wav",
        f"{bucket}/in",
        "other/in/a.wav",
        f"{bucket}/",
    ):
        assert refused(source, f"s3://{url}", target) == "url_forbidden", url
    assert refused(remote(), f"s3://{bucket}/in/a.wav", target) == "url_forbidden"
    source = remote(s3_prefixes=[f"s3://{bucket}"])
    source.fetch(f"s3://{bucket}/inside/a.wav", target)
    assert target.read_bytes() == b"secret"


def test_a_bucket_without_its_package_names_the_extra(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(FetchFailed, match=r"pip install 'groovemark\[s3\]'"):
        remote(s3_prefixes=["s3://bucket"]).fetch("s3://bucket/a.wav", target)


@pytest.mark.parametrize(
    "url",
    [
        "https://name:word@example.com/a.wav",
        "https://word@example.com/a.wav",
        "s3://key:word@bucket/a.wav",
        "file://name:word@/srv/a.wav",
        "ftp://name:word@example.com/",
        "s3://bucket",
        "s3://bucket/",
        "s3:///a.wav",
        "s3://bucket/a/../b.wav",
        "s3://bucket//a.wav",
        "file://a.wav",
        "https:///a.wav",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_by_its_looks_and_its_secrets_are_not_shown(url: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        check_url(url)
    assert "word" not in caught.value.message.replace("password", "")


@pytest.mark.parametrize(
    "url", ["https://example.com/a%20b.wav?x=1", "HTTP://example.com:8080/", "s3://bucket/a b.wav", "file:///srv/a.wav"]
)
def test_what_can_be_meant_is_not_refused(url: str) -> None:
    check_url(url)


def test_names_of_urls_for_people() -> None:
    assert stem_of("https://example.com/a/So%20What.mp3?signature=a/b.c#x") == "So What"
    assert stem_of("s3://bucket/a?b/c#1.wav") == "c#1"
    assert stem_of("https://example.com/%00%0a.wav") == "��"
    assert without_query("https://example.com/a.wav?signature=x#y") == "https://example.com/a.wav"
    assert (scheme_of("HTTPS://a"), scheme_of("album/a.wav"), scheme_of("C:/a.wav")) == ("https", "", "")
    assert split_s3("s3://bucket/a/b c.wav") == ("bucket", "a/b c.wav")
