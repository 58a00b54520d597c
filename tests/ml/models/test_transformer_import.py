"""Checkpoints in Hugging Face's format: what they become, and what is refused."""

from __future__ import annotations

import functools
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import AST_FBANK_3S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.importing import import_checkpoint
from tests.bomb import Bomb

LABELS = ("Blues", "Jazz", "Techno")
ORDER = [1, 2, 0]
"""Where the checkpoint has them."""
ORIGINAL = Path(__file__).with_name("ast_checkpoint")
"""A small network of random weights as transformers 5.23 saved it, and the scores that it gave there to `windows()`,
scaled as usual and in other ways."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in ORIGINAL.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return np.random.default_rng(0).normal(0.2, 0.4, size=(4, 298, 128)).astype(np.float32)


def scores(scaling: str = "usual") -> torch.Tensor:
    """(n, label) of Hugging Face's own implementation."""
    return torch.tensor(json.loads((ORIGINAL / "scores.json").read_text())[scaling])[:, ORDER]


def answers(folder: Path, windows: np.ndarray) -> np.ndarray:
    return registry.load(folder).run(FeatureTable.of_windows(AST_FBANK_3S, windows))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_imported_checkpoint_answers_as_hugging_face_does_with_its_labels_in_order(
    windows: np.ndarray, tmp_path: Path
) -> None:
    for _ in range(2):  # a second import replaces the first
        manifest = import_checkpoint(tmp_path, str(ORIGINAL), name="bought")
    assert (manifest.labels, manifest.features, manifest.is_multi_label) == (LABELS, "ast-fbank-3s", False)
    expected = scores().softmax(dim=1)
    assert expected.std() > 0.05
    np.testing.assert_allclose(answers(tmp_path / "bought" / "1", windows), expected, atol=1e-6)


def test_what_is_written_has_the_names_and_shapes_that_hugging_face_gave(tmp_path: Path) -> None:
    import_checkpoint(tmp_path, str(ORIGINAL), name="bought")
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (ORIGINAL, tmp_path / "bought" / "1"))
    assert {name: tensor.shape for name, tensor in theirs.items()} == {n: tensor.shape for n, tensor in ours.items()}


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own(
    copy: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    edit(copy / "config.json", problem_type="multi_label_classification")
    assert import_checkpoint(tmp_path, str(copy), name="tags").is_multi_label
    np.testing.assert_allclose(answers(tmp_path / "tags" / "1", windows), scores().sigmoid(), atol=1e-6)
    assert registry.load(tmp_path / "tags" / "1").spec.task == "tags"
    one = import_checkpoint(tmp_path, str(copy), name="one", is_multi_label=False)
    assert (one.is_multi_label, one.task) == (False, "genre")


@pytest.mark.parametrize(
    ("changes", "scaling"),
    [({"mean": -6.0, "std": 3.0}, "mean -6, std 3"), ({"do_normalize": False}, "not normalised")],
)
def test_windows_that_were_scaled_otherwise_are_taken_as_they_were(
    copy: Path, windows: np.ndarray, tmp_path: Path, changes: dict[str, object], scaling: str
) -> None:
    edit(copy / "preprocessor_config.json", **changes)
    import_checkpoint(tmp_path, str(copy), name="scaled")
    np.testing.assert_allclose(answers(tmp_path / "scaled" / "1", windows), scores(scaling).softmax(dim=1), atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_half_the_size_are_read(copy: Path, windows: np.ndarray, tmp_path: Path, kind) -> None:
    path = copy / "model.safetensors"
    save_file({name: tensor.to(kind) for name, tensor in load_file(path).items()}, path)
    import_checkpoint(tmp_path, str(copy), name="half")
    import_checkpoint(tmp_path, str(ORIGINAL), name="whole")
    half, whole = (answers(tmp_path / name / "1", windows) for name in ("half", "whole"))
    np.testing.assert_allclose(half, whole, atol=0.05)


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "went-off")))


def _a_pickle_by_another_name(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(folder / "went-off")))


