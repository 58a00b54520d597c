"""Batches and what went wrong in them, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

PIPE_WIDTH = 400
ID_CHARACTERS = 36


def show_list(batches: Iterable[dict[str, Any]]) -> None:
    id_column = Column("id", no_wrap=True, min_width=ID_CHARACTERS)  # it is there to be copied
    table = Table(id_column, "state", "kind", "model", "items", "succeeded", "failed", "created")
    for batch in batches:
        counts = batch["counts"]
        table.add_row(
            batch["id"],
            batch["state"],
            batch["kind"],
            escape(batch["model"] or ""),
            str(counts["items"]),
            str(counts["succeeded"]),
            str(counts["failed"]),
            _time(batch["created_at"]),
        )
    _print(table)


def show_batch(batch: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name in ("id", "state", "kind", "task", "model"):
        table.add_row(name, escape(str(batch[name] or "")))
    for name, count in batch["counts"].items():
        table.add_row(name, str(count))
    table.add_row("progress", f"{batch['progress']:.1%}")
    for name in ("created_at", "started_at", "finished_at"):
        table.add_row(name.removesuffix("_at"), _time(batch[name]))
    if batch["error"]:
        table.add_row("error", escape(f"{batch['error']['code']}: {batch['error']['message']}"))
    _print(table)


def show_groups(groups: Iterable[dict[str, Any]]) -> None:
    table = Table("code", "count", "examples")
    for group in groups:
        table.add_row(group["code"], str(group["count"]), "\n".join(map(_fault, group["examples"])))
    _print(table)


def _fault(fault: dict[str, Any]) -> str:
    places = [fault["item"] or ""] + [f"{name} {fault[name]}" for name in ("line", "column") if fault[name] is not None]
    return escape(f"{', '.join(filter(None, places))}: {fault['message']}")


def _time(stamp: str | None) -> str:
    return stamp[:19].replace("T", " ") if stamp else ""


def _print(table: Table) -> None:
    """Whole where it does not go to a terminal: a pipe has no width."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table)
