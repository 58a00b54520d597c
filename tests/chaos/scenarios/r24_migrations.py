"""R24: migrations down and up again under a database in use: what both revisions know is as it was."""

from __future__ import annotations

import json
from typing import Any

from groovemark.cli.db import downgrade_schema, upgrade_schema
from tests.chaos.counting import accepted, clips, count, downloaded, post_zip
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site
from tests.inputs import audio_file, many_fma_rows
from tests.ledger import watch
from tests.posting import post_audio, post_csv

BEFORE = "0001"
TABLES = (
    "catalog", "client", "client_secret", "model_version", "batch", "upload", "batch_item", "batch_fault", "track",
    "prediction", "current_label", "label_count", "result_file",
)  # fmt: skip


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    site.ready(1)
    names = clips(act.size["items"])
    with site.client() as api:
        path = post_zip(api, names)
        mixed = accepted(post_audio(api, {"good.wav": audio_file(duration_s=0.5, seed=9), "bad.wav": b"RIFF no"}))
        table = post_csv(api, many_fma_rows(50))
        assert table.status_code == 200, table.text
        outcome.add(count(site, api, path, succeed=names))
        watch(api, mixed)
        opened = api.post("/classifier/batches")  # and cancelled before it ever had a job
        assert api.post(f"/classifier/batches/{opened.json()['id']}/cancel").status_code == 202, opened.text
        site.end_workers()
        site.end_api()
        for nth in range(1, act.size["trials"] + 1):
            act.tell(f"trial {nth} of {act.size['trials']}")
            before = {name: _rows(site, name) for name in TABLES}
            downgrade_schema(site.uri, BEFORE)
            known = {name: _columns(site, name) for name in TABLES}
            upgrade_schema(site.uri)
            for name in TABLES:
                columns = known[name]
                was, now = (
                    sorted(json.dumps({column: row[column] for column in columns if column in row}) for row in rows)
                    for rows in (before[name], _rows(site, name))
                )
                outcome.lost += len(set(was) - set(now))
                outcome.doubled += len(now) - len(set(now))
                outcome.expect(was == now, f"{name} is not as it was")
            outcome.trials += 1
        site.start_api()
        outcome.expect(set(downloaded(api, path)) == set(names), "the results are not as they were")
        site.ready(1)
        outcome.add(count(site, api, path, succeed=names))
        outcome.add(count(site, api, mixed, succeed=["good.wav"], fail=["bad.wav"]))
        again = clips(8)
        outcome.add(count(site, api, post_zip(api, again), succeed=again))
    return outcome


def _rows(site: Site, table: str) -> list[dict[str, Any]]:
    return [json.loads(row["row"]) for row in site.fetch(f"SELECT to_jsonb({table})::text AS row FROM {table}")]


def _columns(site: Site, table: str) -> list[str]:
    found = site.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
    return sorted(row["column_name"] for row in found)


SCENARIO = Scenario(
    "R24", "migrations up, down, up", play, full={"items": 1_000, "trials": 5}, short={"items": 8, "trials": 1}
)
