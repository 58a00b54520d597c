"""Writing ensemble.json: which installed models an ensemble is made of, and how much each of them counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from groovemark.ml.models.ensemble.fit import Fitted
from groovemark.ml.models.ensemble.members import ENSEMBLE_NAME, manifest_sha256


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Name the installed versions of the members that have a share. Returns the names of the files written.

    What was fitted in the rounds of a protocol is not kept: it gave the figures, and the members ship by themselves.
    Their temperature is the median of those of the rounds, as a round of few tracks may find any.
    """
    plan, root = fitted[0].plan, folder.parent.parent
    entries = []
    for member, share in zip(plan.members, plan.shares, strict=True):
        full_name = f"{member.name}@{member.version}"
        if share:
            sha256 = manifest_sha256(root, full_name)
            entries.append({"model": full_name, "weight": share, "manifest_sha256": sha256})
    found = [one.temperature for one in fitted if one.temperature is not None]
    temperature = float(np.median(found)) if found else 1.0
    text = json.dumps({"temperature": temperature, "members": entries}, indent=1)
    (folder / ENSEMBLE_NAME).write_text(text + "\n", encoding="utf-8")
    return [ENSEMBLE_NAME]
