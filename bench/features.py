"""G3: the 57 GTZAN features against librosa, on one core, within 1e-3 relative and with equal tempo, in one run.

G4: the 118 that tell composers apart, with equal beats and onsets. Also the 42 FMA features. Draws bench/features.svg:
time a clip by stage.

OMP_NUM_THREADS=1 .venv/bin/python bench/features.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import torch

import clips
import measure
from groovemark.ml.audio.decode import decode
from groovemark.ml.features.compiled_analysis import CompiledAnalysis
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import COMPOSER_118, FMA_42, GTZAN_57
from groovemark.ml.features.spec import FeatureSpec

RATE = 22_050
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Freed memory stays with the process, as in the sandbox's children; glibc reads this when a process starts."""

PROMISES = {"gtzan-57": ("G3", 20, 60), "composer-118": ("G4", 9, 20)}
"""Name, floor and stretch."""

COUNTED = ("tempo", "beat_consistency", "onset_rate")
NOT_COMPARED = ("spectral_contrast_7", "spectral_contrast_6_mean", "spectral_contrast_6_std")
"""The highest band of these recordings is all but empty, and its valleys are the rounding of the transform: librosa's
is of float64, ours of float32. The sets count the bands from 1 or from 0."""

FIGURE = Path(__file__).with_suffix(".svg")
Stage = Callable[[np.ndarray], object]


def _moments(series: Sequence[np.ndarray]) -> np.ndarray:
    return np.ravel([[np.mean(one, dtype=np.float64), np.var(one, dtype=np.float64)] for one in series])


def librosa_tempo(waveform: np.ndarray) -> np.ndarray:
    onsets = librosa.onset.onset_strength(y=waveform, sr=RATE, aggregate=np.median)
    return librosa.feature.tempo(onset_envelope=onsets, sr=RATE)


LIBROSA: dict[str, Stage] = {
    "chroma": lambda y: librosa.feature.chroma_stft(y=y, sr=RATE),
    "rms, zero crossings": lambda y: (librosa.feature.rms(y=y), librosa.feature.zero_crossing_rate(y)),
    "centroid, bandwidth, rolloff": lambda y: (
        librosa.feature.spectral_centroid(y=y, sr=RATE),
        librosa.feature.spectral_bandwidth(y=y, sr=RATE),
        librosa.feature.spectral_rolloff(y=y, sr=RATE),
    ),
    "harmonic, percussive": librosa.effects.hpss,
    "tempo": librosa_tempo,
    "mfcc": lambda y: librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=20),
}
"""In the order of the columns, but that rms comes before and the zero crossings after the spectral shapes."""


def librosa_gtzan(waveform: np.ndarray) -> np.ndarray:
    chroma, (rms, crossings), shapes, parts, tempo, mfcc = (stage(waveform) for stage in LIBROSA.values())
    series = [chroma, rms, *shapes, crossings, *parts]
    return np.concatenate([_moments(series), tempo, _moments(mfcc)])


def librosa_fma(waveform: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [
            librosa.feature.mfcc(y=waveform, sr=RATE, n_mfcc=20).mean(axis=1),
            librosa.feature.tempo(y=waveform, sr=RATE),
            librosa.feature.chroma_stft(y=waveform, sr=RATE).mean(axis=1),
            librosa.feature.spectral_centroid(y=waveform, sr=RATE).mean(axis=1),
            librosa.feature.spectral_contrast(y=waveform, sr=RATE).mean(axis=1),
            librosa.feature.zero_crossing_rate(waveform).mean(axis=1),
        ]
    )


def _statistics(series: np.ndarray) -> np.ndarray:
    return np.stack([series.mean(axis=1, dtype=np.float64), series.std(axis=1, dtype=np.float64)], axis=1)


MORE_LIBROSA: dict[str, Stage] = {
    "tempo, beats": lambda y: librosa.beat.beat_track(y=y, sr=RATE),
    "onsets": lambda y: librosa.onset.onset_detect(y=y, sr=RATE),
    "contrast": lambda y: librosa.feature.spectral_contrast(y=y, sr=RATE),
    "tonnetz": lambda y: librosa.feature.tonnetz(y=y, sr=RATE),
}
"""What composer-118 has beside or in place of the others."""


def librosa_composer(waveform: np.ndarray) -> np.ndarray:
    stages = {name: stage for name, stage in (LIBROSA | MORE_LIBROSA).items() if name != "tempo"}
    found = [stage(waveform) for stage in stages.values()]
    chroma, loudness, shapes, parts, mfcc, rhythm, onsets, contrast, tonnetz = found
    mfcc = mfcc[:13]
    (centroid, bandwidth, rolloff), (rms, crossings), (harmonic, percussive), (tempo, beats) = (
        shapes,
        loudness,
        parts,
        rhythm,
    )
    beats_s = librosa.frames_to_time(beats, sr=RATE)
    columns = [
        np.concatenate([_statistics(mfcc), mfcc.max(axis=1)[:, None], mfcc.min(axis=1)[:, None]], axis=1),
        *(_statistics(one) for one in (centroid, rolloff, bandwidth, crossings)),
        np.sum(harmonic**2) / (np.sum(percussive**2) + 1e-8),
        tempo,
        np.std(np.diff(beats_s)) if len(beats_s) > 1 else 0.0,
        _statistics(chroma),
        _statistics(tonnetz),
        _statistics(rms),
        rms.max(),
        rms.max() - rms.min(),
        len(onsets) / (len(waveform) / RATE),
        _statistics(contrast),
    ]
    return np.concatenate([np.ravel(column) for column in columns])


