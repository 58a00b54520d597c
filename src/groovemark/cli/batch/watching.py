"""A batch's progress on a terminal as a bar, elsewhere as a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from groovemark.cli.batch import stream

LINE_EVERY_S = 5.0


def watch(api: httpx.Client, batch_id: str) -> None:
    """Until the end; exit code 0 when everything was classified, else 1."""
    try:
        last = _show(stream.follow(api, batch_id))
    except KeyboardInterrupt:
        typer.echo(f"\nThe batch goes on; groovemark batch watch {batch_id}", err=True)
        raise typer.Exit(130) from None
    if last.failed:
        typer.echo(f"What went wrong: groovemark batch errors {batch_id}", err=True)
    if not last.is_success:
        raise typer.Exit(1)


def _show(found: Iterable[stream.Progress]) -> stream.Progress:
    console = Console()
    return _as_bar(found, console) if console.is_terminal else _as_lines(found)


def _as_bar(found: Iterable[stream.Progress], console: Console) -> stream.Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("", total=1.0)
        for progress in found:
            bars.update(bar, description=line(progress), completed=progress.progress)
    return progress


def _as_lines(found: Iterable[stream.Progress]) -> stream.Progress:
    next_at = 0.0
    for progress in found:
        if progress.has_ended or time.monotonic() >= next_at:
            print(line(progress))
            sys.stdout.flush()
            next_at = time.monotonic() + LINE_EVERY_S
    return progress


def line(progress: stream.Progress) -> str:
    """running, 250 of 1000 done, 3 failed, 12.5/s, 0:01:00 left"""
    parts = [progress.state]
    if progress.items:
        parts.append(f"{progress.succeeded + progress.failed} of {progress.items} done")
    elif not progress.has_ended:
        parts.append(f"{progress.progress:.0%}")
    parts += [
        f"{count} {name}" for name, count in (("failed", progress.failed), ("cancelled", progress.cancelled)) if count
    ]
    if progress.rate_per_s:
        parts.append(f"{progress.rate_per_s:.1f}/s")
    if progress.eta_s is not None and not progress.has_ended:
        parts.append(f"{timedelta(seconds=round(progress.eta_s))} left")
    return ", ".join(parts)