def _cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _boast(folder: Path) -> None:
    """A header of a petabyte."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 48], "data_offsets": [0, 1 << 50]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return apply


def _config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def _extractor(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "preprocessor_config.json", **changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_only_a_pickle, "pickles above all, are never read"),
        (_a_pickle_by_another_name, "cannot be read as safetensors"),
        (_cut_off, "cannot be read as safetensors"),
        (_boast, "cannot be read as safetensors"),
        (_tensors(lambda tensors: tensors["classifier.dense.bias"].fill_(torch.nan)), "not a finite number"),
        (_tensors(lambda tensors: tensors.pop("classifier.dense.bias")), "is not of config.json's network"),
        (_tensors(lambda tensors: tensors.update(more=torch.zeros(1))), "'more' is not of config.json's network"),
        (
            _tensors(lambda tensors: tensors.update({"classifier.dense.bias": torch.zeros(3, dtype=torch.int64)})),
            "must be one of F32, F16, BF16",
        ),
        (_config(auto_map={"AutoModel": "evil.Model"}), r"bring code along \('auto_map'\)"),
        (_config(trust_remote_code=True), "bring code along"),
        (_config(architectures=["WhisperForAudioClassification"]), "supported are ASTForAudioClassification, Hubert"),
        (_config(architectures=["Wav2Vec2ForSequenceClassification"]), "not hubert, wav2vec2, wavlm"),
        (_config(architectures="ASTForAudioClassification"), "supported are AST"),
        (_config(model_type="evil"), "not ASTForAudioClassification of the type audio-spectrogram-transformer"),
        (_config(hidden_act="relu"), "hidden_act must be 'gelu'"),
        (_config(hidden_size=10**9), "hidden_size cannot be 1000000000"),
        (_config(hidden_size=4096, num_hidden_layers=64), "more than 400,000,000 parameters"),
        (_config(num_attention_heads=True), "num_attention_heads cannot be True"),
        (_config(layer_norm_eps=float("nan")), "layer_norm_eps cannot be nan"),
        (_config(num_attention_heads=3), "must divide"),
        (_config(num_hidden_layers=1), "is not of config.json's network"),
        (_config(id2label={"0": "a", "1": "a", "2": "b"}), "two labels have the same name"),
        (_config(id2label={"0": "a", "2": "b"}), "give every number from 0 a name"),
        (_config(id2label=None), "must name 2 to 10000 labels"),
        (_extractor(sampling_rate=44_100), "sampling_rate is 44100, it must be 16000"),
        (_extractor(std=0), "std must be above 0"),
        (_extractor(mean="much"), "mean cannot be much"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda folder: (folder / "config.json").unlink(), r"holds no config\.json"),
    ],
)
def test_what_is_refused_leaves_nothing_and_runs_nothing(
    copy: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    (copy / "evil.py").write_text(f"open({str(copy / 'went-off')!r}, 'w')")
    spoil(copy)
    with pytest.raises(ModelRejected, match=message):
        import_checkpoint(tmp_path / "models", str(copy), name="bad")
    assert not (tmp_path / "models").exists()
    assert not (copy / "went-off").exists()


def test_windows_of_another_length_are_refused_by_the_sets_there_are(copy: Path, tmp_path: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    name = "audio_spectrogram_transformer.embeddings.position_embeddings"
    tensors[name] = torch.zeros(1, 2 + 4 * 13, 16)  # of 498 frames: 1 + (498 - 16) // 40
    save_file(tensors, copy / "model.safetensors")
    edit(copy / "config.json", max_length=498)
    edit(copy / "preprocessor_config.json", max_length=498)
    with pytest.raises(ModelRejected, match=r"known are 1024 of 128 \(ast-fbank\), 298 of 128 \(ast-fbank-3s\)"):
        import_checkpoint(tmp_path, str(copy), name="long")


class _Hub(SimpleHTTPRequestHandler):
    """Answers as Hugging Face's hub does, for one folder."""

    def translate_path(self, path: str) -> str:
        return str(Path(self.directory, Path(path).name))

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", '"' + Path(self.path).name + '"')
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(copy: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Hub, directory=str(copy))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_name_is_fetched_from_the_hub_and_of_it_three_files_alone(
    copy: Path, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", hub)
    manifest = import_checkpoint(tmp_path / "models", "someone/ast", name="fetched")
    assert f"someone/ast at {'c' * 40}" in manifest.title
    assert manifest.labels == LABELS
    edit(copy / "config.json", padding="x" * (16 << 20))
    with pytest.raises(ModelRejected, match=r"config\.json of someone/ast is too large"):
        import_checkpoint(tmp_path / "models", "someone/ast", name="large")


def test_a_hub_that_cannot_be_reached_and_a_name_that_is_none_are_clear_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"someone/ast cannot be had from http://127\.0\.0\.1:9"):
        import_checkpoint(tmp_path, "someone/ast", name="none")
    for source in ("nothing", "../up/there", "a/b/c", "https://evil.example/x"):
        with pytest.raises(ConfigurationError, match="neither a folder nor a name"):
            import_checkpoint(tmp_path, source, name="none")
    with pytest.raises(ConfigurationError, match="must be a plain name"):
        import_checkpoint(tmp_path, str(tmp_path), name="../none")
