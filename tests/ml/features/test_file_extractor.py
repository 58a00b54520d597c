from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import soundfile
import torch
from sounds import SAMPLE_RATE, synthesize

from groovemark.errors import AudioRejected, ConfigurationError, Unavailable
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.device_batches import DeviceBatches
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.files import extract_file
from groovemark.ml.features.sets import FMA_42, GTZAN_57, MFCC_SEGMENTS

ML_TESTS = Path(__file__).parents[1]
KNOWN = FileFeatures(np.arange(42, dtype=np.float32)[None], "known", 30.0)


@pytest.fixture(autouse=True)
def targets(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ML_TESTS))


def found(extractor, files, spec=FMA_42, **options):
    every = chain.from_iterable(extractor.extract(files, [spec], **options))
    return [(key, one if isinstance(one, AudioRejected) else one[0]) for key, one in every]


def test_what_is_known_of_one_of_several_sets_is_not_read_again(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    cache.put("ab12", FMA_42, KNOWN)
    reads = []
    with FileExtractor(Sandbox("slow_target:run"), cache=cache) as extractor:
        files = [NamedFile("a", Path("/music/0-2"), "ab12")]
        for _ in range(2):
            chunks = extractor.extract(files, [FMA_42, GTZAN_57], on_read=lambda: reads.append(1))
            ((_, (known, other)),) = chain.from_iterable(chunks)
            assert (known.title, other.title, len(other.windows)) == ("known", "title of 0-2", 2)
    assert len(reads) == 1


def test_what_the_cache_knows_is_not_even_opened(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    cache.put("ab12", FMA_42, KNOWN)
    with FileExtractor(Sandbox("slow_target:run"), cache=cache) as extractor:
        ((_, features),) = found(extractor, [NamedFile("a", tmp_path / "nowhere.mp3", "ab12")])
    assert features.windows.tobytes() == KNOWN.windows.tobytes()
    assert features.title == "known"


def test_the_same_bytes_under_two_names_are_decoded_once_whether_or_not_their_hash_is_known(tmp_path):
    (tmp_path / "0-2").write_bytes(b"the same")
    (tmp_path / "crash").write_bytes(b"the same")  # this name ends the process that reads it
    sha256 = content_sha256(tmp_path / "crash")
    with FileExtractor(Sandbox("slow_target:run"), cache=FeatureCache(tmp_path / "cache")) as extractor:
        ((_, first),) = found(extractor, [NamedFile("a", tmp_path / "0-2")])
        ((_, hashed),) = found(extractor, [NamedFile("b", tmp_path / "crash")])
        ((_, told),) = found(extractor, [NamedFile("b", tmp_path / "crash", sha256)])
    assert first.windows.tobytes() == hashed.windows.tobytes() == told.windows.tobytes()


def test_files_known_to_be_the_same_are_read_once_even_together_and_without_a_cache(tmp_path):
    files = [NamedFile("a", Path("/music/0.1-2"), "ab12"), NamedFile("b", Path("/music/crash"), "ab12")]
    with FileExtractor(Sandbox("slow_target:run")) as extractor:
        (_, first), (_, second) = found(extractor, files)
    assert first is second


def test_a_cache_that_cannot_be_written_to_costs_no_features(tmp_path):
    cache = FeatureCache(tmp_path / "cache")
    (tmp_path / "cache" / f"fma-42-{FMA_42.sha256[:16]}").write_text("in the way")
    with FileExtractor(Sandbox("slow_target:run"), cache=cache) as extractor:
        ((_, features),) = found(extractor, [NamedFile("a", Path("/music/0-2"), "ab12")])
    assert features.title == "title of 0-2"


class Unpacked(NamedFile):
    """There while it is read."""

    @contextmanager
    def at_hand(self):
        if self.key == "damaged":
            raise AudioRejected("undecodable", "damaged")
        self.path.write_bytes(b"here")
        yield self.path
        self.path.unlink()


def test_a_file_is_at_hand_while_it_is_read_and_gone_afterwards(tmp_path):
    files = [Unpacked("a", tmp_path / "0-1"), Unpacked("damaged", tmp_path / "0-2"), Unpacked("c", tmp_path / "0-3")]
    with FileExtractor(Sandbox("slow_target:run"), cache=FeatureCache(tmp_path / "cache")) as extractor:
        results = found(extractor, files)
    assert [key for key, _ in results] == ["a", "damaged", "c"]
    assert isinstance(results[1][1], AudioRejected)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Windows of several lengths, two in one file; a broken file, and one whose samples are none."""
    folder = tmp_path_factory.mktemp("tracks")
    long = np.concatenate([synthesize("music", 30.0), synthesize("sweep", 15.5)])
    sounds = {"short": synthesize("sweep", 1.0), "long": long, "music": synthesize("music", 2.0)}
    poisoned = synthesize("music", 1.0)
    poisoned[5_000] = np.nan
    for name, sound in (sounds | {"poisoned": poisoned}).items():
        soundfile.write(folder / f"{name}.wav", sound, SAMPLE_RATE, subtype="FLOAT")
    (folder / "text.wav").write_text("no audio")
    return [NamedFile(name, folder / f"{name}.wav") for name in ("short", "text", "long", "poisoned", "music", "gone")]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_windows_of_many_files_extracted_in_batches_have_the_features_of_each_file_alone(tracks, device):
    """On the processor all is as on a graphics card, but for the card."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    sandbox = Sandbox("groovemark.ml.features.waveforms:decode_file")
    with FileExtractor(sandbox, batches=DeviceBatches(device)) as extractor:
        results = dict(found(extractor, tracks, GTZAN_57))
    assert list(results) == [track.key for track in tracks]
    refused = {key: one.reason for key, one in results.items() if isinstance(one, AudioRejected)}
    assert refused == {"text": "undecodable", "poisoned": "not_finite", "gone": "undecodable"}
    for track in tracks:
        if track.key not in refused:
            alone, batched = extract_file(str(track.path), "gtzan-57"), results[track.key]
            assert (alone.title, alone.duration_s) == (batched.title, batched.duration_s)
            np.testing.assert_allclose(batched.windows, alone.windows, rtol=1e-3, atol=1e-4)


class RoomForOne(DeviceBatches):
    """A card that other programs have nearly filled."""

    all_wait = Event()

    def _rows(self, windows):
        assert self.all_wait.wait(10)
        if len(windows) > 1:
            raise torch.cuda.OutOfMemoryError
        return np.stack([window.samples[:1] for window in windows])


def test_a_batch_that_does_not_fit_into_the_cards_memory_is_halved_until_it_does():
    def windows():
        for number in range(7):
            yield np.full(5, number, dtype=np.float32)
        RoomForOne.all_wait.set()

    batches = RoomForOne("cpu")
    assert batches.extract(windows(), FMA_42).ravel().tolist() == list(range(7))
    batches.close()
    with pytest.raises(Unavailable):
        batches.extract(windows(), FMA_42)


class Poisoned(DeviceBatches):
    """A card that fails at one window, whoever stands beside it."""

    def _rows(self, windows):
        if any(window.samples[0] == 3 for window in windows):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return np.stack([window.samples[:1] for window in windows])


def test_a_window_at_which_the_card_fails_costs_its_own_file_alone():
    """Every file whose windows stood in the same batch was lost with it, and the command ended with a trace."""
    batches = Poisoned("cpu")
    with ThreadPoolExecutor(6) as executor:
        found = [
            executor.submit(batches.extract, [np.full(5, number, dtype=np.float32)], FMA_42) for number in range(6)
        ]
    batches.close()
    assert [one.result().item() for number, one in enumerate(found) if number != 3] == [0, 1, 2, 4, 5]
    with pytest.raises(AudioRejected, match="RuntimeError") as failure:
        found[3].result()
    assert failure.value.reason == "decoder_crashed"


@pytest.mark.parametrize("batches", [None, "cpu"])
def test_a_file_too_long_for_its_set_is_refused_on_every_device(tmp_path, batches):
    """Beside a graphics card there was no limit, and the feature cache kept what it could never read."""
    soundfile.write(tmp_path / "long.wav", np.zeros(7 * 22_050), 22_050)
    sandbox = Sandbox("small_replies:decode_file" if batches else "small_replies:extract_file")
    with FileExtractor(sandbox, batches=DeviceBatches(batches) if batches else None) as extractor:
        ((_, answer),) = found(extractor, [NamedFile("long", tmp_path / "long.wav")], MFCC_SEGMENTS)
    assert isinstance(answer, AudioRejected)
    assert (answer.reason, answer.message) == ("too_long", "mfcc-segments takes at most 0 min of audio.")


def test_a_device_that_is_not_there_is_the_operators_error():
    if torch.cuda.is_available():
        pytest.skip("torch finds a CUDA device")
    with pytest.raises(ConfigurationError, match="CUDA"):
        FileExtractor.open("cuda")


def test_looking_for_a_graphics_card_loads_no_torch_where_there_is_no_driver():
    script = (
        "import sys\n"
        "from groovemark.ml.features import device\n"
        "device._DRIVERS = ()\n"
        "from groovemark.ml.features.file_extractor import FileExtractor\n"
        "FileExtractor.open('auto')\n"
        "print([name for name in ('torch', 'soundfile', 'av', 'soxr') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
