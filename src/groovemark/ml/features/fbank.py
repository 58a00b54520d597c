"""Kaldi's filterbank, as Hugging Face's ASTFeatureExtractor computes it, for a batch and on any device.

Its frames are not centred, and each loses its mean and is pre-emphasised before the window.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from groovemark.ml.features import filterbanks
from groovemark.ml.features.functional import banded_product

FRAME_SAMPLES, HOP_SAMPLES, N_FFT, N_MELS = 400, 160, 512, 128
PREEMPHASIS = 0.97
FLOOR = 2.0**-23
AUDIOSET_MEAN, AUDIOSET_DEVIATION = -4.2677393, 4.5689974


def kaldi_fbank(waveforms: Tensor, sample_rate: int) -> Tensor:
    """Logarithm of the energy in 128 bands of 25 ms frames, every 10 ms at 16 kHz.

    Args:
        waveforms: (batch, time); fewer samples than one frame are filled with zeros.

    Returns:
        (batch, frame, mel), 1 + (time − 400) // 160 frames, at least ln(2⁻²³).

    Source: Povey et al. 2011, Kaldi, compute-fbank-feats with a Hann window and without dither.
    """
    if waveforms.device.type == "cpu" and len(waveforms) > 1:
        # Several at once leave the caches, and every step asks the system for new memory.
        return torch.cat([kaldi_fbank(waveform[None], sample_rate) for waveform in waveforms])
    filled = pad(waveforms, (0, max(0, FRAME_SAMPLES - waveforms.shape[1])))
    frames = filled.unfold(-1, FRAME_SAMPLES, HOP_SAMPLES)  # (batch, frame, 400)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = torch.tensor(filterbanks.symmetric_hann(FRAME_SAMPLES), device=waveforms.device)
    spectra = torch.view_as_real(torch.fft.rfft((frames - PREEMPHASIS * before) * window, n=N_FFT))
    squares = spectra * spectra
    power = squares[..., 0] + squares[..., 1]  # (batch, frame, frequency)
    groups = filterbanks.kaldi_mel_bands(sample_rate, N_FFT, N_MELS)
    energy = banded_product(power, [(start, torch.tensor(filters, device=power.device)) for start, filters in groups])
    return energy.clamp_min(FLOOR).log()


def normalised(features: Tensor, n_frames: int) -> Tensor:
    """(batch, n_frames, mel): cut or filled with zeros, then centred on AudioSet and scaled to half a deviation."""
    filled = pad(features[:, :n_frames], (0, 0, 0, max(0, n_frames - features.shape[1])))
    return (filled - AUDIOSET_MEAN) / (2 * AUDIOSET_DEVIATION)
