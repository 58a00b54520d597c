"""A small table, and how tests open one."""

from __future__ import annotations

from pathlib import Path

from groovemark.ingest.csv import CsvLimits, CsvTable, open_csv
from groovemark.ml.features.spec import Column, FeatureSpec

SPEC = FeatureSpec(
    "test-4",
    title_required=True,
    columns=(
        Column("tags", "text"),
        Column("tempo", minimum=0),
        Column("key", "integer", minimum=0, maximum=11),
        Column("level"),
    ),
)
PLAIN = FeatureSpec("test-1", columns=(Column("level"),))
HEADER = "trackID,title,tags,tempo,key,level\n"


def table(path: Path, content: str | bytes, spec: FeatureSpec = SPEC, **limits: int) -> CsvTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_csv(path, specs=spec, limits=CsvLimits(**limits))
