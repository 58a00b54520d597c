"""`groovemark batch`, against the running service."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.cli.batch import files, sending
from groovemark.cli.batch.connection import Refused
from groovemark.cli.batch.files import REQUEST_FILES_MAX, LocalFile, group
from groovemark.cli.batch.stream import Event, parse
from tests.classifier.test_remote_batch import library
from tests.conftest import REACHABLE_ADDRESS, Service
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


class _Gate(BaseHTTPRequestHandler):
    """Before the service: what it answers by itself, or how often it hangs up, is told by the end of the path."""

    service: str
    refusals: dict[str, list[tuple[int, str]]]
    """Status and Retry-After."""
    hung_up: dict[str, int]
    """After so many requests that are passed on, no answer is given any more."""
    asked: list[str]

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["content-length"])))

    def _pass_on(self, body: bytes) -> None:
        end = self.path.rsplit("/", 1)[-1]
        self.asked.append(f"{self.command} {end}")
        if refusals := self.refusals.get(end):
            status, retry_after = refusals.pop(0)
            self._answer(
                status, b'{"detail": "Enough is waiting."}', {"retry-after": retry_after} if retry_after else {}
            )
            return
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        answer = httpx.request(self.command, self.service + self.path, content=body, headers=kept, timeout=60)
        left = self.hung_up.get(end)
        if left is not None:
            self.hung_up[end] = max(left - 1, 0)
        if left == 0:
            self.close_connection = True
            return
        self._answer(answer.status_code, answer.content, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


_OF_THE_CONNECTION = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


@contextmanager
def gate(
    service: Service,
    *,
    refusals: dict[str, list[tuple[int, str]]] | None = None,
    hung_up: dict[str, int] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Its address, and what was asked for."""
    told = {"service": service.address, "refusals": refusals or {}, "hung_up": hung_up or {}, "asked": []}
    handler = type("Gate", (_Gate,), told)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def opened(stderr: str) -> str:
    """The id, which is told at once."""
    found = re.search(r"^Opened batch (\S+)$", stderr, re.MULTILINE)
    assert found is not None, stderr
    return found[1]


def test_a_busy_service_is_waited_for_as_often_as_it_asks_and_the_batch_is_not_cancelled(
    service: Service, run: Run, folder: Path
) -> None:
    """After eight refusals the command gave up, and cancelled the batch with all files that had been sent."""
    busy = {"batches": [(503, "1")], "start": [(429, "1"), (503, "1")] * 5}
    with gate(service, refusals=busy) as (address, asked):
        sent = run("submit", str(folder), "--no-wait", GROOVEMARK_URL=address)
    assert sent.exit_code == 0, sent.output
    batch_id = sent.stdout.strip()
    assert batch_id == opened(sent.stderr)
    assert sent.stderr.count("Waiting 1 s, as the service asks: Enough is waiting.") == 11
    assert asked == ["POST batches"] * 2 + ["POST files"] + ["POST start"] * 11
    assert run("watch", batch_id).stdout.splitlines()[-1].startswith("completed, 2 of 2 done")


@pytest.mark.parametrize(
    ("given", "pause_s"),
    [("600", 600), ("0", 1), ("9" * 400, 86_400), ("soon", None), ("²", None), ("", None), ("date", 600)],
)
def test_the_service_says_how_long_it_is_waited_for(given: str, pause_s: float | None) -> None:
    """Ten minutes were cut to thirty seconds."""
    said = formatdate(time.time() + 600, usegmt=True) if given == "date" else given
    headers = {b"retry-after": said.encode("latin-1")}
    request = httpx.Request("POST", "http://127.0.0.1")
    found = sending.asked_pause_s(Refused(httpx.Response(503, headers=headers, request=request)))
    assert found == (pause_s if pause_s is None else pytest.approx(pause_s, abs=5))


def test_who_does_not_want_to_wait_leaves_an_open_batch_and_can_go_on(
    service: Service, api: httpx.Client, run: Run, folder: Path
) -> None:
    with gate(service, refusals={"start": [(429, "600")]}) as (address, _):
        # Where the tests run in the background, the shell has all their children ignore Ctrl-C.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "groovemark"]
        command += ["batch", "--url", address, "submit", str(folder)]
        credentials = {"CLIENT_ID": api.headers["client-id"], "CLIENT_SECRET": api.headers["client-secret"]}
        with subprocess.Popen(
            command, env={**os.environ, **credentials}, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stderr is not None
            batch_id = opened(process.stderr.readline())
            assert process.stderr.readline() == "Waiting 600 s, as the service asks: Enough is waiting.\n"
            process.send_signal(signal.SIGINT)
            assert f"groovemark batch submit --resume {batch_id}" in process.stderr.read()
        assert process.returncode == 130
    assert api.get(f"/classifier/batches/{batch_id}").json()["state"] == "open"
    resumed = run("submit", str(folder), "--resume", batch_id)
    assert resumed.exit_code == 0, resumed.output
    assert "2 of 2 done" in resumed.stdout.splitlines()[-1]
    again = run("submit", str(folder), "--resume", batch_id)
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, batch_id)
    assert "The batch is completed; nothing more is sent." in again.stderr


