"""S8: thousands of damaged files through the worker. It survives, and every file ends with a label or a code."""

from __future__ import annotations

from collections import Counter

from tests.attack.mutations import mutated
from tests.attack.place import SETTINGS, codes, ready_worker, unharmed
from tests.chaos.counting import promises
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import zip_file

AT_ONCE = 500
DECODERS_ENDED = ("decoder_crashed", "decoder_timed_out")


def play(act: Act) -> Outcome:
    site, count = act.site, act.size["files"]
    outcome, told = Outcome(trials=count), Counter[str]()
    worker = ready_worker(site)
    with unharmed(site, outcome, worker, grown_mib_max=300), site.client() as api:
        for start in range(0, count, AT_ONCE):
            files = dict(mutated(number, act.random) for number in range(start, min(start + AT_ONCE, count)))
            found = codes(api, {"mutated.zip": zip_file(files)}, within_s=1200)
            outcome.lost += len(files) - len(set(found) & set(files))
            outcome.expect(set(found) == set(files), f"of {len(files)} files {len(set(found) & set(files))} have ended")
            told.update(found.values())
            act.tell(f"{start + len(files)} of {count}: {dict(told.most_common())}")
        outcome.add(promises(site, api))
    outcome.expect("unhandled_error" not in told, f"{told['unhandled_error']} files failed for reasons of ours")
    outcome.expect("attempts_exhausted" not in told, f"a worker died {told['attempts_exhausted']} times")
    ended = sum(told[code] for code in DECODERS_ENDED)
    outcome.notes.append(f"{1000 * ended / count:.1f} files in 1,000 ended their decoder: {dict(told.most_common())}")
    return outcome


SCENARIO = Scenario(
    "S8",
    "mutated audio files: the worker survives all, each ends with a label or a code",
    play,
    full={"files": 10_000},
    short={"files": 200},
    settings=SETTINGS,
)
