"""What an evaluation found, under names that stay: report.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.integrity import Integrity, check, out_of_range
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.mcnemar import McNemar
from groovemark.ml.evaluation.metrics import (
    Figure,
    LabelFigures,
    calibration_error,
    confusion,
    figures,
    per_label,
)
from groovemark.ml.evaluation.robustness import Robustness
from groovemark.ml.training.calibration import log_loss, rescaled
from groovemark.ml.training.measure import Measured
from groovemark.ml.training.stability import CheckedClaim

FORMAT = 1
TABLE_PROTOCOL = "table of its own"

Run = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class ProtocolReport:
    """One protocol.

    Attributes:
        figures: accuracy, macro_f1, weighted_f1 and calibration_error, averaged over the seeds.
        shared_groups: groups that stood on both sides of a round, over all rounds; 0 in an honest protocol.
    """

    name: str
    tracks: int
    seeds: int
    shared_groups: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The headline protocol's answers as they are, and after temperature scaling fitted on other groups than it is
    scored on; averaged over the seeds. A temperature above 1 says that the answers were too sure."""

    temperature: float
    calibration_error_before: float
    calibration_error_after: float
    log_loss_before: float
    log_loss_after: float


@dataclass(frozen=True, slots=True)
class Classification:
    """How well tracks are classified that the model has not seen.

    Attributes:
        protocols: the headline first.
        leaky: the same model where groups are ignored; None where there is but a table.
        per_label: of the headline protocol, all seeds together.
        confusion: rows are right labels, columns given ones, in the order of `labels`; all seeds added.
        rows_left_out: rows of a table that lack a cell.
        out_of_range: tracks with an impossible number, by column.
    """

    data: str
    labels: Sequence[str]
    protocols: Sequence[ProtocolReport]
    leaky: ProtocolReport | None
    per_label: Sequence[LabelFigures]
    confusion: Sequence[Sequence[int]]
    calibration: Calibration
    integrity: Integrity
    out_of_range: Mapping[str, int]
    rows_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The model against another one, track by track: the first seed of a protocol, or a table."""

    against: str
    protocol: str
    test: McNemar


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All that `groovemark evaluate` found; what was not asked for is None."""

    model: str
    classification: Classification | None = None
    comparison: Comparison | None = None
    robustness: Robustness | None = None
    stability: Sequence[CheckedClaim] = ()

    def as_json(self) -> str:
        """The text of report.json."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, default=_plain) + "\n"


def of_protocols(dataset: Dataset, honest: Sequence[Measured], careless: Measured) -> Classification:
    """From protocols gone through, the headline first."""
    headline = honest[0]
    return _classification(
        dataset,
        headline.runs,
        dataset.groups[headline.rows],
        protocols=[_protocol(entry) for entry in honest],
        leaky=_protocol(careless),
    )


def of_table(dataset: Dataset, probabilities: NDArray[np.float64], *, rows_left_out: int) -> Classification:
    """From the answers of an installed model for a table that it was not trained on; a row is a track."""
    run = (probabilities, dataset.targets)
    only = ProtocolReport(TABLE_PROTOCOL, len(dataset), 1, 0, figures([run], dataset.groups))
    return _classification(dataset, [run], dataset.groups, protocols=[only], leaky=None, rows_left_out=rows_left_out)


def _classification(dataset: Dataset, runs: list[Run], groups: NDArray[np.int64], **entries: Any) -> Classification:
    return Classification(
        data=dataset.source,
        labels=dataset.labels,
        per_label=per_label(runs, dataset.labels),
        confusion=confusion(runs, len(dataset.labels)).tolist(),
        calibration=_calibration(runs, groups),
        integrity=check(dataset),
        out_of_range=out_of_range(dataset),
        **entries,
    )


def _protocol(measured: Measured) -> ProtocolReport:
    scored = measured.scored
    return ProtocolReport(scored.name, scored.tracks, len(measured.runs), measured.shared_groups, scored.figures)


def _calibration(runs: list[Run], groups: NDArray[np.int64]) -> Calibration:
    after = [rescaled(*run, groups) for run in runs]
    targets = [targets for _, targets in runs]
    given = [answers for answers, _ in runs]
    scaled = [answers for answers, _ in after]
    return Calibration(
        temperature=float(np.mean([temperature for _, temperature in after])),
        calibration_error_before=float(np.mean([*map(calibration_error, given, targets)])),
        calibration_error_after=float(np.mean([*map(calibration_error, scaled, targets)])),
        log_loss_before=float(np.mean([*map(log_loss, given, targets)])),
        log_loss_after=float(np.mean([*map(log_loss, scaled, targets)])),
    )


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in report.json")
