"""Invented rows of the Echo Nest table: drawn from a mixture of rough distributions, none of them a real track.

`python -m groovemark.cli.demo.rows PATH ROWS [SEED]` writes such a CSV; the demo's tracks.csv is 200 rows of seed 1.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLUSTERS = ("loud", "quiet", "warm", "electronic")
_BLOCK_ROWS = 5_000
_SPREAD_WITHIN_CLUSTER = 0.8


@dataclass(frozen=True)
class Distributions:
    """Of every real-valued column: how it is drawn, and how far each cluster's centre is shifted.

    Attributes:
        names: c columns.
        is_log: (c,) whether the logarithm is normal.
        centre: (c,) median.
        spread: (c,) standard deviation, of the logarithm where is_log.
        shifts: (c, clusters) in units of spread.
    """

    names: tuple[str, ...]
    is_log: NDArray[np.bool_]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    shifts: NDArray[np.float64]

    def draw(self, clusters: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
        """(n, c) values for n rows of the given clusters."""
        noise = random.standard_normal((len(clusters), len(self.names))).clip(-3, 3)
        normal = self.spread * (self.shifts.T[clusters] + _SPREAD_WITHIN_CLUSTER * noise)
        return np.where(self.is_log, self.centre * np.exp(np.where(self.is_log, normal, 0)), self.centre + normal)


def read_vocabulary() -> dict[str, list[str]]:
    """Common stems and those of each cluster, and the words of titles."""
    text = resources.files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8")
    return {kind: words.split() for kind, words in json.loads(text).items()}


def read_distributions() -> Distributions:
    """The table beside this file: medians and spreads to two digits, shifts to half a spread."""
    with resources.files(__package__).joinpath("distributions.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return Distributions(
        names=tuple(row["column"] for row in rows),
        is_log=np.array([row["scale"] == "log" for row in rows]),
        centre=np.array([float(row["centre"]) for row in rows]),
        spread=np.array([float(row["spread"]) for row in rows]),
        shifts=np.array([[float(row[cluster]) for cluster in CLUSTERS] for row in rows]),
    )


def write_echonest_csv(path: Path, rows: int, seed: int, *, first_id: int = 1) -> None:
    """Write a CSV of `rows` invented tracks with the 157 columns of the Echo Nest table, ids counting up.

    The same seed gives the same file. Numbers and tags differ from row to row; titles may repeat. Memory is flat.
    """
    distributions, vocabulary = read_distributions(), read_vocabulary()
    random = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        vectors = [name for name in distributions.names if name.startswith("vect_")]
        head = ["trackID", "title", "tags", "loudness", "tempo", "time_signature", "key", "mode", "duration"]
        file.write(",".join([*head, *vectors]) + "\n")
        for start in range(0, rows, _BLOCK_ROWS):
            ids = range(first_id + start, first_id + min(start + _BLOCK_ROWS, rows))
            file.writelines(_draw_lines(ids, distributions, vocabulary, random))


def _draw_lines(
    ids: range, distributions: Distributions, vocabulary: dict[str, list[str]], random: np.random.Generator
) -> Iterator[str]:
    clusters = random.integers(len(CLUSTERS), size=len(ids))
    values = distributions.draw(clusters, random)
    columns = {name: index for index, name in enumerate(distributions.names)}
    tempo = values[:, columns["tempo"]]
    np.maximum(tempo, 40, out=tempo)
    meters = random.choice([1, 3, 4, 5, 7], size=len(ids), p=[0.08, 0.14, 0.72, 0.04, 0.02])
    keys, modes = random.integers(12, size=len(ids)), random.random(len(ids)) < 0.7
    adjectives = random.choice(vocabulary["title_adjectives"], len(ids))
    nouns = random.choice(vocabulary["title_nouns"], (len(ids), 2))
    vectors = values[:, [index for name, index in columns.items() if name.startswith("vect_")]]
    vector_format = ",".join(["%.7g"] * vectors.shape[1])
    for row, track_id in enumerate(ids):
        tags = _draw_tags(vocabulary, CLUSTERS[clusters[row]], random)
        title = f"{adjectives[row]} {nouns[row, 0]}" + (f", {nouns[row, 1]}" if row % 5 == 0 else "")
        loudness, duration = values[row, columns["loudness"]], values[row, columns["duration"]]
        yield (
            f'{track_id},"{title}","{tags}",{loudness:.3f},{tempo[row]:.3f},'
            f"{meters[row]},{keys[row]},{modes[row]:d},{duration:.5f},{vector_format % tuple(vectors[row].tolist())}\n"
        )


def _draw_tags(vocabulary: dict[str, list[str]], cluster: str, random: np.random.Generator) -> str:
    """Stems of the words of an invented lyric, everyday words first, as the real table lists them by frequency."""
    chosen: list[str] = []
    for kind, share in (("everyday", 0.7), ("general", 0.16), (cluster, 0.3)):
        words = vocabulary[kind]
        taken = random.random(len(words)) < share
        chosen += [word for word, is_taken in zip(words, taken.tolist(), strict=True) if is_taken]
    return ", ".join(dict.fromkeys(chosen))


if __name__ == "__main__":
    target, count, *seeds = sys.argv[1:]
    write_echonest_csv(Path(target), int(count), int(seeds[0]) if seeds else 1)
