"""Writing the files of a model of texts: text.json and each member's arrays. The encoder itself is not among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from groovemark.ml.models.text.fit import Fitted
from groovemark.ml.models.text.load import TEXT_NAME


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members. Returns the names of the files written; the same members give the same bytes."""
    entries = []
    for number, one in enumerate(fitted):
        name = f"member-{number}.npz"
        with (folder / name).open("wb") as file:
            np.savez(file, allow_pickle=False, weights=one.member.weights, bias=one.member.bias, **one.member.taught)
        entries.append({"temperature": one.member.temperature, "arrays": name})
    first = fitted[0]
    content = {
        "encoder": {**asdict(first.member.encoder.identity), "width": first.member.encoder.width},
        "texts": list(first.settings.texts),
        "numbers": first.settings.numbers,
        "tuned_layers": first.settings.tuned_layers,
        "rank": first.settings.rank,
        "members": entries,
    }
    (folder / TEXT_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return [TEXT_NAME, *(str(entry["arrays"]) for entry in entries)]
