"""Writing the files of a linear model: linear.json and each member's arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from groovemark.ml.models.linear.fit import Fitted
from groovemark.ml.models.linear.load import LINEAR_NAME


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members. Returns the names of the files written; the same members give the same bytes."""
    entries = []
    for number, one in enumerate(fitted):
        name = f"member-{number}.npz"
        with (folder / name).open("wb") as file:
            np.savez(file, allow_pickle=False, weights=one.member.weights, bias=one.member.bias)
        entries.append({"temperature": one.member.temperature, "arrays": name})
    (folder / LINEAR_NAME).write_text(json.dumps({"members": entries}, indent=1) + "\n", encoding="utf-8")
    return [LINEAR_NAME, *(str(entry["arrays"]) for entry in entries)]
