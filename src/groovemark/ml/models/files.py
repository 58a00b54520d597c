"""Reading the files of an artifact: nothing in them is executed, and nothing is believed unchecked."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.models.artifact import is_safe_name

ARRAYS_BYTES_MAX = 64 << 20
TEMPERATURES = (0.01, 100.0)
"""From the surest to the least sure that answers can be made."""
JSON_BYTES_MAX = 16 << 20
_HEADER_BYTES_MAX = 4096
_KINDS = "fiu"


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ModelRejected."""
    try:
        if path.stat().st_size > JSON_BYTES_MAX:
            raise ModelRejected(f"{path.name} is larger than {JSON_BYTES_MAX} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelRejected(f"{path.name} cannot be read as JSON") from error


def read_temperature(content: object, where: str) -> float:
    """The entry `temperature` of an object in the file `where`. Raises ModelRejected."""
    if not isinstance(content, dict):
        raise ModelRejected(f"{where}: what has a temperature must be an object")
    temperature = content.get("temperature")
    if not isinstance(temperature, float) or not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise ModelRejected(f"{where}: a temperature must be from {TEMPERATURES[0]} to {TEMPERATURES[1]}")
    return temperature


def read_arrays(path: Path, *, bytes_max: int = ARRAYS_BYTES_MAX) -> dict[str, NDArray[Any]]:
    """The arrays of numbers in an npz file, by name.

    Raises ModelRejected for what is compressed, pickled, too large, or shorter or longer than it says.
    """
    try:
        if path.stat().st_size > bytes_max:
            raise ModelRejected(f"{path.name} is larger than {bytes_max} bytes")
        with zipfile.ZipFile(path) as archive:
            # Stored, not deflated: what is read is then never larger than the file itself.
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ModelRejected(f"{path.name} must not be compressed")
            # Entries may overlap in the file.
            if sum(info.file_size for info in archive.infolist()) > bytes_max:
                raise ModelRejected(f"{path.name} holds more than {bytes_max} bytes")
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelRejected(f"{path.name} cannot be read as arrays") from error


def safe_name(name: object, where: str) -> str:
    """A file name out of `where`. Raises ModelRejected when it might lead out of the folder."""
    if not isinstance(name, str) or not is_safe_name(name):
        raise ModelRejected(f"{where} names an unsafe file: '{shorten(str(name))}'")
    return name


def _array(data: bytes) -> NDArray[Any]:
    """An npy file. Its size is compared with its data before anything is allocated."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(version)
    shape, by_column, kind = np.lib.format.read_array_header_1_0(stream, max_header_size=_HEADER_BYTES_MAX)
    start = stream.tell()
    if kind.kind not in _KINDS or kind.itemsize * math.prod(shape) != len(data) - start:
        raise ValueError(kind)
    return np.frombuffer(data, kind, offset=start).reshape(shape, order="F" if by_column else "C").copy(order="K")
