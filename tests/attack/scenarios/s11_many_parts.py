"""S11: forms of a hundred thousand headers, parts and crumbs, to every POST that takes a form."""

from __future__ import annotations

from collections.abc import Iterator

from tests.attack.place import MIB, SETTINGS
from tests.attack.posts import Bodies, endless, part, post
from tests.chaos.scenario import Act, Outcome, Scenario

END = b"--b--\r\n"
REFUSED = (400, 413, 422)
"""422: not every form has every field."""


def _headers(count: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n'
    for block in range(count // 1000):
        yield b"".join(b"X-%d: y\r\n" % (1000 * block + line) for line in range(1000))
    yield b"\r\nx\r\n" + END


def play(act: Act) -> Outcome:
    outcome, many = Outcome(), act.size["many"]
    with Bodies(act.site, outcome) as bodies:
        for path in bodies.uploads():

            def send(what: str, *body: bytes, path: str = path) -> None:
                bodies.refuse(what, path, post(bodies.target, path, body), statuses=REFUSED)

            bodies.refuse("headers of a part", path, post(bodies.target, path, _headers(many)))
            send("empty files", *[part("files") * 1000] * (many // 1000), END)
            send("tiny files", *[part("files", b"x") * 1000] * (many // 1000), END)
            send("texts", *[part("task", b"genre", file_name=None) * 1000] * (many // 1000), END)
            send("files without a name", *[part("files", file_name="") * 1000] * (many // 1000), END)
            send("manifests", *[part("manifest", b"file\n", file_name="a.csv") * 1000] * (many // 1000), END)
            disposition = b'--b\r\nContent-Disposition: form-data; name="files"'
            send("parameters of a header", disposition, *[b"; a=b" * 1000] * (many // 1000), b"\r\n\r\nx\r\n", END)
            for start in (b"--b\r\nX: ", b"--b\r\nX", b"--b\r\n", disposition, b"", b"--", b"\r\n\r\n"):
                send(f"a header without an end after {start!r}", start, *endless(b"y" * 65_536, more_than=8 * MIB))
            send("a text without an end", part("task", file_name=None)[:-2], *endless(b"y" * 65_536, more_than=8 * MIB))
            crumbs = part("files", b"y" * act.size["crumbs"])
            send("single bytes", *(crumbs[at : at + 1] for at in range(len(crumbs))))
    return outcome


SCENARIO = Scenario(
    "S11",
    "100,000 headers of a part, parts, crumbs; headers without an end: 413 or 400, nothing stored, API + 20 MB",
    play,
    full={"many": 100_000, "crumbs": 100_000},
    short={"many": 4_000, "crumbs": 1_000},
    settings=SETTINGS,
)
