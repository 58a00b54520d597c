from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from sounds import DITHERED, EXACT, synthesize

from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import ECHONEST_155, FMA_42, GTZAN_57

ORACLES = {"fma-42": oracle.fma_42, "gtzan-57": oracle.gtzan_57}
SPECS = pytest.mark.parametrize("spec", [FMA_42, GTZAN_57], ids=lambda spec: spec.name)


@pytest.fixture(params=[True, False], ids=["compiled", "tensors"])
def extract(request):
    """(batch, d) of waveforms of any length, padded with garbage; both ways of the extractor pass the same tests."""

    def extract(spec, *waveforms: np.ndarray) -> np.ndarray:
        lengths = [len(waveform) for waveform in waveforms]
        batch = torch.full((len(waveforms), max(lengths)), 0.9)
        for row, waveform in zip(batch, waveforms, strict=True):
            row[: len(waveform)] = torch.from_numpy(waveform)
        return Extractor(spec, is_compiled=request.param).extract(batch, lengths).numpy()

    return extract


@SPECS
@pytest.mark.parametrize(
    ("kind", "duration_s"), [("music", 5.0), ("noise", 2.3), ("sweep", 3.0), ("clipped", 4.0), ("music", 0.5)]
)
def test_agrees_with_librosa_within_a_thousandth_and_in_tempo(extract, spec, kind, duration_s):
    """Without exception, means near zero included, on sound with the noise floor of 16 bits."""
    waveform = synthesize(kind, duration_s)
    ours, librosas = extract(spec, waveform)[0], ORACLES[spec.name](waveform)
    np.testing.assert_allclose(ours, librosas, rtol=1e-3)
    tempo = spec.numeric_names.index("tempo")
    assert ours[tempo] == pytest.approx(librosas[tempo], rel=1e-6)


@SPECS
@pytest.mark.parametrize("kind", EXACT)
def test_agrees_with_librosa_on_sound_without_any_noise(extract, spec, kind):
    """But for what a bin holds that is 140 dB below the frame's loudest: a float32 transform's rounding.

    librosa transforms in float64 and rounds afterwards. Contrast, bandwidth and chroma see such bins, and only
    in sound that no recording has.
    """
    waveform = synthesize(kind, 3.0)
    ours, librosas = extract(spec, waveform)[0], ORACLES[spec.name](waveform)
    for name, our, their in zip(spec.numeric_names, ours, librosas, strict=True):
        if "contrast" in name or "bandwidth" in name:
            continue
        tolerance = 0.05 if "chroma" in name else 1e-3
        assert our == pytest.approx(their, rel=tolerance, abs=1e-4), name


@SPECS
def test_a_track_gives_the_same_bits_alone_and_among_its_neighbours(extract, spec):
    track = synthesize("music", 2.0)
    alone = extract(spec, track)[0]
    loud, silent = synthesize("noise", 3.0) * 5, synthesize("silence", 1.0)
    broken, short = np.full(50_000, np.nan, dtype=np.float32), synthesize("music", 0.01)
    among = extract(spec, loud, silent, track, broken, short, track)
    assert among[2].tobytes() == among[5].tobytes() == alone.tobytes()


@SPECS
def test_the_bits_do_not_depend_on_the_number_of_threads(extract, spec):
    track = synthesize("music", 3.0)
    threads = torch.get_num_threads()
    try:
        found = set()
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(extract(spec, track).tobytes())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


@SPECS
@pytest.mark.parametrize("kind", [*DITHERED, *EXACT])
@pytest.mark.parametrize("n_samples", [1, 513, 30_000])
def test_every_column_is_finite_and_in_its_range_however_short_or_odd_the_sound(extract, spec, kind, n_samples):
    features = extract(spec, synthesize(kind, 2.0)[:n_samples])[0]
    assert np.isfinite(features).all()
    for column, value in zip(spec.columns, features, strict=True):
        assert column.minimum is None or value >= column.minimum, column.name
        assert column.maximum is None or value <= column.maximum, column.name


@SPECS
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_not_finite_cost_their_own_track_only(extract, spec, poison):
    track = synthesize("music", 1.0)
    poisoned = track.copy()
    poisoned[7_000] = poison
    rows = extract(spec, poisoned, track)
    assert np.isnan(rows[0]).all()
    assert rows[1].tobytes() == extract(spec, track)[0].tobytes()


def test_a_waveform_without_samples_is_refused():
    with pytest.raises(ValueError, match="without samples"):
        Extractor(FMA_42).extract(torch.zeros(1, 100), [0])


def test_a_set_that_only_comes_as_a_table_is_refused():
    with pytest.raises(ValueError, match="echonest-155 cannot be computed from audio"):
        Extractor(ECHONEST_155)


def test_tempo_of_a_metronome_is_its_own(extract):
    time_s = np.arange(20 * 22_050) / 22_050
    clicks = ((time_s % 0.5) < 0.005) * np.sin(2 * np.pi * 1000 * time_s)
    for spec in (FMA_42, GTZAN_57):
        tempo = extract(spec, clicks.astype(np.float32))[0, spec.numeric_names.index("tempo")]
        assert tempo == pytest.approx(120, abs=4)
