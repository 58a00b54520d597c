"""Where a training stands, in one file: safetensors, with what is no tensor as JSON in its header."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from groovemark.errors import ConfigurationError

_MODULE, _BEST, _OPTIMIZER = "module.", "best.", "optimizer."


@dataclass
class Standing:
    """What is known between two epochs besides the module's weights and the optimizer's moments.

    Attributes:
        epochs: how many are done.
        best_epoch: counted from 1; 0 before the first.
        losses: (loss, held-out loss) of each.
    """

    epochs: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    losses: list[tuple[float, float]] = field(default_factory=list)


def checkpoint_file(
    folder: str, module: nn.Module, settings: Mapping[str, Any], seed: int, data: Iterable[Tensor | NDArray[Any]]
) -> Path | None:
    """Where in the folder a training's standing is kept: a file of its own for everything that leads to other weights.

    Args:
        folder: nothing is kept where it is empty.
        module: before it is trained; its first weights tell another base, or other labels, apart.
        settings: all that the family and the loop go by, but none that leads to the same weights.
        data: what teaches, and what is held out.
    """
    if not folder:
        return None
    known = hashlib.sha256(json.dumps([dict(settings), seed], sort_keys=True).encode())
    for name, array in (*module.state_dict().items(), *(("", array) for array in data)):
        tensor = torch.as_tensor(array)
        known.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        known.update(tensor.detach().cpu().reshape(-1).numpy().data)
    return Path(folder) / f"{known.hexdigest()[:32]}.safetensors"


def save_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, standing: Standing, run: Mapping[str, Any]
) -> None:
    """Replace the file at once, so that a run killed here finds the last epoch's or this one's. `run`: whose it is.

    Raises ConfigurationError when it cannot be written.
    """
    from safetensors.torch import save

    tensors = {_MODULE + name: tensor for name, tensor in module.state_dict().items()}
    tensors |= {_BEST + name: tensor for name, tensor in standing.best_weights.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    about = {
        "run": dict(run),
        "epochs": standing.epochs,
        "best_epoch": standing.best_epoch,
        "best_loss": standing.best_loss,
        "losses": standing.losses,
    }
    # Tensors that share memory cannot be told apart in the file: each goes in as a copy of its own.
    content = save({name: tensor.cpu().clone() for name, tensor in tensors.items()}, {"standing": json.dumps(about)})
    try:
        _replace(path, content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written as a checkpoint: {error.strerror}") from error


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, run: Mapping[str, Any]
) -> Standing:
    """Put module and optimizer back to where the file has them; where there is no file, nothing is changed.

    Raises ConfigurationError when the file is of another run, or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return Standing()
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["standing"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a checkpoint; remove it to begin anew") from error
    if about["run"] != dict(run):
        raise ConfigurationError(f"{path} is the checkpoint of a run with other settings; remove it to begin anew")
    module.load_state_dict(_part(tensors, _MODULE))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, _OPTIMIZER).items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return Standing(
        epochs=about["epochs"],
        best_epoch=about["best_epoch"],
        best_loss=about["best_loss"],
        best_weights=_part(tensors, _BEST),
        losses=[(loss, held) for loss, held in about["losses"]],
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
