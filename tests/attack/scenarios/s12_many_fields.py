"""S12: a million urlencoded fields, deep and wide JSON, and requests whose own head has no end, to every POST."""

from __future__ import annotations

from tests.attack.place import SETTINGS
from tests.attack.posts import Bodies, post
from tests.chaos.scenario import Act, Outcome, Scenario

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
REFUSED = (400, 404, 409, 413, 415, 422)
HEAD_REFUSED = (400, 404, 409, 413, 414, 422, 431)


def play(act: Act) -> Outcome:
    outcome, thousands = Outcome(), act.size["thousands"]
    with Bodies(act.site, outcome) as bodies:
        for path in bodies.paths:

            def send(what: str, *body: bytes, headers: dict[str, str], path: str = path) -> None:
                bodies.refuse(what, path, post(bodies.target, path, body, **headers), statuses=REFUSED)

            fields = [
                b"&".join(b"f%d=1" % (1000 * block + n) for n in range(1000)) + b"&" for block in range(thousands)
            ]
            send("urlencoded fields", *fields, headers=FORM)
            send("urlencoded, one name", *[b"files=1&" * 1000] * thousands, headers=FORM)
            send("urlencoded, escaped", *[b"%25" * 1000] * thousands, headers=FORM)
            send("deep JSON", *[b"[" * 1000] * thousands, headers=JSON)
            send("deep JSON of objects", *[b'{"a":' * 1000] * thousands, headers=JSON)
            send("wide JSON", b"{", *[b'"a":1,' * 1000] * thousands, headers=JSON)
            send("a number without an end", *[b"1" * 1000] * thousands, headers=JSON)
            long = "a" * 60_000
            for what, more in (("a long header", {"X-Long": long}), ("a long key", {"Idempotency-Key": long})):
                answer = post(bodies.target, path, [b"{"], **JSON, **more)
                bodies.refuse(
                    what, path, answer, statuses=(*HEAD_REFUSED, 200, 201, 202) if "header" in what else HEAD_REFUSED
                )
            answer = bodies.target.exchange(f"POST {path}?{'a=1&' * 50_000} HTTP/1.1\r\nHost: x\r\n\r\n")
            bodies.refuse("a query of 50,000 fields", path, answer, statuses=(0, 400, 401, 414, 431))
            endless = (b"X-%d: y\r\n" % number for number in range(1000 * thousands))
            answer = bodies.target.exchange(f"POST {path} HTTP/1.1\r\nHost: x\r\n", endless)
            bodies.refuse("a head without an end", path, answer, statuses=(0, 400, 431))
    return outcome


SCENARIO = Scenario(
    "S12",
    "urlencoded with 1,000,000 fields, deep JSON, endless heads: refused, nothing stored, API + 20 MB",
    play,
    full={"thousands": 1000},
    short={"thousands": 20},
    settings=SETTINGS,
)
