"""Kinds of jobs of the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLASSIFY: Final = "classify"
"""Read a CSV, classify its rows."""
PREPARE: Final = "prepare_audio"
"""Find out what the items of an audio batch are, and cut it into shards."""
SHARD: Final = "classify_shard"
EXPORT: Final = "export_results"

BEGIN: Final[Mapping[str, str]] = {"csv": CLASSIFY, "audio": PREPARE}
"""The job that begins a batch of each kind."""
