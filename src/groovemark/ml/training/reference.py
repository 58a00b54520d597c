"""What the training data looked like, for later comparison with what a model is given: reference.json."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset
from groovemark.ml.features.described import described_names, described_numbers

QUANTILES = tuple(round(step / 20, 2) for step in range(21))
DIGITS = 6


def summarise(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Quantiles of every numeric feature, lengths of every text feature, and the share of every label.

    A tensor's features are the statistics of its bands.

    Args:
        rows: the row numbers that the model was trained on.
    """
    numbers = np.quantile(described_numbers(dataset.table.take(rows)), QUANTILES, axis=0)
    features = {
        name: [_rounded(value) for value in numbers[:, index]]
        for index, name in enumerate(described_names(dataset.table.spec))
    }
    texts = {
        name: [_rounded(value) for value in np.quantile([len(cells[row]) for row in rows], QUANTILES)]
        for name, cells in dataset.table.texts.items()
        if name in dataset.table.spec.text_names
    }
    counts = np.bincount(dataset.targets[rows], minlength=len(dataset.labels))
    return {
        "features": dataset.table.spec.name,
        "rows": len(rows),
        "quantiles": list(QUANTILES),
        "numbers": features,
        "text_lengths": texts,
        "label_shares": {
            label: _rounded(share) for label, share in zip(dataset.labels, counts / len(rows), strict=True)
        },
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