def our_stages(waveform: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same stages, each on an analysis whose shared parts are computed: the transform is a stage of its own."""

    def fresh() -> CompiledAnalysis:
        return CompiledAnalysis(torch.from_numpy(waveform)[None], GTZAN_57.audio)

    shared = fresh()
    for name in ("power", "mel_db"):
        getattr(shared, name)
    kept = dict(shared.__dict__)

    def stage(read: Callable[[CompiledAnalysis], object]) -> Callable[[], object]:
        def run() -> object:
            track = fresh()
            track.__dict__.update(kept)
            return read(track)

        return run

    return {
        "transform (shared)": lambda: fresh().power,
        "chroma": stage(lambda track: track.chroma),
        "rms, zero crossings": stage(lambda track: track.root_mean_square),
        "centroid, bandwidth, rolloff": stage(lambda track: track.spectral_rolloff),
        "harmonic, percussive": stage(lambda track: track.percussive),
        "tempo": stage(lambda track: track.tempo),
        "mfcc": lambda: fresh_mel(shared),
        "tempo, beats": stage(lambda track: track.beat_deviation),
        "onsets": stage(lambda track: track.onset_rate),
        "contrast": stage(lambda track: track.spectral_contrast),
        "tonnetz": stage(lambda track: track.tonnetz),
    }


def fresh_mel(shared: CompiledAnalysis) -> object:
    shared.__dict__.pop("mel_db", None)
    return shared.mfcc


def agree(spec: FeatureSpec, ours: np.ndarray, theirs: np.ndarray) -> None:
    for name, our, their in zip(spec.numeric_names, ours, theirs, strict=True):
        if name in COUNTED:
            assert np.isclose(our, their, rtol=1e-6, atol=0), (spec.name, name, our, their)
        elif name not in NOT_COMPARED:
            # Means of waveforms are zero but for noise.
            assert np.isclose(our, their, rtol=1e-3, atol=1e-6), (spec.name, name, our, their)


def compare(rounds: int, waveforms: list[np.ndarray]) -> tuple[bool, float]:
    kept, ratios = [], {}
    for spec, oracle in ((GTZAN_57, librosa_gtzan), (COMPOSER_118, librosa_composer), (FMA_42, librosa_fma)):
        extractor = Extractor(spec)
        for waveform in waveforms:
            agree(spec, extractor.extract(torch.from_numpy(waveform)[None])[0].numpy(), oracle(waveform))
        contenders = {
            "groovemark": lambda extractor=extractor: [
                extractor.extract(torch.from_numpy(waveform)[None]) for waveform in waveforms
            ],
            "librosa": lambda oracle=oracle: [oracle(waveform) for waveform in waveforms],
        }
        timings = measure.take_turns(contenders, rounds=rounds)
        ours_ms, theirs_ms = (1000 * timings[name].median_cpu_s / len(waveforms) for name in contenders)
        ratios[spec.name] = theirs_ms / ours_ms
        print(f"{spec.name}: {ours_ms:.1f} ms a clip, librosa {theirs_ms:.0f} ms")
        if spec.name in PROMISES:
            promise, floor, stretch = PROMISES[spec.name]
            kept.append(measure.verdict(f"{promise} {spec.name} (stretch {stretch})", ratios[spec.name], floor=floor))
        else:
            print(f"       {spec.name}: {ratios[spec.name]:.1f} times")
    return all(kept), ratios["gtzan-57"]


def by_stage(rounds: int, waveform: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """cpu ms of each stage of both, decoding an mp3 first."""
    with tempfile.TemporaryDirectory() as folder:
        mp3 = clips.write(Path(folder))["mp3"][0]
        ours: dict[str, Callable[[], object]] = {"decoding": lambda: decode(mp3, RATE)} | our_stages(waveform)
        theirs: dict[str, Callable[[], object]] = {"decoding": lambda: librosa.load(mp3, sr=RATE)} | {
            name: (lambda stage=stage: stage(waveform)) for name, stage in (LIBROSA | MORE_LIBROSA).items()
        }
        found = []
        for stages in (ours, theirs):
            for stage in stages.values():
                stage()
            timings = measure.take_turns(stages, rounds=rounds)
            found.append({name: 1000 * timing.median_cpu_s for name, timing in timings.items()})
    return found[0], found[1]


def draw(ours: dict[str, float], theirs: dict[str, float], ratio: float) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "groovemark"
    names = [name for name in ours if name not in MORE_LIBROSA]
    height = 0.38
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for offset, (label, times, colour) in enumerate((("librosa", theirs, "#b0b0b0"), ("groovemark", ours, "#1f6f8b"))):
        places = [place + height * (0.5 - offset) for place in range(len(names))]
        values = [times.get(name, 0.0) for name in names]
        bars = axes.barh(places, values, height, label=label, color=colour)
        axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(0.2, 4 * max(theirs.values()))
    axes.set_xlabel("processor time for a clip of 30 s, ms (logarithmic)")
    axes.set_title(f"The 57 GTZAN features: {ratio:.0f} times librosa on one core\n{measure.machine()}", fontsize=10)
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, metadata={"Date": None})


def main(rounds: int) -> bool:
    print(measure.machine())
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    waveforms = clips.waveforms(RATE)
    print(f"{len(waveforms)} clips of {clips.SECONDS} s, {rounds} rounds in turn, medians of processor time\n")
    is_kept, ratio = compare(rounds, waveforms)
    ours, theirs = by_stage(rounds, waveforms[0])
    print()
    measure.print_table(
        ["cpu ms a clip", "groovemark", "librosa"],
        [[name, f"{time:.1f}", f"{theirs[name]:.1f}" if name in theirs else ""] for name, time in ours.items()],
    )
    draw(ours, theirs, ratio)
    print(f"\n{FIGURE.name} drawn")
    return is_kept


if __name__ == "__main__":
    if not MALLOC.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)  # noqa: S606
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 3) else 1)
