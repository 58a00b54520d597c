"""G7: strict CSV reading against row-wise pydantic, in one run; peak memory for 10,000 and 100,000 rows.

.venv/bin/python bench/read_csv.py [ROWS]
"""

from __future__ import annotations

import csv
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field, create_model

import measure
from groovemark.cli.demo.rows import write_echonest_csv
from groovemark.ingest.csv import CsvLimits, open_csv, warm_up
from groovemark.ml.features.sets import ECHONEST_155

ROUNDS = 3
BLOCK_ROWS = 2_000
RATIO_FLOOR = 8
MEMORY_LIMIT_MIB = 200


def read_ours(path: Path) -> int:
    rows = 0
    for block in open_csv(path, specs=ECHONEST_155, limits=CsvLimits()).blocks():
        assert not block.faults
        rows += len(block.features)
    return rows


def row_model() -> type[BaseModel]:
    """The same rules as a pydantic model: finite numbers, ranges, an id of 63 bits, texts that are not empty."""
    fields = {
        "trackID": Annotated[int, Field(ge=0, le=2**63 - 1)],
        "title": Annotated[str, Field(min_length=1, max_length=1024)],
    }
    for column in ECHONEST_155.columns:
        if column.kind == "text":
            fields[column.name] = Annotated[str, Field(min_length=1, max_length=65_536)]
        else:
            kind = int if column.kind == "integer" else float
            limits = Field(ge=column.minimum, le=column.maximum, **({} if kind is int else {"allow_inf_nan": False}))
            fields[column.name] = Annotated[kind, limits]
    return create_model("Row", **{name: (kind, ...) for name, kind in fields.items()})


def read_row_wise(path: Path, model: type[BaseModel]) -> int:
    """Each row through the model; like ours, it hands out blocks of ids, titles, tags and a matrix of numbers."""
    names = ECHONEST_155.numeric_names
    rows = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        while block := [model.model_validate(row) for row in islice(reader, BLOCK_ROWS)]:
            texts = [(str(row.trackID), row.title, row.tags) for row in block]
            numbers = np.array([[getattr(row, name) for name in names] for row in block])
            rows += len(texts)
            assert numbers.shape == (len(block), len(names))
    return rows


def main(rows: int) -> bool:
    print(measure.machine())
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.csv", Path(folder) / "small.csv"
        write_echonest_csv(large, rows, seed=7)
        write_echonest_csv(small, rows // 10, seed=7)
        size_mib = large.stat().st_size / measure.MIB
        print(f"{rows:,} rows of 157 columns, {size_mib:,.0f} MiB, {ROUNDS} rounds in turn, medians\n")
        model = row_model()
        warm_up()
        contenders = {"groovemark": lambda: read_ours(large), "row-wise pydantic": lambda: read_row_wise(large, model)}
        timings = measure.take_turns(contenders, rounds=ROUNDS)
        measure.print_table(
            ["", "cpu s", "wall s", "rows / cpu s", "MiB / cpu s"],
            [
                [
                    name,
                    f"{timing.median_cpu_s:.2f}",
                    f"{timing.median_wall_s:.2f}",
                    f"{rows / timing.median_cpu_s:,.0f}",
                    f"{size_mib / timing.median_cpu_s:,.0f}",
                ]
                for name, timing in timings.items()
            ],
        )
        print()
        script = Path(__file__)
        memory = {path: measure.memory_of(script, "--memory", str(path)) for path in (small, large)}
        measure.print_table(
            ["fresh process", "idle MiB", "peak MiB", "above idle MiB"],
            [
                [
                    f"{count:,} rows",
                    f"{found.idle_bytes / measure.MIB:.0f}",
                    f"{found.peak_bytes / measure.MIB:.0f}",
                    f"{found.above_idle_bytes / measure.MIB:.0f}",
                ]
                for count, found in zip((rows // 10, rows), memory.values(), strict=True)
            ],
        )
        print()
        ratio = timings["row-wise pydantic"].median_cpu_s / timings["groovemark"].median_cpu_s
        above = memory[large].above_idle_bytes / measure.MIB
        growth = (memory[large].peak_bytes - memory[small].peak_bytes) / measure.MIB
        return all(
            [
                measure.verdict("G7 strict CSV reading against row-wise pydantic", ratio, floor=RATIO_FLOOR),
                measure.verdict("G7 memory above idle", above, floor=MEMORY_LIMIT_MIB, unit="MiB", at_most=True),
                measure.verdict("G7 growth from a tenth of the rows", growth, floor=20, unit="MiB", at_most=True),
            ]
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure.report_memory(lambda: read_ours(Path(sys.argv[2])))
    else:
        sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000) else 1)
