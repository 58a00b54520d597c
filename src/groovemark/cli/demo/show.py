"""The demonstration on an empty database: one CSV and a few clips through the public API, and what came of them."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

FOLDER = Path(__file__).parent
PREFIX = "/api/v1"
POLL_S = 0.3
TITLES_SHOWN = 3
_FINAL = {"completed", "failed", "cancelled"}


def show_demo(address: str, client_id: str, client_secret: str, stop: threading.Event) -> None:
    """Classify the bundled demo, unless the catalog has batches already."""
    headers = {"client-id": client_id, "client-secret": client_secret}
    # trust_env off: a proxy of the environment cannot reach this machine's loopback.
    with httpx.Client(base_url=address + PREFIX, headers=headers, timeout=60, trust_env=False) as api:
        if api.get("/classifier/batches", params={"limit": 1}).raise_for_status().json()["batches"]:
            return
        console = Console()
        console.print("The database is empty, so here is a demonstration.")
        submitted = {"tracks.csv": _post_csv(api), "clips": _post_clips(api)}
        _watch(api, submitted, console, stop)
        if not stop.is_set():
            console.print(_genres(api))


def _post_csv(api: httpx.Client) -> str:
    with (FOLDER / "tracks.csv").open("rb") as file:
        answer = api.post(
            "/classifier/predict-batch",
            files={"csv_file": ("tracks.csv", file)},
            headers={"Prefer": "respond-async"},
        )
    return str(answer.raise_for_status().json()["id"])


def _post_clips(api: httpx.Client) -> str:
    clips = sorted((FOLDER / "clips").glob("*.ogg"))
    with ExitStack() as opened:
        files = [("files", (clip.name, opened.enter_context(clip.open("rb")))) for clip in clips]
        answer = api.post("/classifier/predict-batch", files=files)
    return str(answer.raise_for_status().json()["id"])


def _watch(api: httpx.Client, submitted: dict[str, str], console: Console, stop: threading.Event) -> None:
    """A bar a batch on a terminal, a line a batch elsewhere."""
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not sys.stdout.isatty()) as progress:
        bars = {name: progress.add_task(name, total=None) for name in submitted}
        waiting = dict(submitted)
        while waiting and not stop.is_set():
            for name, batch_id in list(waiting.items()):
                batch = api.get(f"/classifier/batches/{batch_id}").raise_for_status().json()
                counts = batch["counts"]
                done = counts["succeeded"] + counts["failed"]
                progress.update(bars[name], completed=done, total=counts["items"] or None)
                if batch["state"] in _FINAL:
                    del waiting[name]
                    if not sys.stdout.isatty():
                        console.print(_line(name, batch))
            stop.wait(POLL_S)


def _line(name: str, batch: dict[str, Any]) -> str:
    counts = batch["counts"]
    return f"{name}: {batch['state']} by {batch['model']}, {counts['succeeded']} of {counts['items']} classified"


def _genres(api: httpx.Client) -> Table:
    table = Table("genre", "tracks", "titles", title="Genres in the database")
    for genre in api.get("/genre/list").raise_for_status().json()["genre"]:
        titles = api.get("/genre/title-list", params={"genre": genre}).raise_for_status().json()["titles"]
        some = ", ".join(titles[:TITLES_SHOWN]) + (", …" if len(titles) > TITLES_SHOWN else "")
        table.add_row(genre, str(len(titles)), some)
    return table
