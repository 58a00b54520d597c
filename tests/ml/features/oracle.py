"""The same columns by librosa, one call a feature; the oracle of the extractor's tests."""

from __future__ import annotations

import warnings

import librosa
import numpy as np

SAMPLE_RATE = 22_050


def gtzan_57(waveform: np.ndarray) -> np.ndarray:
    """(57,) in the order of the spec."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        harmonic, percussive = librosa.effects.hpss(waveform)
        series = [
            librosa.feature.chroma_stft(y=waveform, sr=SAMPLE_RATE),
            librosa.feature.rms(y=waveform),
            librosa.feature.spectral_centroid(y=waveform, sr=SAMPLE_RATE),
            librosa.feature.spectral_bandwidth(y=waveform, sr=SAMPLE_RATE),
            librosa.feature.spectral_rolloff(y=waveform, sr=SAMPLE_RATE),
            librosa.feature.zero_crossing_rate(waveform),
            harmonic,
            percussive,
        ]
        onsets = librosa.onset.onset_strength(y=waveform, sr=SAMPLE_RATE, aggregate=np.median)
        tempo = librosa.feature.tempo(onset_envelope=onsets, sr=SAMPLE_RATE)
        mfcc = librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=20)
    return np.concatenate([_moments(series), tempo, _moments(mfcc)])


def fma_42(waveform: np.ndarray) -> np.ndarray:
    """(42,) in the order of the spec."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        columns = [
            librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=20).mean(axis=1),
            librosa.feature.tempo(y=waveform, sr=SAMPLE_RATE),
            librosa.feature.chroma_stft(y=waveform, sr=SAMPLE_RATE).mean(axis=1),
            librosa.feature.spectral_centroid(y=waveform, sr=SAMPLE_RATE).mean(axis=1),
            librosa.feature.spectral_contrast(y=waveform, sr=SAMPLE_RATE).mean(axis=1),
            librosa.feature.zero_crossing_rate(waveform).mean(axis=1),
        ]
    return np.concatenate(columns)


def composer_118(waveform: np.ndarray) -> np.ndarray:
    """(118,) in the order of the spec."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mfcc = librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=13)
        harmonic, percussive = librosa.effects.hpss(waveform)
        tempo, beats = librosa.beat.beat_track(y=waveform, sr=SAMPLE_RATE)
        beats_s = librosa.frames_to_time(beats, sr=SAMPLE_RATE)
        energy = librosa.feature.rms(y=waveform)
        onsets = librosa.onset.onset_detect(y=waveform, sr=SAMPLE_RATE)
        columns = [
            np.stack([mfcc.mean(axis=1), mfcc.std(axis=1), mfcc.max(axis=1), mfcc.min(axis=1)], axis=1),
            _statistics(librosa.feature.spectral_centroid(y=waveform, sr=SAMPLE_RATE)),
            _statistics(librosa.feature.spectral_rolloff(y=waveform, sr=SAMPLE_RATE)),
            _statistics(librosa.feature.spectral_bandwidth(y=waveform, sr=SAMPLE_RATE)),
            _statistics(librosa.feature.zero_crossing_rate(waveform)),
            np.sum(harmonic**2) / (np.sum(percussive**2) + 1e-8),
            tempo,
            np.std(np.diff(beats_s)) if len(beats_s) > 1 else 0.0,
            _statistics(librosa.feature.chroma_stft(y=waveform, sr=SAMPLE_RATE)),
            _statistics(librosa.feature.tonnetz(y=waveform, sr=SAMPLE_RATE)),
            _statistics(energy),
            energy.max(),
            energy.max() - energy.min(),
            len(onsets) / (len(waveform) / SAMPLE_RATE),
            _statistics(librosa.feature.spectral_contrast(y=waveform, sr=SAMPLE_RATE)),
        ]
    return np.concatenate([np.ravel(column) for column in columns])


def _statistics(series) -> np.ndarray:
    return np.stack([series.mean(axis=1, dtype=np.float64), series.std(axis=1, dtype=np.float64)], axis=1)


def _moments(series) -> np.ndarray:
    return np.array([[np.mean(one, dtype=np.float64), np.var(one, dtype=np.float64)] for one in series]).ravel()
