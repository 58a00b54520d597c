"""R11: of a thousand files one crashes the decoder, hangs it, or ends every worker that begins it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping

from tests.chaos.counting import calls, clip, clips, count, post_zip
from tests.chaos.marks import CRASH, FATAL, HANG, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site

ATTEMPTS_MAX = 3
POISONS = {"decoder_crashed": CRASH, "decoder_timed_out": HANG, "attempts_exhausted": FATAL}
SETTINGS = {"CHAOS_WALL_S": "3", "ATTEMPTS_MAX": str(ATTEMPTS_MAX)}


def play(act: Act) -> Outcome:
    outcome = Outcome()
    settings = SETTINGS if act.size["poisons"] > 1 else {}
    for code, mark in list(POISONS.items())[: act.size["poisons"]]:
        act.tell(code)
        outcome.trials += 1
        names = clips(act.size["items"])
        at = act.random.randrange(len(names))
        poison = list(names)[at]
        names[poison] = marked(clip(), mark, number=act.random.getrandbits(31))
        begun_before = len(calls(act.site))
        act.site.ready(1, watched=True, **settings)
        with act.site.client() as api, _Supervisor(act.site, settings):
            path = post_zip(api, names)
            outcome.add(count(act.site, api, path, succeed=names.keys() - {poison}, fail={poison: code}))
        digest = hashlib.sha256(names[poison]).hexdigest()
        begun = [sha256 for _, sha256 in calls(act.site)[begun_before:]].count(digest)
        outcome.expect(1 <= begun <= ATTEMPTS_MAX, f"{code}: the file was begun {begun} times")
    return outcome


class _Supervisor:
    """As a supervisor would: a worker that ends is started again."""

    def __init__(self, site: Site, settings: Mapping[str, str]) -> None:
        self._site, self._settings, self._over = site, settings, threading.Event()
        self._thread = threading.Thread(target=self._replace, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _replace(self) -> None:
        while not self._over.is_set():
            if not any(worker.is_alive for worker in self._site.workers):
                self._site.start_worker(watched=True, **self._settings)
            time.sleep(0.05)


SCENARIO = Scenario(
    "R11",
    "one file that crashes or hangs the decoder, or ends its workers",
    play,
    full={"items": 1_000, "poisons": 3},
    short={"items": 10, "poisons": 1},
)
