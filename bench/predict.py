"""G6: raw scores of the shipped boosted models against LightGBM's, every bit equal, on one core, in one run.

.venv/bin/python bench/predict.py [ROWS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import measure
from groovemark.ml.models.boosting.native import LibraryPredictor
from groovemark.ml.models.boosting.predictor import CompiledPredictor, Predictor
from groovemark.ml.models.boosting.tree_text import Trees, check_trees

MODELS = Path(__file__).parents[1] / "model"
ROUNDS = 5
RATIO_FLOOR = 2.5


def rows_around_the_thresholds(trees: Trees, rows: int) -> NDArray[np.float32]:
    """(rows, d) different numbers, each column spread like the thresholds that the trees ask of it."""
    generator = np.random.default_rng(0)
    thresholds: dict[int, list[float]] = {column: [] for column in range(trees.features)}
    for tree in trees.trees:
        for column, threshold in zip(tree.columns, tree.thresholds, strict=True):
            thresholds[column].append(threshold)
    matrix = generator.normal(size=(rows, trees.features))
    for column, known in thresholds.items():
        if known:
            matrix[:, column] = np.mean(known) + 1.5 * (np.std(known) + 1e-3) * matrix[:, column]
    return matrix.astype(np.float32)


def score_all(predictors: list[Predictor], matrix: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [predictor.raw_scores(matrix) for predictor in predictors]


def compare(name: str, rows: int) -> tuple[list[str], float]:
    """A line of the table, and LightGBM's seconds over ours."""
    texts = [path.read_text(encoding="ascii") for path in sorted((MODELS / name / "1").glob("*.txt"))]
    checked = [check_trees(text) for text in texts]
    begin = time.process_time()
    ours: list[Predictor] = [CompiledPredictor(trees) for trees in checked]
    build_s = time.process_time() - begin
    library: list[Predictor] = [LibraryPredictor(text) for text in texts]
    matrix = rows_around_the_thresholds(checked[0], rows)
    for mine, theirs in zip(score_all(ours, matrix), score_all(library, matrix), strict=True):
        assert np.array_equal(mine, theirs), f"{name}: scores differ"
    contenders = {
        "library": lambda: score_all(library, matrix),
        "ours": lambda: score_all(ours, matrix),
    }
    timings = measure.take_turns(contenders, rounds=ROUNDS)
    library_s, ours_s = timings["library"].median_cpu_s, timings["ours"].median_cpu_s
    count = sum(len(trees.trees) for trees in checked)
    us_a_row = [f"{seconds / rows * 1e6:.2f}" for seconds in (library_s, ours_s)]
    line = [name, f"{count:,}", *us_a_row, f"{rows / library_s:,.0f}", f"{rows / ours_s:,.0f}", f"{build_s:.2f}"]
    return line, library_s / ours_s


def main(rows: int) -> bool:
    print(measure.machine())
    print(f"{rows:,} rows of float32, one thread, {ROUNDS} rounds in turn, medians of processor time\n")
    results = {name: compare(name, rows) for name in ("echonest-8", "fma-8", "gtzan-10")}
    head = ["", "trees", "LightGBM us/row", "ours us/row", "LightGBM rows/s", "ours rows/s", "build s"]
    measure.print_table(head, [line for line, _ in results.values()])
    print()
    kept = [
        measure.verdict(f"G6 {name}, every bit equal", ratio, floor=RATIO_FLOOR) for name, (_, ratio) in results.items()
    ]
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000) else 1)
