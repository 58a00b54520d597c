"""Writing the files of a forest: forest.json and each member's arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from groovemark.ml.models.forest.fit import Fitted
from groovemark.ml.models.forest.load import FOREST_NAME


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members. Returns the names of the files written; the same members give the same bytes."""
    entries = []
    for number, one in enumerate(fitted):
        name = f"member-{number}.npz"
        arrays = {field.name: getattr(one.member.trees, field.name) for field in fields(one.member.trees)}
        with (folder / name).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        entries.append({"temperature": one.member.temperature, "arrays": name})
    text = json.dumps({"members": entries}, indent=1)
    (folder / FOREST_NAME).write_text(text + "\n", encoding="utf-8")
    return [FOREST_NAME, *(str(entry["arrays"]) for entry in entries)]
