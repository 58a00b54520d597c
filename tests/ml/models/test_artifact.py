from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from groovemark.errors import ModelRejected
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import is_safe_name, read_manifest, write_manifest


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_models / "tiny-echonest" / "1", tmp_path / "tiny-echonest" / "1"))


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_manifest_reads_back_as_written(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match=r"manifest\.json cannot be read"):
        registry.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"format": 2}'])
def test_manifest_that_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelRejected):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "../up"}, "name"),
        ({"version": ""}, "version"),
        ({"labels": ["b", "a"]}, "sorted"),
        ({"labels": ["a", "a"]}, "sorted"),
        ({"features_sha256": "abc"}, "features_sha256"),
        ({"metrics": {"accuracy": "high"}}, "metrics"),
        ({"files": {"../../etc/passwd": {}}}, "not safe"),
        ({"files": {"a/b": {}}}, "not safe"),
        ({"files": {"manifest.json": {}}}, "not safe"),
        ({"files": {"a.txt": {"sha256": "0" * 64, "size_bytes": -1}}}, "size_bytes"),
        ({"files": {"a.txt": {"sha256": "0", "size_bytes": 1}}}, "sha256"),
        ({"family": "forest of os.system"}, "family"),
        ({"features": "unknown-1"}, "feature set"),
        ({"features_sha256": "0" * 64}, "another definition"),
    ],
)
def test_contradictory_manifest_is_refused_with_the_reason(
    folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelRejected, match=complaint):
        registry.load(folder)


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "vocabulary.json").unlink()
    with pytest.raises(ModelRejected, match=r"lacks its file vocabulary\.json"):
        registry.load(folder)


def test_changed_file_of_the_same_size_is_refused(folder: Path) -> None:
    path = folder / "member-0-seed-0.txt"
    text = path.read_text()
    path.write_text(text.replace("shrinkage=1", "shrinkage=2", 1))
    with pytest.raises(ModelRejected, match="has changed"):
        registry.load(folder)


def test_cut_file_is_refused(folder: Path) -> None:
    path = folder / "member-0.npz"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelRejected, match="bytes"):
        registry.load(folder)


def test_link_in_place_of_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "ensemble.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ModelRejected, match="not a plain file"):
        registry.load(folder)


def test_model_in_a_folder_of_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.rename(folder.parent / "2")
    with pytest.raises(ModelRejected, match="wrong folder"):
        registry.installed(tmp_path)


def test_empty_root_has_no_models(tmp_path: Path) -> None:
    assert registry.installed(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["a.txt", "member-0.npz", "CARD.md"])
def test_plain_names_are_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a\\b", "a\0b", "a..b", "é", "a" * 101, "a\n"])
def test_odd_names_are_not_safe(name: str) -> None:
    assert not is_safe_name(name)
