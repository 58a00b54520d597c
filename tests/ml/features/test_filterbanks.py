from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from groovemark.ml.features import filterbanks

RATES = [(22_050, 2048), (16_000, 512), (44_100, 4096)]


@pytest.mark.parametrize("length", [344, 512, 2048])
def test_the_window_is_the_periodic_hann_window(length):
    expected = scipy.signal.get_window("hann", length, fftbins=True)
    np.testing.assert_allclose(filterbanks.hann(length), expected, atol=1e-7)


@pytest.mark.parametrize(("sample_rate", "n_fft"), RATES)
def test_bin_frequencies_are_librosas(sample_rate, n_fft):
    expected = librosa.fft_frequencies(sr=sample_rate, n_fft=n_fft)
    np.testing.assert_allclose(filterbanks.bin_frequencies(sample_rate, n_fft), expected, rtol=1e-7)


@pytest.mark.parametrize("n_mels", [40, 96, 128])
@pytest.mark.parametrize(("sample_rate", "n_fft"), RATES)
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_mel_filters_are_librosas(sample_rate, n_fft, n_mels):
    expected = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels).T
    np.testing.assert_allclose(filterbanks.mel(sample_rate, n_fft, n_mels), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("tuning", range(0, 100, 7))
@pytest.mark.parametrize(("sample_rate", "n_fft"), RATES)
def test_chroma_filters_are_librosas(sample_rate, n_fft, tuning):
    step = filterbanks.TUNING_EDGES[tuning]
    expected = librosa.filters.chroma(sr=sample_rate, n_fft=n_fft, tuning=step, n_chroma=12).T
    np.testing.assert_allclose(filterbanks.chroma(sample_rate, n_fft, tuning), expected, rtol=1e-5, atol=1e-12)


def test_the_cosines_are_the_orthonormal_dct():
    expected = scipy.fft.dct(np.eye(128), type=2, norm="ortho", axis=0)[:20].T
    np.testing.assert_allclose(filterbanks.cosines(128, 20), expected, atol=1e-7)


def test_tempi_of_lags_are_librosas():
    expected = librosa.tempo_frequencies(344, sr=22_050, hop_length=512)
    np.testing.assert_array_equal(filterbanks.tempi_bpm(344, 22_050, 512), expected)


def test_the_prior_peaks_at_120_bpm_and_forbids_320_and_more():
    tempi, prior = filterbanks.tempi_bpm(344, 22_050, 512), filterbanks.tempo_prior(344, 22_050, 512)
    assert abs(tempi[prior.argmax()] - 120) < 3
    assert np.isneginf(prior[tempi >= 320]).all()
    assert np.isfinite(prior[tempi < 320]).all()


def test_matrices_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        filterbanks.mel(22_050, 2048, 128)[0, 0] = 1.0
