"""R15: a known Idempotency-Key with another body is refused, and changes nothing."""

from __future__ import annotations

from tests.chaos.counting import clip
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario


def play(act: Act) -> Outcome:
    outcome = Outcome()
    act.site.know_models()
    with act.site.client() as api:
        for nth in range(1, act.size["trials"] + 1):
            first, other = (
                [("files", (name, marked(clip(), PLAIN, number=act.random.getrandbits(31))))]
                for name in ("a.wav", "a.wav")
            )
            renamed = [("files", ("b.wav", first[0][1][1]))]
            headers = {"idempotency-key": f"r15-{nth}"}
            made = api.post("/classifier/predict-batch", files=first, headers=headers)
            assert made.status_code == 202, f"the first was answered {made.status_code}: {made.text[:300]}"
            for body in (other, renamed):
                refused = api.post("/classifier/predict-batch", files=body, headers=headers)
                outcome.expect(refused.status_code == 422, f"another body was answered {refused.status_code}")
                told = "idempotency_key_reused" in refused.text
                outcome.expect(told, f"the code is not idempotency_key_reused: {refused.text[:200]}")
            again = api.post("/classifier/predict-batch", files=first, headers=headers)
            outcome.expect(again.headers.get("location") == made.headers["location"], "the first is no longer known")
            outcome.trials += 1
        rows = act.site.fetch("SELECT id FROM batch WHERE client_id = $1", api.headers["client-id"])
        outcome.doubled += max(0, len(rows) - outcome.trials)
        outcome.lost += max(0, outcome.trials - len(rows))
    return outcome


SCENARIO = Scenario("R15", "a known Idempotency-Key with another body", play, full={"trials": 50}, short={"trials": 3})
