"""Onset strength and tempo, of (batch, frame, …) tensors; librosa 0.11's numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from groovemark.ml.features import filterbanks
from groovemark.ml.features.functional import TINY

AUTOCORRELATION_S = 8.0
ROUNDING = 2e-7
"""Of an autocorrelation, 1 at lag 0, from a transform in float32: what was seen is at most 4e-8."""

Aggregate = Literal["mean", "median"]


def onset_strength(mel_db: Tensor, *, aggregate: Aggregate, lead_frames: int) -> Tensor:
    """How much louder a frame is than the one before: mean or median over the mel bands of max(0, rise in
    dB).

    Args:
        mel_db: (batch, frame, mel) in dB.
        lead_frames: frames by which centring makes a spectrum see its onset early (n_fft / 2 hops).

    Returns:
        (batch, frame) in dB. Source: Böck & Widmer 2013. Same as librosa.onset.onset_strength.
    """
    rises = (mel_db[:, 1:] - mel_db[:, :-1]).clamp_min(0.0)  # (batch, frame − 1, mel)
    if aggregate == "mean":
        strength = rises.mean(dim=-1)
    else:
        ascending, middle = rises.sort(dim=-1).values, rises.shape[-1] // 2
        lower = middle if rises.shape[-1] % 2 else middle - 1
        strength = (ascending[..., middle] + ascending[..., lower]) / 2
    return delayed(strength, lead_frames)


def delayed(strength: Tensor, lead_frames: int) -> Tensor:
    """Rises from each frame to the next, (batch, frame − 1), put where they are heard: (batch, frame)."""
    return pad(strength, (1 + lead_frames, 0))[:, : strength.shape[1] + 1]


def lags(sample_rate: int, hop_length_samples: int) -> int:
    """Frames of 8 seconds: the longest period that a tempo may have."""
    return int(AUTOCORRELATION_S * sample_rate) // hop_length_samples


def transform_length(n_lags: int) -> int:
    """The least length above 2 · lags whose only prime factors are 2, 3 and 5: transforms of it are fast."""
    length = 2 * n_lags - 1
    while 30**length % length:
        length += 1
    return length


def faded(strength: Tensor, n_lags: int) -> Tensor:
    """(batch, frame + 2 · (lags // 2)): the ends fade in and out, so that every frame has a whole window."""
    half = n_lags // 2
    ramp = torch.arange(half, device=strength.device) / half
    return torch.cat([strength[:, :1] * ramp, strength, strength[:, -1:] * ramp.flip(0)], dim=1)


def mean_autocorrelation(strength: Tensor, n_lags: int) -> Tensor:
    """Mean over the frames of the onset strength's autocorrelation around each, which is 1 at lag 0.

    The inverse transform is linear, so it runs once, on the mean of the normalised power spectra.

    Args:
        strength: (batch, frame).
        n_lags: frames of the window, and lags returned.

    Returns:
        (batch, lag) float64; 0 where the strength is 0 throughout. The mean of librosa.feature.tempogram.
    """
    window = torch.as_tensor(filterbanks.hann(n_lags).copy(), device=strength.device)
    frames = faded(strength, n_lags).unfold(1, n_lags, 1)[:, : strength.shape[1]] * window  # (batch, frame, lag)
    energy = frames.square().sum(dim=-1, keepdim=True)  # (batch, frame, 1)
    n_fft = transform_length(n_lags)
    spectra = torch.view_as_real(torch.fft.rfft(frames, n=n_fft))
    power = spectra.square().sum(dim=-1) / torch.where(energy < TINY, 1.0, energy)
    correlation: Tensor = torch.fft.irfft(power.mean(dim=1, dtype=torch.float64), n=n_fft)
    return correlation[:, :n_lags]


def tempo(strength: Tensor, sample_rate: int, hop_length_samples: int) -> Tensor:
    """The lag at which the onset strength repeats itself best, weighed by a prior around 120 bpm.

    Args:
        strength: (batch, frame), of at least one frame.

    Returns:
        (batch,) in beats per minute; a track without any onset gets the prior's most likely lag, 117.45 at
        22,050 Hz. Source: Ellis 2007. Same as librosa.feature.tempo(onset_envelope=strength).
    """
    correlation = mean_autocorrelation(strength, lags(sample_rate, hop_length_samples))
    return likeliest_tempo(correlation, strength, sample_rate, hop_length_samples)


def likeliest_tempo(correlation: Tensor, strength: Tensor, sample_rate: int, hop_length_samples: int) -> Tensor:
    """(batch, lag) → (batch,) in beats per minute, the prior included.

    Where rounding could have decided, as in a single click, which repeats itself at no lag, the correlation is taken
    once more from the strength in float64, as librosa always does.
    """
    n_lags = correlation.shape[1]
    prior = torch.as_tensor(filterbanks.tempo_prior(n_lags, sample_rate, hop_length_samples).copy())
    prior = prior.to(correlation.device)
    likelihood = _likelihood(correlation, prior)
    best = likelihood.argmax(dim=-1, keepdim=True)
    least = _likelihood(correlation - ROUNDING, prior).gather(1, best)
    is_unsure = (_likelihood(correlation + ROUNDING, prior) >= least).sum(dim=-1) > 1  # (batch,)
    if is_unsure.any():
        exact = _likelihood(mean_autocorrelation(strength[is_unsure].double(), n_lags), prior)
        best[is_unsure] = exact.argmax(dim=-1, keepdim=True)
    tempi = torch.as_tensor(filterbanks.tempi_bpm(n_lags, sample_rate, hop_length_samples).astype(np.float64))
    return tempi.to(correlation.device)[best[:, 0]]


def _likelihood(correlation: Tensor, prior: Tensor) -> Tensor:
    """(batch, lag) the logarithm of each lag's, but for a constant."""
    return torch.log1p(1e6 * correlation.clamp_min(-9e-7)) + prior
