"""Writing the files of spectrogram transformers: config.json, transformer.json and each network's weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from groovemark.ml.models.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.transformer.classifier import Member
from groovemark.ml.models.transformer.fit import Fitted
from groovemark.ml.models.transformer.needs import MEMBERS_NAME


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members. Returns the names of the files written; the same members give the same bytes."""
    return write_members(folder, [one.member for one in fitted], fitted[0].settings.precision)


def write_members(folder: Path, members: Sequence[Member], precision: Precision) -> list[str]:
    """Write networks of one shape; a single one as Hugging Face names it, so that transformers reads it as well."""
    from safetensors.numpy import save_file

    is_single = len(members) == len(members[0].networks) == 1
    entries, names = [], [CONFIG_NAME, MEMBERS_NAME]
    for number, member in enumerate(members):
        files = []
        for place, network in enumerate(member.networks):
            files.append(WEIGHTS_NAME if is_single else f"member-{number}-network-{place}.safetensors")
            state = {name: tensor.cpu().float().numpy() for name, tensor in network.state_dict().items()}
            contiguous = {name: np.ascontiguousarray(array) for name, array in state.items()}
            save_file(contiguous, folder / files[-1], {"format": "pt"})
        entries.append({"temperature": member.temperature, "networks": files})
        names += files
    network = members[0].networks[0]
    config = {**network.shape.as_config(), "num_labels": network.labels}
    _write(folder / CONFIG_NAME, config)
    _write(folder / MEMBERS_NAME, {"precision": precision, "members": entries})
    return names


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
