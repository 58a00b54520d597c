"""In which numbers a network answers: whole, in bfloat16, or in whole numbers of eight bits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.arithmetic import has_bfloat16

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_NAMES = {"cpu": "processor", "cuda": "graphics card"}

logger = logging.getLogger(__name__)


def read_precision(value: object, where: str, known: Sequence[Precision] = PRECISIONS) -> Precision:
    """Out of a file. Raises ModelRejected for one that is not known."""
    for precision in known:
        if value == precision:
            return precision
    raise ModelRejected(f"{where}: precision must be one of {', '.join(known)}")


def require_precision(value: str, known: Sequence[Precision]) -> None:
    """Of a setting. Raises ConfigurationError for one that is not known."""
    if value not in known:
        raise ConfigurationError(f"precision must be one of {', '.join(known)}, not '{value}'")


def prepare(network: nn.Module, precision: Precision, device: torch.device) -> None:
    """Put it on the device, in fp32 or bf16, to answer and not to learn."""
    network.to(device).eval().requires_grad_(False)
    if precision == "bf16":
        network.to(torch.bfloat16)
        if not has_bfloat16(device):
            logger.warning("this %s has no instructions for bfloat16: fp32 is faster here", _NAMES[device.type])
