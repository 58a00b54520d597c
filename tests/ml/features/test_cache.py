from __future__ import annotations

import dataclasses
import os

import numpy as np

from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.sets import FMA_42, GTZAN_57

FEATURES = FileFeatures(np.random.default_rng(3).random((2, 42), dtype=np.float32), "Été", 61.5)


def test_what_was_put_comes_back_bit_for_bit(tmp_path):
    FeatureCache(tmp_path).put("ab12", FMA_42, FEATURES)
    found = FeatureCache(tmp_path).get("ab12", FMA_42)
    assert found.windows.tobytes() == FEATURES.windows.tobytes()
    assert (found.title, found.duration_s) == ("Été", 61.5)


def test_other_bytes_and_another_or_a_changed_spec_find_nothing(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put("ab12", FMA_42, FEATURES)
    changed = dataclasses.replace(FMA_42, columns=FMA_42.columns[::-1])
    assert cache.get("ab13", FMA_42) is cache.get("ab12", GTZAN_57) is cache.get("ab12", changed) is None


def test_a_damaged_entry_is_none_and_can_be_put_again(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put("ab12", FMA_42, FEATURES)
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    whole = entry.read_bytes()
    for damaged in (b"", b"{}\n", whole[:-3], whole[:40], b"\xff" * 90):
        entry.write_bytes(damaged)
        assert cache.get("ab12", FMA_42) is None
    cache.put("ab12", FMA_42, FEATURES)
    assert cache.get("ab12", FMA_42) is not None


def test_the_key_is_the_content_and_not_the_name(tmp_path):
    for name in ("a.wav", "b.mp3"):
        (tmp_path / name).write_bytes(b"the same bytes")
    assert content_sha256(tmp_path / "a.wav") == content_sha256(tmp_path / "b.mp3")


def entries(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_bounded_cache_keeps_what_was_asked_for_last(tmp_path):
    FeatureCache(tmp_path).put("old", FMA_42, FEATURES)
    (old,) = (path for path in tmp_path.rglob("*") if path.is_file())
    entry_bytes = old.stat().st_blocks * 512
    cache = FeatureCache(tmp_path, bytes_max=20 * entry_bytes)
    os.utime(old, (1, 1))
    names = [f"{number:02}" for number in range(15)]
    for number, name in enumerate(names):
        cache.put(name, FMA_42, FEATURES)
        os.utime(next(tmp_path.rglob(name)), (100 + number, 100 + number))
    assert cache.get("old", FMA_42) is not None
    for name in ("a", "b", "c", "d", "e", "f"):
        cache.put(name, FMA_42, FEATURES)
    kept = entries(tmp_path)
    assert {"old", "a", "b", "c", "d", "e", "f", "14"} <= kept
    assert not {"00", "01"} & kept
    assert len(kept) <= 20


def test_what_earlier_processes_left_is_bounded_with_the_first_new_entry(tmp_path):
    unbounded = FeatureCache(tmp_path)
    for number in range(30):
        unbounded.put(f"{number:02}", FMA_42, FEATURES)
    entry_bytes = next(path for path in tmp_path.rglob("*") if path.is_file()).stat().st_blocks * 512
    FeatureCache(tmp_path, bytes_max=10 * entry_bytes).put("new", FMA_42, FEATURES)
    assert len(entries(tmp_path)) <= 10
    assert "new" in entries(tmp_path)
