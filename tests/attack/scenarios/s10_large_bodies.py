"""S10: bodies over the limit, with a length, without one, and with a false one, to every POST."""

from __future__ import annotations

from tests.attack.place import REQUEST_BYTES_MAX, SETTINGS
from tests.attack.posts import Bodies, endless, part, post
from tests.chaos.scenario import Act, Outcome, Scenario

PIECE = b"x" * 65_536
JSON = "application/json"
GONE = (400, 404, 409, 413, 415, 422)
"""A body that is not read at all need not be refused for its size."""


def play(act: Act) -> Outcome:
    outcome = Outcome()
    with Bodies(act.site, outcome) as bodies:
        target = bodies.target
        too_much = 100 * REQUEST_BYTES_MAX
        for path in bodies.paths:
            takes_files = path in bodies.uploads()
            statuses = (413,) if takes_files else GONE
            for kind in ("multipart/form-data; boundary=b", JSON):
                expected = statuses if "form" in kind else GONE
                length = {"Content-Type": kind, "Content-Length": str(too_much)}
                answer = post(target, path, endless(PIECE), chunked=False, **length)
                bodies.refuse("a length over the limit", path, answer, statuses=expected)
                start = part("files").removesuffix(b"\r\n") if "form" in kind else b'{"kind": "'
                answer = post(target, path, [start, *endless(PIECE)], **{"Content-Type": kind})
                bodies.refuse("an endless body", path, answer, statuses=expected)
                outcome.expect(answer.sent_bytes < 1.9 * REQUEST_BYTES_MAX, f"{path} was read to its end")
            answer = post(target, path, endless(PIECE), chunked=False, **{"Content-Length": "9" * 400})
            bodies.refuse("a length of 400 digits", path, answer)
            answer = post(target, path, endless(PIECE), chunked=False, **{"Content-Length": "-1"})
            bodies.refuse("a negative length", path, answer)
            answer = post(target, path, [b"x"], **{"Content-Length": "1"})
            bodies.refuse("two lengths", path, answer, statuses=GONE)
    return outcome


SCENARIO = Scenario(
    "S10",
    "bodies over the limit, with and without a length: 413 or 400, nothing stored, API + 20 MB",
    play,
    full={},
    short={},
    settings=SETTINGS,
)
