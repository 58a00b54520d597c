"""Every POST of the API, found in its own description, so that none is forgotten."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator

import httpx

from tests.attack.place import REQUEST_BYTES_MAX, Peak, files_below, ready_worker, target_of
from tests.attack.target import Answer, Target
from tests.chaos.scenario import Outcome
from tests.chaos.site import Site

GROWN_MIB_MAX = 20
REFUSED = (400, 413)


def post_paths(address: str, open_batch: str, other_batch: str) -> list[str]:
    """With the ids of batches that are there: one that takes files, and another to be started, cancelled and so on."""
    described = httpx.get(f"{address}/openapi.json").json()["paths"]
    posts = [path for path, ways in described.items() if "post" in ways]
    assert len(posts) >= 8, posts
    filled = [path.replace("{batch_id}/files", f"{open_batch}/files") for path in posts]
    filled = [path.replace("{batch_id}", other_batch) for path in filled]
    return [re.sub(r"\{[a-z_]+\}", str(uuid.UUID(int=7)), path) for path in filled]


def post(target: Target, path: str, body: Iterable[bytes], *, chunked: bool = True, **headers: str) -> Answer:
    """Raw, and never waiting for the end of a batch."""
    lines = {"Host": "localhost", **target.credentials, "Prefer": "respond-async", "Content-Type": FORM, **headers}
    if chunked:
        lines["Transfer-Encoding"] = "chunked"
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return target.exchange(head + "\r\n", _chunks(body) if chunked else body)


FORM = "multipart/form-data; boundary=b"


def _chunks(body: Iterable[bytes]) -> Iterator[bytes]:
    for piece in body:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


class Bodies:
    """Sends bodies to the API, and looks at what they leave."""

    def __init__(self, site: Site, outcome: Outcome) -> None:
        self.site, self.outcome = site, outcome
        ready_worker(site)  # without a model, every upload would be refused for that
        self.target = target_of(site)
        with self.target.client() as client:
            opened = [client.post("/api/v1/classifier/batches", json={}).json()["id"] for _ in range(2)]
        self.paths = post_paths(site.address, *opened)

    def uploads(self) -> list[str]:
        """Those that take files."""
        return [path for path in self.paths if path.endswith(("predict-batch", "/files"))]

    def refuse(self, what: str, path: str, answer: Answer, *, statuses: Iterable[int] = REFUSED) -> None:
        self.outcome.trials += 1
        self.outcome.expect(answer.status in set(statuses), f"{what} to {path}: {answer.status} {answer.body[:100]!r}")

    def __enter__(self) -> Bodies:
        for path in self.paths:  # every way is warm
            post(self.target, path, [b"--b--\r\n"])
            post(
                self.target,
                path,
                [b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n', b"x" * 65536] * 20,
            )
        self._before = self._stored()
        self._peak = Peak(self.target.pid)
        self._peak.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._peak.__exit__()
        grown = self._peak.grown_mib
        self.outcome.notes.append(f"the API took {grown:.1f} MiB more")
        self.outcome.expect(grown <= GROWN_MIB_MAX, f"{grown:.1f} MiB more, allowed are {GROWN_MIB_MAX}")
        self.outcome.expect(self._stored() == self._before, f"stored: {self._stored()} before {self._before}")
        assert self.site.api is not None
        self.outcome.expect(self.site.api.is_alive, "the API ended")

    def _stored(self) -> tuple[int, int, int, int]:
        """Files, and rows of what requests make."""
        [row] = self.site.fetch(
            "SELECT (SELECT count(*) FROM upload) AS uploads, (SELECT count(*) FROM batch) AS batches, "
            "(SELECT count(*) FROM job) AS jobs"
        )
        return len(files_below(self.site.storage)), int(row["uploads"]), int(row["batches"]), int(row["jobs"])


def endless(piece: bytes, *, more_than: int = REQUEST_BYTES_MAX) -> Iterator[bytes]:
    for _ in range(2 * more_than // len(piece)):
        yield piece


def part(name: str, content: bytes = b"", *, file_name: str | None = "a.wav", headers: bytes = b"") -> bytes:
    file = f'; filename="{file_name}"' if file_name is not None else ""
    return (
        f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n'.encode()
        + headers
        + b"\r\n"
        + content
        + b"\r\n"
    )
