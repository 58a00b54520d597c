"""Networks on waveforms at work."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import synthesize
from typer.testing import CliRunner
from waveform_checkpoints import LABELS, MODEL_TYPES, import_small, original_scores, save_checkpoint

from groovemark.cli import app
from groovemark.errors import ConfigurationError, ModelRejected, ModelUnavailable
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.sets import AST_FBANK, WAVEFORM_10S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import later, registry
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.importing import import_checkpoint
from groovemark.ml.models.transformer.fit import fit, make_plan
from groovemark.ml.models.transformer.load import read_base
from groovemark.ml.models.waveform.load import load
from groovemark.ml.predict import TrackPrediction, predict_audio


@pytest.fixture(scope="module", params=MODEL_TYPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return import_small(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def model(folder: Path) -> Classifier:
    return registry.load(folder)


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """Sounds, silence, and numbers far from any sound."""
    kinds = ("music", "noise", "sweep", "silence")
    rows = np.stack([synthesize(kind, 10.0, sample_rate=16_000) for kind in kinds])
    far = rows[0].astype(np.float64) * np.array([[1e6], [-1e6], [1e30], [1e38]])
    return FeatureTable.of_windows(WAVEFORM_10S, np.concatenate([rows, far.clip(-3e38, 3e38)]))


def test_answers_are_probabilities_even_far_outside_of_any_sound(model: Classifier, table: FeatureTable) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = model.run(table)
    assert (found.shape, found.dtype) == ((len(table), 3), np.float32)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert model.run(table.take(np.arange(0))).shape == (0, 3)


def test_a_window_scores_the_same_alone_and_among_others_and_at_any_number_of_threads(
    folder: Path, model: Classifier, table: FeatureTable
) -> None:
    together = model.run(table)
    for row in range(len(table)):
        assert model.run(table.take(np.array([row])))[0].tobytes() == together[row].tobytes()
    np.testing.assert_allclose(load(folder, model.spec, threads=2).run(table), together, atol=1e-6)


def test_bfloat16_answers_nearly_the_same(folder: Path, model: Classifier, table: FeatureTable) -> None:
    found, whole = load(folder, model.spec, precision="bf16").run(table), model.run(table)
    np.testing.assert_allclose(found, whole, atol=0.05)
    assert (found != whole).any()


def test_a_model_is_closed_and_takes_no_other_rows(folder: Path, table: FeatureTable) -> None:
    model = registry.load(folder)
    with pytest.raises(ModelRejected, match="takes waveform-10s"):
        model.run(FeatureTable.of_windows(AST_FBANK, np.zeros((1, *AST_FBANK.shape))))
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.run(table)


def test_where_transformers_is_missing_the_model_is_unavailable_and_not_broken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "find_spec", lambda name: None if name == "transformers" else find_spec(name))
    with pytest.raises(ModelUnavailable, match=r"heard@1 needs transformers: pip install '\.\[transformer\]'"):
        registry.load(folder)


def test_where_transformers_is_missing_nothing_is_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelUnavailable, match=r"needs transformers: pip install '\.\[transformer\]'"):
        import_checkpoint(tmp_path, str(folder.parents[1] / "checkpoint"), name="again")
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_imported_from_the_command_line_answers_for_a_track_with_a_timeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of the timeline has the library's own answer to it, the track their mean."""
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "models"))
    checkpoint = save_checkpoint(tmp_path / "checkpoint", "hubert")
    result = CliRunner().invoke(app, ["model", "import", "transformer", str(checkpoint), "--name", "distil"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("distil@1: ")
    track = synthesize("music", 27.0, sample_rate=16_000)
    soundfile.write(tmp_path / "track.wav", track, 16_000, subtype="FLOAT")
    with FileExtractor.open("cpu") as extractor:
        model = registry.load(tmp_path / "models" / "distil" / "1")
        ((answer,),) = predict_audio([NamedFile("track", tmp_path / "track.wav")], model, extractor)
    assert isinstance(answer, TrackPrediction)
    assert (answer.starts_s.tolist(), answer.window_s, answer.duration_s) == ([0, 10, 20], 10, 27)
    whole = np.stack([track[:160_000], track[160_000:320_000]])
    np.testing.assert_allclose(answer.segments[:2], original_scores(checkpoint, whole).softmax(dim=1), atol=1e-5)
    np.testing.assert_allclose(answer.probabilities, answer.segments.mean(axis=0), atol=1e-6)
    assert model.spec.labels == LABELS


def test_a_spectrogram_transformer_takes_neither_such_a_base_nor_such_windows(folder: Path) -> None:
    with pytest.raises(ModelRejected, match=r"heard@1 is of the family waveform, not transformer"):
        read_base(folder)
    plan = make_plan(settings={}, ranges={}, trials=0, seeds=(0,))
    windows = FeatureTable.of_windows(WAVEFORM_10S, np.zeros((4, 160_000), np.float32))
    with pytest.raises(ConfigurationError, match="frames and bands; waveform-10s is none"):
        fit(windows, np.zeros(4, np.int64), 2, [], plan)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("waveform.json", {"precision": "int8"}, "precision must be one of fp32, bf16"),
        ("waveform.json", {"precision": None}, "precision must be one of"),
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}, "bring code along"),
        ("config.json", {"hidden_size": 32}, "is not float32 of the shape"),
        ("config.json", {"hidden_size": 2048, "num_hidden_layers": 24}, "more than 400,000,000 parameters"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate is 8000"),
    ],
)
def test_files_that_say_something_else_are_refused(
    folder: Path, model: Classifier, tmp_path: Path, file: str, changes: dict[str, object], message: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / file).write_text(json.dumps({**json.loads((copy / file).read_text()), **changes}))
    with pytest.raises(ModelRejected, match=message):
        load(copy, model.spec)
