"""Audio made from nothing, so that the tests need no data."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 22_050
DITHERED = ("music", "noise", "sweep", "clipped")
EXACT = ("tone", "silence", "constant", "impulse")


def synthesize(kind: str, duration_s: float, *, sample_rate: int = SAMPLE_RATE, seed: int = 7) -> np.ndarray:
    """(time,) float32 of one kind of sound; the first four dithered to 16 bits, as sound in files is."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    match kind:
        case "music":
            sound = _chords(time_s, tuning=0.17) + _drums(time_s, random, bpm=112.0)
        case "noise":
            sound = 0.2 * random.standard_normal(len(time_s))
        case "sweep":
            sound = 0.5 * np.sin(2 * np.pi * (60 * time_s + 200 * time_s**2))
        case "clipped":
            sound = np.clip(4 * _chords(time_s, tuning=-0.3), -1, 1)
        case "tone":
            sound = 0.5 * np.sin(2 * np.pi * 440.0 * time_s)
        case "silence":
            sound = np.zeros(len(time_s))
        case "constant":
            sound = np.full(len(time_s), 0.25)
        case "impulse":
            sound = np.zeros(len(time_s))
            sound[len(sound) // 2] = 1.0
    if kind in DITHERED:
        dither = random.uniform(-1, 1, len(time_s)) + random.uniform(-1, 1, len(time_s))
        sound = np.round(sound * 32_000 + dither / 2) / 32_768
    return sound.astype(np.float32)


def _chords(time_s: np.ndarray, *, tuning: float) -> np.ndarray:
    sound = np.zeros(len(time_s))
    for number, root in enumerate((48, 53, 55, 50)):
        playing = ((time_s % 4.0) // 1.0 == number) * np.exp(-1.5 * (time_s % 1.0))
        for semitones in (0, 4, 7, 12):
            frequency_hz = 440.0 * 2 ** ((root + semitones - 69 + tuning) / 12)
            for harmonic in range(1, 9):
                sound += playing * 0.08 / harmonic * np.sin(2 * np.pi * frequency_hz * harmonic * time_s)
    return sound


def _drums(time_s: np.ndarray, random: np.random.Generator, *, bpm: float) -> np.ndarray:
    since_beat_s = time_s % (60 / bpm)
    return 0.3 * np.exp(-40 * since_beat_s) * random.standard_normal(len(time_s))
