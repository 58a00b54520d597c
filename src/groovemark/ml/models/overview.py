"""The table of all models under a folder: README.md beside them, written from their manifests and measured speeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from groovemark.ml.models.artifact import Manifest

OVERVIEW_NAME = "README.md"
SPEEDS_NAME = "speed.json"
NOT_MEASURED = "—"
_HEADER = (
    "model",
    "features",
    "labels",
    "accuracy (95 %)",
    "macro-F1 (95 %)",
    "calibration error",
    "leaky accuracy",
    "size",
    "a second and core",
    "GPU, a second",
    "licence",
    "command",
)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a model answers, by `bench/models.py`: clips of half a minute from the mp3 on, or rows of a table.

    Attributes:
        clips: a second and core.
        rows: a second and core, of a model that takes tables alone.
        machine: on which.
        gpu_clips: a second, with the card `gpu` and 16 processes that decode.
    """

    machine: str
    clips: float | None = None
    rows: float | None = None
    gpu_clips: float | None = None
    gpu: str = ""

    @property
    def on_processor(self) -> str:
        if self.clips is not None:
            return f"{self.clips:.2g} clips" if self.clips < 10 else f"{self.clips:.0f} clips"
        return f"{self.rows:,.0f} rows" if self.rows is not None else NOT_MEASURED

    @property
    def on_gpu(self) -> str:
        return f"{self.gpu_clips:.0f} clips" if self.gpu_clips is not None else NOT_MEASURED


def read_speeds(models: Path) -> dict[str, Speed]:
    """By name@version; none where the file is missing."""
    path = models / SPEEDS_NAME
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Speed(**entry) for name, entry in known.items()}


def write_speeds(models: Path, speeds: Mapping[str, Speed]) -> None:
    entries = {name: asdict(speed) for name, speed in sorted(speeds.items())}
    (models / SPEEDS_NAME).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def describe(manifests: Sequence[Manifest], speeds: Mapping[str, Speed]) -> str:
    """Markdown: what each model is, how good, by the headline protocol of its card, and how fast.

    Imported models, of which there are no figures here, are left out: they do not ship.
    """
    shipped = [manifest for manifest in manifests if manifest.metrics]
    rows = [_HEADER, ("---",) * len(_HEADER), *(_row(manifest, speeds.get(manifest.full_name)) for manifest in shipped)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    measured = [speeds[manifest.full_name] for manifest in shipped if manifest.full_name in speeds]
    machines = sorted({name for speed in measured for name in (speed.machine, speed.gpu) if name})
    return (
        "# Shipped models\n\n"
        "Each folder holds `train.toml`, from which `groovemark train` makes the versions beside it. The figures are "
        "those of the headline protocol; each model's CARD.md says how they were taken. The leaky accuracy is what a "
        "careless random split would have reported.\n\n"
        f"{table}\n\n"
        "A clip is a stereo mp3 of half a minute, from the file to the answer; `bench/models.py` measures"
        f"{' (' + '; '.join(machines) + ')' if machines else ''}. This file is written by it and by "
        "`groovemark train`.\n"
    )


def _row(manifest: Manifest, speed: Speed | None) -> tuple[str, ...]:
    metrics = manifest.metrics
    return (
        f"[{manifest.full_name}]({manifest.name}/{manifest.version}/CARD.md)",
        ", ".join([manifest.features, *manifest.other_features]),
        str(len(manifest.labels)),
        _interval(manifest, "accuracy"),
        _interval(manifest, "macro_f1"),
        f"{metrics['calibration_error']:.3f}",
        f"{metrics['leaky_accuracy']:.3f}",
        f"{manifest.size_bytes / 1e6:.1f} MB",
        speed.on_processor if speed else NOT_MEASURED,
        speed.on_gpu if speed else NOT_MEASURED,
        manifest.licence,
        f"`{manifest.command}`",
    )


def _interval(manifest: Manifest, name: str) -> str:
    metrics = manifest.metrics
    return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"
