"""R16: the same file a hundred times in a batch: a hundred results, one inference."""

from __future__ import annotations

import hashlib

from tests.chaos.counting import accepted, calls, clip, count, post_zip
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import zip_file
from tests.posting import post_audio


def play(act: Act) -> Outcome:
    act.site.ready(1, watched=True)
    outcome = Outcome()
    for is_zip in (True, False):
        content = marked(clip(), PLAIN, number=act.random.getrandbits(31))
        names = {f"{number:03}.wav": content for number in range(act.size["copies"])}
        act.tell("in a zip" if is_zip else "as files")
        with act.site.client() as api:
            path = post_zip(api, names) if is_zip else accepted(post_audio(api, names))
            outcome.add(count(act.site, api, path, succeed=names))
        begun = [sha256 for _, sha256 in calls(act.site)].count(hashlib.sha256(content).hexdigest())
        outcome.expect(begun == 1, f"the file was worked on {begun} times")
        outcome.trials += 1
    # In a zip beside itself as a file: the same bytes whichever way they came.
    content = marked(clip(), PLAIN, number=act.random.getrandbits(31))
    with act.site.client() as api:
        files = {"zipped.zip": zip_file({"inside.wav": content}), "beside.wav": content}
        outcome.add(count(act.site, api, accepted(post_audio(api, files)), succeed=["inside.wav", "beside.wav"]))
    return outcome


SCENARIO = Scenario("R16", "the same file 100 times in a batch", play, full={"copies": 100}, short={"copies": 20})
