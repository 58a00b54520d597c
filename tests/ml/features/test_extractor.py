from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import oracle
import pytest
from extracting import WAYS, extract
from sounds import EXACT, synthesize

from groovemark.ml.audio.decode import decode
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import COMPOSER_118, ECHONEST_155, FMA_42, GTZAN_57
from groovemark.ml.features.spec import FeatureSpec

ORACLES = {"fma-42": oracle.fma_42, "gtzan-57": oracle.gtzan_57, "composer-118": oracle.composer_118}
CLIPS = Path(__file__).parents[3] / "src" / "groovemark" / "cli" / "demo" / "clips"
COUNTED = {"tempo", "beat_consistency", "onset_rate"}
"""What comes from frames that were chosen: the same frames or others."""


@cache
def librosas(spec_name: str, kind: str, duration_s: float) -> np.ndarray:
    """The oracle's columns: both ways are held against them."""
    return ORACLES[spec_name](synthesize(kind, duration_s))


SPECS = pytest.mark.parametrize("spec", [FMA_42, GTZAN_57, COMPOSER_118], ids=lambda spec: spec.name)


@SPECS
@WAYS
@pytest.mark.parametrize(
    ("kind", "duration_s"), [("music", 5.0), ("noise", 2.3), ("sweep", 3.0), ("clipped", 4.0), ("music", 0.5)]
)
def test_agrees_with_librosa_within_a_thousandth_and_in_tempo(is_compiled, spec, kind, duration_s):
    """Means near zero included, on sound with the noise floor of 16 bits.

    One exception: how much contrast deviates in the lowest band, whose valley is one bin alone, now and then nearly
    cancelled, and in a sweep, whose valleys lie over 110 dB below its one loud partial. What a transform in float32
    rounds there depends on the processor, and is up to twice as much.
    """
    bands = range(7) if kind == "sweep" else range(1)
    loose = {f"spectral_contrast_{band}_std" for band in bands}
    ours = extract(spec, synthesize(kind, duration_s), is_compiled=is_compiled)[0]
    for name, our, their in zip(spec.numeric_names, ours, librosas(spec.name, kind, duration_s), strict=True):
        tolerance = 1e-6 if name in COUNTED else 2e-3 if name in loose else 1e-3
        assert our == pytest.approx(their, rel=tolerance, abs=0), name


@SPECS
@WAYS
@pytest.mark.parametrize("kind", EXACT)
def test_agrees_with_librosa_on_sound_without_any_noise(is_compiled, spec, kind):
    """But for what a bin holds that is 140 dB below the frame's loudest: a float32 transform's rounding.

    librosa transforms in float64 and rounds afterwards. Contrast, bandwidth and chroma see such bins, and only
    in sound that no recording has.
    """
    ours = extract(spec, synthesize(kind, 3.0), is_compiled=is_compiled)[0]
    for name, our, their in zip(spec.numeric_names, ours, librosas(spec.name, kind, 3.0), strict=True):
        if "contrast" in name:
            continue
        if ("tonnetz" in name and kind in {"constant", "impulse"}) or ("chroma" in name and kind == "impulse"):
            continue  # whose spectra have no peak, so that rounding decides which tuning they have
        tolerance = 0.05 if "chroma" in name or "bandwidth" in name else 1e-3
        assert our == pytest.approx(their, rel=tolerance, abs=1e-4), name


def agrees_on_a_recording(spec: FeatureSpec, waveform: np.ndarray) -> None:
    """Without exception but for what is no sound: the band above what a lossy codec keeps, where the transform's
    rounding makes the valleys, and coefficients of digital silence, which are 0 but for rounding; the means of the two
    parts' samples, which are near 0 and have a bound of their own."""
    expected = ORACLES[spec.name](waveform)
    for is_compiled in (True, False):
        ours = extract(spec, waveform, is_compiled=is_compiled)[0]
        for name, our, their in zip(spec.numeric_names, ours, expected, strict=True):
            top_band = name.startswith("spectral_contrast_6") or name == "spectral_contrast_7"  # of 0 to 6, and 1 to 7
            tolerance = 1e-6 if name in COUNTED else 0.02 if top_band else 1e-3
            floor = 1e-4 if name.startswith("mfcc") else 1e-7 if name in ("harmony_mean", "perceptr_mean") else 0.0
            assert our == pytest.approx(their, rel=tolerance, abs=floor), (name, is_compiled)


@SPECS
@pytest.mark.parametrize("clip", ["hungarian-dance", "lets-go-fishin", "vibe-ace"])
def test_agrees_with_librosa_on_recordings(spec, clip):
    agrees_on_a_recording(spec, decode(CLIPS / f"{clip}.ogg", spec.audio.sample_rate))


@pytest.mark.data
@SPECS
@pytest.mark.parametrize("path", ["fma/audio/000140.mp3", "gtzan/clips/classical/classical.00003.flac"])
def test_agrees_with_librosa_on_half_a_minute_of_music(data_folder, spec, path):
    sample_rate = spec.audio.sample_rate
    agrees_on_a_recording(spec, decode(data_folder / path, sample_rate)[: 30 * sample_rate])


def test_a_set_that_only_comes_as_a_table_is_refused():
    with pytest.raises(ValueError, match="echonest-155 cannot be computed from audio"):
        Extractor(ECHONEST_155)


@WAYS
def test_tempo_of_a_metronome_is_its_own(is_compiled):
    time_s = np.arange(20 * 22_050) / 22_050
    clicks = ((time_s % 0.5) < 0.005) * np.sin(2 * np.pi * 1000 * time_s)
    for spec in (FMA_42, GTZAN_57):
        tempo = extract(spec, clicks.astype(np.float32), is_compiled=is_compiled)[0, spec.numeric_names.index("tempo")]
        assert tempo == pytest.approx(120, abs=4)
