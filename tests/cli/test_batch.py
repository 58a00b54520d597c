"""`groovemark batch`, against the running service."""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.cli.batch.stream import Event, parse
from groovemark.cli.batch.submitting import REQUEST_FILES_MAX, LocalFile, group
from tests.conftest import Service
from tests.inputs import audio_file, many_fma_rows, zip_file

Run = Callable[..., Result]


@pytest.fixture
def run(service: Service, api: httpx.Client) -> Run:
    """The command with the credentials of `api`; further settings replace those."""

    def run(*arguments: str, **settings: str) -> Result:
        environment = {
            "GROOVEMARK_URL": service.address,
            "CLIENT_ID": api.headers["client-id"],
            "CLIENT_SECRET": api.headers["client-secret"],
            **settings,
        }
        return CliRunner().invoke(app, ["batch", *arguments], env=environment)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    album = tmp_path / "album"
    (album / "disc 1").mkdir(parents=True)
    (album / "disc 1" / "a.wav").write_bytes(audio_file(seed=1))
    (album / "b.wav").write_bytes(audio_file(seed=2))
    (album / "notes.txt").write_text("not sent")
    return album


def ids(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["external_id"] for row in csv.DictReader(file)]


def test_a_folder_is_sent_watched_and_its_results_saved(run: Run, folder: Path, tmp_path: Path) -> None:
    sent = run("submit", str(folder), "--model", "fma-8")
    assert sent.exit_code == 0, sent.output
    batch_id, *lines = sent.stdout.splitlines()
    assert lines[-1].startswith("completed, 2 of 2 done")
    for kind in ("csv", "jsonl", "parquet"):
        saved = tmp_path / f"results.{kind}"
        assert run("results", batch_id, "-o", str(saved)).exit_code == 0
        assert saved.stat().st_size > 100
    assert ids(tmp_path / "results.csv") == ["b.wav", "disc 1/a.wav"]
    assert not list(tmp_path.glob(".results*"))
    assert batch_id in run("list").stdout
    assert "completed" in run("show", batch_id).stdout
    refused = run("cancel", batch_id)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "nothing to cancel" in refused.stderr


def test_what_failed_ends_with_1_is_grouped_and_can_be_retried(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mp3").write_bytes(b"ID3" + bytes(range(256)) * 8)
    archive = tmp_path / "more.zip"
    archive.write_bytes(zip_file({"short.wav": audio_file(duration_s=0.3), "fine.wav": audio_file(seed=3)}))
    sent = run("submit", str(folder), str(archive))
    batch_id, *lines = sent.stdout.splitlines()
    assert sent.exit_code == 1
    assert lines[-1].startswith("completed, 5 of 5 done, 2 failed")
    assert batch_id in sent.stderr
    grouped = run("errors", batch_id).stdout
    assert "too_short" in grouped
    assert "broken.mp3: " in grouped
    again = run("retry", batch_id)
    assert again.exit_code == 1, again.output
    assert "5 of 5 done, 2 failed" in again.stdout
    assert run("watch", batch_id).exit_code == 1


def test_a_table_is_a_batch_of_its_own(run: Run, tmp_path: Path, folder: Path) -> None:
    table = tmp_path / "tracks.csv"
    table.write_bytes(many_fma_rows(4))
    sent = run("submit", str(table), "--no-wait")
    assert sent.exit_code == 0, sent.output
    assert run("watch", sent.stdout.strip()).stdout.splitlines()[-1].startswith("completed, 4 of 4 done")
    assert run("submit", str(table), str(folder)).exit_code == 2


def test_a_broken_connection_costs_nothing_and_doubles_nothing(
    service: Service, run: Run, folder: Path, tmp_path: Path
) -> None:
    with_cuts = _Forwarder(httpx.URL(service.address).port or 0)
    sent = run("submit", str(folder), GROOVEMARK_URL=f"http://127.0.0.1:{with_cuts.port}")
    assert sent.exit_code == 0, sent.output
    assert with_cuts.cuts == 2
    assert "2 of 2 done" in sent.stdout.splitlines()[-1]


class _Forwarder:
    """Passes requests on, but cuts the first connection after each of two requests was carried out."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._to_cut = [b"/files ", b"/start "]
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as service:
            asked = bytearray()
            threading.Thread(target=self._pass_on, args=(client, service, asked), daemon=True).start()
            while answer := service.recv(65536):
                line = bytes(asked[: asked.find(b"HTTP/1.1")])
                found = next((path for path in self._to_cut if path in line), None)
                asked.clear()
                if found is not None:
                    self._to_cut.remove(found)
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)  # closing alone waits for the other thread
                    return
                client.sendall(answer)

    def _pass_on(self, client: socket.socket, service: socket.socket, asked: bytearray) -> None:
        try:
            while piece := client.recv(65536):
                asked += piece
                service.sendall(piece)
            service.shutdown(socket.SHUT_WR)
        except OSError:
            return


def test_who_is_not_let_in_is_told_so_without_the_secret(run: Run, tmp_path: Path) -> None:
    refused = run("list", CLIENT_SECRET="wrong-canary")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("groovemark: Unauthorized.")
    assert "canary" not in refused.output
    secret = tmp_path / "secret"
    secret.write_text("wrong-canary\n")
    assert run("--secret-file", str(secret), "list").exit_code == 2
    assert run("list", CLIENT_SECRET="").stderr.startswith("groovemark: Set CLIENT_SECRET")


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "no-id"),
        ("show", "00000000-0000-0000-0000-000000000000"),
        ("submit", "nowhere.wav"),
        ("results", "00000000-0000-0000-0000-000000000000", "-o", "results.xls"),
        ("--url", "ftp://example.com", "list"),
        ("--url", "http://127.0.0.1:1", "list"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_line(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.strip()


def test_requests_are_bounded_and_lose_no_file() -> None:
    files = [LocalFile(Path(str(number)), str(number), 1 << (number % 27)) for number in range(500)]
    groups = list(group(files))
    assert [file for together in groups for file in together] == files
    assert max(map(len, groups)) <= REQUEST_FILES_MAX
    assert all(len(together) == 1 or sum(file.size_bytes for file in together) <= 1 << 26 for together in groups)


def test_events_are_read_as_the_standard_says() -> None:
    def lines() -> Iterator[str]:
        yield from (": comment", "id: 4", "event: progress", "data: one", "data:two", "", "", "id", "data: three", "")
        yield "data: never ended"

    assert list(parse(lines())) == [Event("4", "one\ntwo"), Event("", "three")]
