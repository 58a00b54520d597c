"""S9: playlists, concat:, file: and references to other files, named as audio, are never followed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from groovemark.errors import AudioRejected
from groovemark.ml.audio.decode import decode
from tests.attack.listening import Canary, listening
from tests.attack.place import SETTINGS, codes, ready_worker, unharmed
from tests.attack.playlists import playlists
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import zip_file

HOLD_SOUND = {"dref-alis.m4a", "dref-url.m4a", "dref-http.m4a"}
"""Read for their own samples, if at all."""


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    canary = Canary.at(site.home / "canary.wav")
    worker = ready_worker(site)
    with listening() as listener:
        attacks = playlists(canary.path, f"http://127.0.0.1:{listener.port}/")
        outcome.trials = len(attacks)
        # As uploads, most of them are refused before a decoder sees them; in a zip, every one gets to it.
        with unharmed(site, outcome, worker, grown_mib_max=300), site.client() as api:
            zipped = codes(api, {"all.zip": zip_file(attacks)})
            alone = [
                codes(api, {name: content}).get(name, "missing")
                for name, content in list(attacks.items())[:: act.size["step"]]
            ]
        for name in attacks:
            may = {"succeeded"} if name in HOLD_SOUND else set()
            outcome.expect(
                zipped.get(name, "missing") not in {"succeeded", "missing"} - may, f"{name}: {zipped.get(name)}"
            )
        outcome.expect("missing" not in alone, "of an upload nothing was said")
        if act.size["here"]:
            _decode_here(attacks, site.home, outcome)
        outcome.expect(not listener.heard, f"it was gone elsewhere: {listener.heard[:3]}")
    outcome.expect(not canary.was_read, "the other file was read")
    return outcome


def _decode_here(attacks: dict[str, bytes], home: Path, outcome: Outcome) -> None:
    """By the decoders alone, in this process, which may connect: they themselves follow nothing."""
    for name, content in attacks.items():
        path = home / name
        path.write_bytes(content)
        with contextlib.suppress(AudioRejected):
            decode(path, 22_050)
            outcome.expect(name in HOLD_SOUND, f"{name} was decoded")
        path.unlink()


SCENARIO = Scenario(
    "S9",
    "ffmpeg playlists, concat:, file:, references: never followed, nobody calls, the other file is not read",
    play,
    full={"step": 1, "here": 1},
    short={"step": 7, "here": 0},
    settings=SETTINGS,
)
