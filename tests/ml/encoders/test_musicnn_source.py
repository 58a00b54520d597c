from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.musicnn_source import ARRAYS, SHARD, SHARD_BYTES, find_weights
from groovemark.ml.encoders.weights import weights_sha256
from groovemark.ml.features.sets import MUSICNN_WEIGHTS_SHA256


def write_shard(arrays: Path) -> bytes:
    """The checkpoint's data file, as TensorFlow writes it: tensors by name, each with its two moments of Adam."""
    with np.load(arrays, allow_pickle=False) as stored:
        tensors = {name.removeprefix("model/"): stored[name] for name in stored.files}
    everything = {"beta1_power": np.zeros((), np.float32), "beta2_power": np.zeros((), np.float32)}
    for name, tensor in tensors.items():
        everything[name] = tensor
        if "moving" not in name:
            everything |= {f"{name}/Adam": np.full_like(tensor, 7), f"{name}/Adam_1": np.full_like(tensor, 8)}
    return b"".join(everything[name].tobytes() for name in sorted(everything))


@pytest.fixture
def shard(musicnn_folder: Path) -> bytes:
    return write_shard(musicnn_folder / ARRAYS)


def test_the_wheel_the_package_and_the_extracted_arrays_hold_the_same_weights(
    musicnn_folder: Path, shard: bytes, tmp_path: Path
) -> None:
    wheel = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"musicnn/{SHARD}", shard)
        archive.extractall(tmp_path / "site-packages")
    assert len(shard) == SHARD_BYTES
    for source in (
        wheel,
        tmp_path / "site-packages",
        tmp_path / "site-packages" / "musicnn",
        musicnn_folder,
        musicnn_folder / ARRAYS,
    ):
        assert weights_sha256(find_weights(source)) == MUSICNN_WEIGHTS_SHA256


def test_the_installed_package_is_found_without_being_imported(
    shard: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "musicnn"
    (package / SHARD).parent.mkdir(parents=True)
    (package / SHARD).write_bytes(shard)
    (package / "__init__.py").write_text("raise ImportError('it needs TensorFlow')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert weights_sha256(find_weights(None)) == MUSICNN_WEIGHTS_SHA256


def test_one_changed_bit_is_noticed(shard: bytes, tmp_path: Path) -> None:
    changed = bytearray(shard)
    changed[0] ^= 1
    (tmp_path / SHARD).parent.mkdir()
    (tmp_path / SHARD).write_bytes(changed)
    with pytest.raises(ModelRejected, match="does not hold the expected weights"):
        find_weights(tmp_path)


def test_a_package_that_is_not_installed_is_asked_for_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModelRejected, match="pip install --no-deps musicnn"):
        find_weights(None)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="holds no weights of MusiCNN"):
        find_weights(tmp_path)


def test_a_wheel_of_another_package_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other/__init__.py", "")
    with pytest.raises(ModelRejected, match="cannot be read as weights"):
        find_weights(tmp_path / "other.whl")


def test_a_wheel_whose_weights_would_fill_the_memory_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"musicnn/{SHARD}", bytes(SHARD_BYTES + 1))
    with pytest.raises(ModelRejected, match=f"has {SHARD_BYTES + 1} bytes, not {SHARD_BYTES}"):
        find_weights(tmp_path / "bomb.whl")


def test_arrays_that_would_fill_the_memory_or_are_pickled_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", zeros=np.zeros(2 << 20, dtype=np.float32))
    with pytest.raises(ModelRejected, match="unpacks to more than"):
        find_weights(tmp_path / "bomb.npz")
    np.savez(tmp_path / "pickle.npz", anything=np.array([print], dtype=object))
    with pytest.raises(ModelRejected, match="cannot be read as weights"):
        find_weights(tmp_path / "pickle.npz")
