from __future__ import annotations

from pathlib import Path

from tiny_data import write_tiny_data

from groovemark.ml.datasets.fma import read_fma
from groovemark.ml.datasets.integrity import check, out_of_range


def test_numbers_that_a_column_cannot_have_are_counted_by_column(tmp_path: Path) -> None:
    root = write_tiny_data(tmp_path / "data")
    path = root / "fma" / "features_train4000.csv"
    header, first, second, *lines = path.read_text().splitlines()
    place = header.split(",").index("tempo")
    changed = []
    for line in (first, second):
        cells = line.split(",")
        cells[place] = "-1"
        changed.append(",".join(cells))
    path.write_text("\n".join([header, *changed, *lines]) + "\n")
    dataset = read_fma(root)
    assert out_of_range(dataset) == {"tempo": 2}
    assert check(dataset).out_of_range == 2
