"""The invented rows of the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from groovemark.cli import demo
from groovemark.cli.demo.rows import write_echonest_csv
from groovemark.ingest.csv import Block, CsvLimits, open_csv
from groovemark.ml.features.sets import ECHONEST_155

FOLDER = Path(demo.__file__).parent


def read(path: Path) -> list[Block]:
    return list(open_csv(path, specs=ECHONEST_155, limits=CsvLimits()).blocks())


def test_rows_are_good_and_distinct(tmp_path: Path) -> None:
    write_echonest_csv(tmp_path / "rows.csv", 2_000, seed=3)
    blocks = read(tmp_path / "rows.csv")
    assert [name for block in blocks for name in block.external_ids] == [str(number) for number in range(1, 2_001)]
    assert not any(block.faults or block.rows_missing for block in blocks)
    assert len({tags for block in blocks for tags in block.features.texts["tags"]}) == 2_000
    numbers = np.concatenate([block.features.numbers for block in blocks])
    assert len(np.unique(numbers[:, -100:], axis=0)) == 2_000


def test_a_seed_gives_the_same_file_again_and_another_seed_another(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_echonest_csv(path, 20, seed=seed)
    first, second, third = (path.read_bytes() for path in paths)
    assert first == second != third


def test_the_bundled_table_is_what_the_generator_writes(tmp_path: Path) -> None:
    write_echonest_csv(tmp_path / "tracks.csv", 200, seed=1)
    written, bundled = read(tmp_path / "tracks.csv")[0], read(FOLDER / "tracks.csv")[0]
    assert written.titles == bundled.titles
    assert written.features.texts == bundled.features.texts
    np.testing.assert_allclose(written.features.numbers, bundled.features.numbers, rtol=1e-6)


def test_every_clip_is_attributed() -> None:
    clips = sorted((FOLDER / "clips").glob("*.ogg"))
    assert len(clips) == 3
    attribution = (FOLDER / "ATTRIBUTION.md").read_text()
    assert all(clip.name in attribution and clip.stat().st_size < 150_000 for clip in clips)