def test_a_lost_connection_leaves_an_open_batch_that_is_completed_without_sending_anything_twice(
    service: Service, api: httpx.Client, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service carries out the manifest, the zip and a file, and the answer to that file is lost for good."""
    monkeypatch.setattr(sending, "ATTEMPTS", 2)
    monkeypatch.setattr(files, "REQUEST_FILES_MAX", 1)
    archive, manifest = tmp_path / "more.zip", tmp_path / "manifest.csv"
    archive.write_bytes(zip_file({"c.wav": audio_file(seed=3)}))
    manifest.write_text("file,external_id,title\nb.wav,second,B\n")
    arguments = ("submit", str(archive), str(folder), "--manifest", str(manifest))
    with gate(service, hung_up={"files": 2}) as (address, _):
        broken = run(*arguments, GROOVEMARK_URL=address)
    batch_id = opened(broken.stderr)
    assert (broken.exit_code, broken.stdout) == (2, "")
    assert f"groovemark batch submit --resume {batch_id}" in broken.stderr
    assert "The service does not answer" in broken.stderr
    batch = api.get(f"/classifier/batches/{batch_id}").json()
    assert (batch["state"], batch["counts"]["items"]) == ("open", 1)
    with gate(service) as (address, asked):
        resumed = run(*arguments, "--resume", batch_id, "--no-wait", GROOVEMARK_URL=address)
    assert resumed.exit_code == 0, resumed.output
    assert asked.count("POST files") == 3  # manifest and zip once more under their keys, and the file that lacked
    assert run("watch", batch_id).exit_code == 0
    items = api.get(f"/classifier/batches/{batch_id}/items").json()["items"]
    assert sorted(item["external_id"] for item in items) == ["c.wav", "disc 1/a.wav", "second"]


def test_a_batch_that_the_service_will_not_have_is_cancelled(
    service: Service, api: httpx.Client, run: Run, folder: Path
) -> None:
    with gate(service, refusals={"files": [(413, "")]}) as (address, _):
        refused = run("submit", str(folder), GROOVEMARK_URL=address)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "groovemark: Enough is waiting." in refused.stderr
    assert "--resume" not in refused.stderr
    assert api.get(f"/classifier/batches/{opened(refused.stderr)}").json()["state"] == "cancelled"


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    yield from library(REACHABLE_ADDRESS, {"/a.wav": audio_file(seed=1), "/b.wav": audio_file(seed=2)})


def test_a_manifest_of_urls_alone_is_a_batch(run: Run, elsewhere: tuple[str, list[str]], tmp_path: Path) -> None:
    """Paths had to be given as well."""
    there, asked = elsewhere
    manifest = tmp_path / "urls.csv"
    manifest.write_text(f"file,external_id,title\n{there}/a.wav,first,A\n{there}/b.wav,second,B\n")
    sent = run("submit", "--manifest", str(manifest), "--model", "fma-8")
    assert sent.exit_code == 0, sent.output
    assert sorted(asked) == ["/a.wav", "/b.wav"]
    batch_id, *lines = sent.stdout.splitlines()
    assert lines[-1].startswith("completed, 2 of 2 done")
    assert run("results", batch_id, "-o", str(tmp_path / "results.csv")).exit_code == 0
    assert ids(tmp_path / "results.csv") == ["first", "second"]


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
        ("submit",),
        ("submit", "--manifest", "nowhere.csv"),
        ("submit", "nowhere.wav", "--resume", "00000000-0000-0000-0000-000000000000"),
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
    local = [LocalFile(Path(str(number)), str(number), 1 << (number % 27)) for number in range(500)]
    groups = list(group(local))
    assert [file for together in groups for file in together] == local
    assert max(map(len, groups)) <= REQUEST_FILES_MAX
    assert all(len(together) == 1 or sum(file.size_bytes for file in together) <= 1 << 26 for together in groups)


def test_a_zip_is_a_request_of_its_own() -> None:
    names = ["a.wav", "b.zip", "c.wav"]
    groups = list(group([LocalFile(Path(name), name, 1) for name in names]))
    assert [[file.name for file in together] for together in groups] == [["b.zip"], ["a.wav", "c.wav"]]


def test_events_are_read_as_the_standard_says() -> None:
    def lines() -> Iterator[str]:
        yield from (": comment", "id: 4", "event: progress", "data: one", "data:two", "", "", "id", "data: three", "")
        yield "data: never ended"

    assert list(parse(lines())) == [Event("4", "one\ntwo"), Event("", "three")]
