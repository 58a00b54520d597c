"""R12: every tenth item is corrupt: exactly these fail, each error with item, code and message."""

from __future__ import annotations

from tests.chaos.counting import clips, count, post_zip
from tests.chaos.scenario import Act, Outcome, Scenario


def play(act: Act) -> Outcome:
    act.site.ready(2)
    names = clips(act.size["items"])
    corrupt = set(act.random.sample(sorted(names), len(names) // 10))
    for nth, name in enumerate(sorted(corrupt)):
        names[name] = names[name][: 20 + nth % 20] if nth % 2 else act.random.randbytes(2_000)
    with act.site.client() as api:
        path = post_zip(api, names)
        outcome = count(act.site, api, path, succeed=names.keys() - corrupt, fail=corrupt, within_s=1_200)
        url: str | None = f"{path}/errors?limit=1000"
        while url is not None:
            answer = api.get(url)
            for fault in answer.json()["errors"]:
                whole = all(fault.get(field) for field in ("item", "code", "message"))
                outcome.expect(whole, f"an error lacks item, code or message: {fault}")
            link = answer.links.get("next", {}).get("url")
            url = link.removeprefix("/api/v1") if link else None
    outcome.trials = len(names)
    return outcome


SCENARIO = Scenario("R12", "10 % corrupt items", play, full={"items": 10_000}, short={"items": 40})
