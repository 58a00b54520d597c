from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from groovemark.errors import AudioRejected, InputRejected
from groovemark.ml.evaluation.robustness import LEVELS, SAMPLE_RATE, add_noise, count_passes, measure_robustness, shift

LOUD, QUIET = 1, 0


def loudness(paths: Sequence[Path]) -> list[int | None]:
    """A classifier that noise can mislead and time cannot, as long as something is left; it hears no silence."""
    levels = [np.sqrt(np.mean(soundfile.read(path)[0] ** 2)) for path in paths]
    return [None if level == 0 else LOUD if level > 0.3 else QUIET for level in levels]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "quiet.wav", tmp_path / "loud.wav"]
    for path, level in zip(paths, (0.02, 0.9), strict=True):
        soundfile.write(path, np.full(SAMPLE_RATE, level), SAMPLE_RATE)
    return paths


def test_curves_show_what_misleads_and_what_does_not(files: list[Path]) -> None:
    found = measure_robustness(files, loudness, [QUIET, None])
    assert (found.files, found.labelled, found.clean_accuracy) == (2, 1, 1.0)
    noise = {level.level: level for level in found.levels if level.disturbance == "noise"}
    assert tuple(noise) == LEVELS["noise"]
    assert (noise[0.1].agreement, noise[0.1].accuracy) == (1.0, 1.0)
    assert (noise[1.0].agreement, noise[1.0].accuracy) == (0.5, 0.0)
    assert found.levels[-1].unanswered > 0, "a second of sound is gone after most shifts of up to ten"
    assert found.levels[-1].agreement == 1 - found.levels[-1].unanswered / 2


def test_every_pass_over_the_files_is_a_step(files: list[Path]) -> None:
    passes: list[int] = []
    steps: list[None] = []

    def counting(paths: Sequence[Path]) -> list[int | None]:
        passes.append(len(steps))
        return loudness(paths)

    measure_robustness(files, counting, [QUIET, None], advance=lambda: steps.append(None))
    assert passes == [*range(count_passes())]
    assert len(steps) == count_passes()


def test_file_s_curve_does_not_depend_on_what_comes_after_it(files: list[Path]) -> None:
    alone = measure_robustness(files[:1], loudness, [QUIET])
    among = measure_robustness(files, loudness, [QUIET, None])
    assert [level.accuracy for level in alone.levels] == [level.accuracy for level in among.levels]


def test_noise_has_the_deviation_asked_for() -> None:
    noise = add_noise(np.zeros(SAMPLE_RATE, dtype=np.float32), 0.2, np.random.default_rng(0))
    assert noise.std() == pytest.approx(0.2, rel=0.05)


def test_shifted_sound_is_the_same_sound_with_silence_in_the_gap() -> None:
    sound = np.arange(1, SAMPLE_RATE + 1, dtype=np.float32)
    directions = set()
    for seed in range(8):
        moved = shift(sound, 0.5, np.random.default_rng(seed))
        kept = moved[moved > 0]
        assert len(moved) == len(sound)
        assert len(kept) >= len(sound) // 2
        later = bool(moved[0] == 0)
        assert np.array_equal(kept, sound[: len(kept)] if later else sound[-len(kept) :])
        directions.add(later)
    assert directions == {True, False}


def test_file_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(b"RIFF nothing")
    with pytest.raises(AudioRejected, match=r"broken\.wav"):
        measure_robustness([path], loudness, [None])


def test_files_without_any_answer_give_no_curve(files: list[Path]) -> None:
    with pytest.raises(InputRejected, match="none of the audio files"):
        measure_robustness(files, lambda paths: [None] * len(paths), [None, None])
