"""What an artifact needs besides torch, found out before torch is there."""

from __future__ import annotations

from pathlib import Path

from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_json
from groovemark.ml.models.later import require_libraries

MEMBERS_NAME = "transformer.json"


def require(folder: Path, spec: ModelSpec) -> None:
    """Raises ModelUnavailable where it answers in int8, and OpenVINO is not installed."""
    content = read_json(folder / MEMBERS_NAME)
    if isinstance(content, dict) and content.get("precision") == "int8":
        require_libraries(spec, ("openvino",), extra="openvino")
