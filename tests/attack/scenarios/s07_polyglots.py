"""S7: files that are two things at once are read as sound, or refused; nothing in them is ever carried out."""

from __future__ import annotations

import json

from tests.attack.place import SETTINGS, codes, files_below, ready_worker, unharmed
from tests.attack.playlists import polyglots
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import audio_file, fma_rows, to_csv, zip_file
from tests.ledger import FINAL, watch
from tests.posting import post_audio, post_csv


def play(act: Act) -> Outcome:
    site = act.site
    marker = site.home / "carried-out"
    attacks = polyglots(marker)
    outcome = Outcome(trials=2 * len(attacks) + 2)
    worker = ready_worker(site)
    before = {path for path in files_below(site.home) if site.storage not in path.parents}
    with unharmed(site, outcome, worker, grown_mib_max=300), site.client() as api:
        for name, content in attacks.items():
            found = codes(api, {name: content})
            outcome.expect(set(found) <= {name, ""}, f"{name}: more than one thing was made of it: {found}")
            outcome.expect(not any(code.startswith("HTTP 5") for code in found.values()), f"{name}: {found}")
            _expect_data(api, name, outcome)
        answer = post_audio(
            api, {"all.zip": zip_file({name.replace("/", "_"): c for name, c in attacks.items() if ":" not in name})}
        )
        outcome.expect(answer.status_code == 202, f"all as a zip: {answer.status_code}")
        watch(api, answer.json()["id"])
        for name, content in (
            ("csv-and-zip.csv", to_csv(fma_rows(3)) + zip_file({"a.wav": audio_file()})),
            ("zip.csv", zip_file({"a.csv": to_csv(fma_rows(3))})),
        ):
            answer = post_csv(api, content, name=name)
            outcome.expect(answer.status_code < 500, f"{name}: {answer.status_code}")
            if answer.status_code == 200:
                outcome.expect(answer.json()["state"] in FINAL, f"{name}: {answer.json()['state']}")
    outcome.expect(not marker.exists(), "something was carried out")
    after = {path for path in files_below(site.home) if site.storage not in path.parents}
    outcome.expect(after <= before, f"new files: {sorted(after - before)[:3]}")
    return outcome


def _expect_data(api: object, name: str, outcome: Outcome) -> None:
    """What is said of it is JSON, and said to be JSON, whatever stands in titles and names."""
    import httpx

    assert isinstance(api, httpx.Client)
    batches = api.get("/classifier/batches?limit=1")
    newest = batches.json()["batches"][0]["id"]
    for path in ("errors", "items", "results"):
        answer = api.get(f"/classifier/batches/{newest}/{path}", headers={"accept": "text/html, application/json"})
        kind = answer.headers["content-type"]
        outcome.expect("html" not in kind and "json" in kind, f"{name}: {path} are said to be {kind}")
        outcome.expect(answer.headers.get("x-content-type-options") == "nosniff", f"{name}: {path} may be sniffed")
        if kind == "application/json":
            json.loads(answer.text)


SCENARIO = Scenario(
    "S7",
    "polyglots: read as what they are, or refused, and never carried out",
    play,
    full={},
    short={},
    settings=SETTINGS,
)
