"""How far a classifier of audio keeps to its answer when the audio is disturbed: noise, and shifts in time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import AudioRejected, InputRejected

Waveform = NDArray[np.float32]
Answers = Callable[[Sequence[Path]], Sequence[int | None]]
"""The number of the most probable label of each file, None where a file cannot be answered."""

SAMPLE_RATE = 22_050
HEARD_S = 30.0
"""No more than the beginning of a file is disturbed and asked about."""

LEVELS = {"noise": (0.01, 0.1, 0.2, 0.5, 1.0), "shift": (0.1, 0.2, 2.0, 3.0, 6.0, 10.0)}
"""Of each disturbance: the deviation of the noise, where full scale is 1; the longest shift, in seconds."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is left of the answers at one level.

    Attributes:
        agreement: share of the files whose most probable label is still that of the clean file.
        accuracy: share of the labelled files whose most probable label is right; None where no file has a label.
        unanswered: files that had an answer and have none any more; they count as neither agreeing nor right.
    """

    disturbance: str
    level: float
    agreement: float
    accuracy: float | None
    unanswered: int


@dataclass(frozen=True, slots=True)
class Robustness:
    """The curves: every level of every disturbance, and the accuracy where nothing is disturbed."""

    files: int
    labelled: int
    clean_accuracy: float | None
    levels: tuple[Level, ...]


def add_noise(waveform: Waveform, level: float, random: np.random.Generator) -> Waveform:
    """White noise of the deviation `level` on top; (time,) -> (time,), not clipped."""
    return (waveform + level * random.standard_normal(len(waveform))).astype(np.float32)


def shift(waveform: Waveform, longest_s: float, random: np.random.Generator) -> Waveform:
    """Later or earlier by a random time up to `longest_s`, and silence in the gap; (time,) -> (time,)."""
    samples = round(random.uniform(-longest_s, longest_s) * SAMPLE_RATE)
    moved = np.zeros_like(waveform)
    if samples >= 0:
        moved[samples:] = waveform[: max(len(waveform) - samples, 0)]
    else:
        moved[:samples] = waveform[-samples:]
    return moved


DISTURBANCES: dict[str, Callable[[Waveform, float, np.random.Generator], Waveform]] = {
    "noise": add_noise,
    "shift": shift,
}


def count_passes() -> int:
    """How often `measure_robustness` asks for all files: as they are, and at every level."""
    return 1 + sum(len(levels) for levels in LEVELS.values())


def measure_robustness(
    files: Sequence[Path],
    answers: Answers,
    targets: Sequence[int | None],
    *,
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
    advance: Callable[[], None] = lambda: None,
) -> Robustness:
    """Ask for every file as it is, and again at every level of every disturbance.

    Each file and level has random numbers of its own, so that a file's curve does not depend on the others.

    Args:
        targets: the number of each file's label, None where it is not known.
        advance: is called once for each of the `count_passes`.

    Raises:
        AudioRejected: a file cannot be decoded.
        InputRejected: no file has an answer.
    """
    waveforms = [_beginning(path) for path in files]
    clean = _ask(waveforms, answers)
    advance()
    kept = [number for number, answer in enumerate(clean) if answer is not None]
    if not kept:
        raise InputRejected("none of the audio files has an answer to compare with")
    if len(kept) < len(files):
        report(f"{len(files) - len(kept)} of {len(files)} files have no answer even as they are, and are left out")
    labelled = [number for number in kept if targets[number] is not None]
    levels = []
    for place, (name, disturb) in enumerate(DISTURBANCES.items()):
        for step, level in enumerate(LEVELS[name]):
            disturbed = [
                disturb(waveforms[number], level, np.random.default_rng((seed, number, place, step))) for number in kept
            ]
            given = dict(zip(kept, _ask(disturbed, answers), strict=True))
            advance()
            levels.append(
                Level(
                    disturbance=name,
                    level=level,
                    agreement=float(np.mean([given[number] == clean[number] for number in kept])),
                    accuracy=_share([given[number] == targets[number] for number in labelled]),
                    unanswered=sum(answer is None for answer in given.values()),
                )
            )
            report(f"{name} {level:g}: {levels[-1].agreement:.3f} of {len(kept)} files keep their answer")
    accuracy = _share([clean[number] == targets[number] for number in labelled])
    return Robustness(len(kept), len(labelled), accuracy, tuple(levels))


def _beginning(path: Path) -> Waveform:
    from groovemark.ml.audio.decode import decode

    try:
        return decode(path, SAMPLE_RATE)[: round(HEARD_S * SAMPLE_RATE)]
    except AudioRejected as error:
        raise AudioRejected(error.reason, f"{path}: {error.message}") from error


def _ask(waveforms: Sequence[Waveform], answers: Answers) -> list[int | None]:
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(waveforms))]
        for path, waveform in zip(paths, waveforms, strict=True):
            soundfile.write(path, waveform, SAMPLE_RATE, subtype="FLOAT")
        return list(answers(paths))


def _share(truths: Sequence[bool]) -> float | None:
    return float(np.mean(truths)) if truths else None
