"""Where waveforms become features: on the processor, or on a graphics card."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from groovemark.errors import ConfigurationError

Device = Literal["cpu", "cuda"]
Choice = Literal["auto", "cpu", "cuda"]

_DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Of NVIDIA's driver for Linux, and for Linux inside Windows."""


def resolve(choice: Choice) -> Device:
    """`auto` is the graphics card where torch can use one.

    Raises ConfigurationError where `cuda` is asked for and there is none.
    """
    # Torch takes seconds and hundreds of megabytes to say that there is no card; the driver's absence says it for free.
    if choice == "cpu" or (choice == "auto" and not any(driver.exists() for driver in _DRIVERS)):
        return "cpu"
    try:
        import torch
    except ModuleNotFoundError as error:
        if choice == "auto":  # the sandbox says which extra is missing, when audio comes
            return "cpu"
        raise ConfigurationError("The device cuda needs torch: pip install '.[torch]'") from error
    if torch.cuda.is_available():
        return "cuda"
    if choice == "cuda":
        raise ConfigurationError("Torch finds no CUDA device here; choose the device auto or cpu.")
    return "cpu"
