"""S18: allowed servers that redirect inwards, in circles, or to another scheme."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from tests.attack.fetching import Ways, play
from tests.attack.place import SETTINGS
from tests.chaos.scenario import Scenario

STATUSES = (301, 302, 303, 307, 308)


def urls(ways: Ways) -> Iterator[str]:
    inside = f"127.0.0.1:{ways.inside}/a.wav"
    targets = [f"http://{inside}", f"//{inside}", f"http://[::1]:{ways.inside_six}/", "http://169.254.169.254/latest/"]
    targets += [f"http://inside.test:{ways.inside}/", f"http://[::ffff:127.0.0.1]:{ways.inside}/", "file:///etc/passwd"]
    targets += ["ftp://127.0.0.1/", "gopher://127.0.0.1/", "data:audio/wav;base64,AAAA", f"http://x@{inside}", "", "//"]
    for number, target in enumerate(targets):
        yield f"{ways.outside}/to/{number}.wav?status={STATUSES[number % 5]}&url={quote(target, safe='')}"
        twice = f"{ways.outside}/to/x?url={quote(target, safe='')}"
        yield f"{ways.outside}/to/twice-{number}.wav?status={STATUSES[number % 5]}&url={quote(twice, safe='')}"
    yield f"{ways.outside}/loop"


SCENARIO = Scenario(
    "S18",
    "redirects inwards, in circles and to other schemes: each is checked like the first URL",
    lambda act: play(act, lambda ways: list(urls(ways))[:: act.size["step"]], good=("/to/a.wav?url=/sound/b.wav",)),
    full={"step": 1},
    short={"step": 6},
    settings=SETTINGS,
)
