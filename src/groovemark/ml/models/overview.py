"""The table of all models under a folder: README.md beside them, written from their manifests."""

from __future__ import annotations

from collections.abc import Sequence

from groovemark.ml.models.artifact import Manifest

OVERVIEW_NAME = "README.md"
_HEADER = (
    "model",
    "features",
    "labels",
    "accuracy (95 %)",
    "macro-F1 (95 %)",
    "calibration error",
    "leaky accuracy",
    "size",
)


def describe(manifests: Sequence[Manifest]) -> str:
    """Markdown: what each model is and how good, by the headline protocol of its card.

    Imported models, of which there are no figures here, are left out: they do not ship.
    """
    shipped = [manifest for manifest in manifests if manifest.metrics]
    rows = [_HEADER, ("---",) * len(_HEADER), *(_row(manifest) for manifest in shipped)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        "# Shipped models\n\n"
        "Each folder holds `train.toml`, from which `groovemark train` makes the versions beside it. The figures are "
        "those of the headline protocol; each model's CARD.md says how they were taken. The leaky accuracy is what a "
        "careless random split would have reported.\n\n"
        f"{table}\n\n"
        "This file is written by `groovemark train`.\n"
    )


def _row(manifest: Manifest) -> tuple[str, ...]:
    metrics = manifest.metrics
    return (
        f"[{manifest.full_name}]({manifest.name}/{manifest.version}/CARD.md)",
        manifest.features,
        str(len(manifest.labels)),
        _interval(manifest, "accuracy"),
        _interval(manifest, "macro_f1"),
        f"{metrics['calibration_error']:.3f}",
        f"{metrics['leaky_accuracy']:.3f}",
        f"{manifest.size_bytes / 1e6:.1f} MB",
    )


def _interval(manifest: Manifest, name: str) -> str:
    metrics = manifest.metrics
    return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"
