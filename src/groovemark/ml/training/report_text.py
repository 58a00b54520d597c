"""REPORT.md: what an evaluation found, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from groovemark.ml.evaluation.robustness import Robustness
from groovemark.ml.training.card import FIGURES_HEADER, LABEL_HEADER, LEAKY_TEXT, label_row
from groovemark.ml.training.markdown import interval, table
from groovemark.ml.training.report import Calibration, Classification, Comparison, EvaluationReport, ProtocolReport
from groovemark.ml.training.stability import CheckedClaim

CONFUSION_NAME = "confusion.png"
CURVES_NAME = "robustness.png"
UNSEEN_TEXT = (
    "The figures are honest only where the model has learned from none of these rows, nor from others of their "
    "artists; a model does not remember which they were, so nobody but you can know."
)


def write_report(report: EvaluationReport) -> str:
    """The Markdown text; its pictures are beside it."""
    parts = [f"# Evaluation of {report.model}"]
    if report.classification:
        parts += _classification_parts(report.classification)
    if report.comparison:
        parts += ["## Against the model in use", comparison_text(report.model, report.comparison)]
    if report.robustness:
        parts += ["## Robustness", *_robustness_parts(report.robustness)]
    if report.stability:
        parts += [table(("claim", "measured", "holds"), claim_rows(report.stability))]
    return "\n\n".join(parts) + "\n"


def protocol_rows(found: Classification) -> list[tuple[str, ...]]:
    """Below FIGURES_HEADER: the honest protocols, then the leaky one."""
    leaky = [found.leaky] if found.leaky else []
    return [_protocol_row(entry) for entry in (*found.protocols, *leaky)]


def integrity_rows(found: Classification) -> list[tuple[str, str]]:
    """What is wrong with the data, and how many groups stood on both sides."""
    rows = [(name.replace("_", " "), str(count)) for name, count in asdict(found.integrity).items()]
    rows += [(f"out of range: {name}", str(count)) for name, count in found.out_of_range.items()]
    if found.leaky:
        honest = sum(entry.shared_groups for entry in found.protocols)
        rows += [
            ("groups on both sides, honest protocols", str(honest)),
            ("groups on both sides, leaky protocol", str(found.leaky.shared_groups)),
        ]
    else:
        rows.append(("rows left out for want of a cell", str(found.rows_left_out)))
    return rows


def calibration_text(found: Calibration) -> str:
    """One sentence."""
    return (
        f"Calibration error {found.calibration_error_before:.3f}, after temperature scaling fitted on other tracks "
        f"{found.calibration_error_after:.3f} (temperature {found.temperature:.2f}); log loss "
        f"{found.log_loss_before:.3f}, after it {found.log_loss_after:.3f}."
    )


def comparison_text(model: str, found: Comparison) -> str:
    """One sentence or two."""
    test = found.test
    verdict = "no more than chance explains" if test.p_value >= 0.05 else "more than chance explains"
    return (
        f"On {test.tracks} tracks ({found.protocol}), {model} alone is right on {test.only_candidate_right}, "
        f"{found.against} alone on {test.only_other_right}: {verdict} (McNemar's exact test, p = {test.p_value:.3g})."
    )


def level_rows(found: Robustness) -> list[tuple[str, ...]]:
    """Disturbance, level, agreement, accuracy."""
    return [
        (level.disturbance, f"{level.level:g}", f"{level.agreement:.3f}", _share(level.accuracy))
        for level in found.levels
    ]


def claim_rows(found: Sequence[CheckedClaim]) -> list[tuple[str, ...]]:
    """The claim, what was measured, and whether it holds."""
    return [(str(entry.claim), f"{entry.agreement:.3f}", "yes" if entry.holds else "NO") for entry in found]


def _classification_parts(found: Classification) -> list[str]:
    headline = found.protocols[0]
    return [
        f"Data: {found.data}.",
        table(("check", "count"), integrity_rows(found)),
        "## Figures",
        (
            f"{f'{headline.seeds} seeds, averaged' if headline.seeds > 1 else 'One seed'}. Intervals: 95 %, bootstrap "
            "over groups."
        ),
        table(FIGURES_HEADER, protocol_rows(found)),
        LEAKY_TEXT if found.leaky else UNSEEN_TEXT,
        calibration_text(found.calibration),
        f"Per label, {headline.name}{', all seeds together' if headline.seeds > 1 else ''}:",
        table(LABEL_HEADER, [label_row(figures) for figures in found.per_label]),
        f"![confusion matrix]({CONFUSION_NAME})",
    ]


def _robustness_parts(found: Robustness) -> list[str]:
    right = ""
    if found.clean_accuracy is not None:
        right = (
            f" {found.labelled} have a label, of which {found.clean_accuracy:.3f} are right when nothing is disturbed; "
            "the model may have learned from them, so the fall of the accuracy counts and not its height."
        )
    return [
        f"{found.files} files, no more than their first 30 s, disturbed and classified again.{right}",
        table(("disturbance", "level", "agreement with the clean answer", "accuracy"), level_rows(found)),
        f"![robustness curves]({CURVES_NAME})",
    ]


def _protocol_row(found: ProtocolReport) -> tuple[str, ...]:
    return (found.name, str(found.tracks), *(interval(figure) for figure in found.figures.values()))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
