"""Writing the files of convolutional networks: cnn.json and each network's weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from groovemark.ml.models.cnn.fit import Fitted
from groovemark.ml.models.cnn.load import CNN_NAME, COUNTER


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members. Returns the names of the files written; the same members give the same bytes."""
    from safetensors.numpy import save as to_bytes

    members, names = [], [CNN_NAME]
    for number, one in enumerate(fitted):
        files = []
        for place, network in enumerate(one.member.networks):
            files.append(f"member-{number}-network-{place}.safetensors")
            state = {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
            kept = {name: np.ascontiguousarray(array) for name, array in state.items() if not name.endswith(COUNTER)}
            (folder / files[-1]).write_bytes(to_bytes(kept))
        members.append({"temperature": one.member.temperature, "networks": files})
        names += files
    settings = fitted[0].settings
    content = {
        "channels": list(settings.channels),
        "pool": list(settings.pool),
        "across": settings.across,
        "members": members,
    }
    (folder / CNN_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return names
