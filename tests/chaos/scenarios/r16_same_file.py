"""R16: the same file a hundred times in a batch: a hundred results, one inference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from tests.chaos.counting import accepted, calls, clip, count
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import zip_file
from tests.posting import Files, post_audio


def play(act: Act) -> Outcome:
    act.site.ready(1, watched=True)
    outcome = Outcome()
    for how, sent in WAYS.items():
        content = marked(clip(), PLAIN, number=act.random.getrandbits(31))
        names = {f"{number:03}.wav": content for number in range(act.size["copies"])}
        act.tell(how)
        with act.site.client() as api:
            path = accepted(post_audio(api, sent(names)))
            outcome.add(count(act.site, api, path, succeed=names))
        begun = [sha256 for _, sha256 in calls(act.site)].count(hashlib.sha256(content).hexdigest())
        outcome.expect(begun == 1, f"{how}: the file was worked on {begun} times")
        outcome.trials += 1
    return outcome


def _zip_beside_files(files: Files) -> Files:
    """Half of them in a zip beside the others: the same bytes whichever way they came."""
    names = list(files)
    inside, beside = names[::2], names[1::2]
    return {"clips.zip": zip_file({name: files[name] for name in inside}), **{name: files[name] for name in beside}}


WAYS: Mapping[str, Callable[[Files], Files]] = {
    "in a zip": lambda files: {"clips.zip": zip_file(files)},
    "as files": lambda files: files,
    "in a zip beside files": _zip_beside_files,
}
SCENARIO = Scenario("R16", "the same file 100 times in a batch", play, full={"copies": 100}, short={"copies": 20})
