"""A sentence encoder of two small layers and a few words, with weights that nobody taught."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

needs_text_libraries = pytest.mark.skipif(
    any(find_spec(library) is None for library in ("torch", "safetensors", "tokenizers")),
    reason="needs torch, safetensors and tokenizers: pip install '.[text,torch]'",
)
WORDS = ("[UNK]", "[CLS]", "[SEP]", "love", "rain", "river", "hill", "song", "night", "blood", "iron", "baby", "dance")
CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
}


def write_tiny_encoder(folder: Path) -> Path:
    """The three files of an encoder; returns the folder."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    from groovemark.ml.encoders.bert import Bert, read_shape

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    generator = np.random.default_rng(0)
    shapes = {name: tuple(tensor.shape) for name, tensor in Bert(read_shape(CONFIG)).state_dict().items()}
    weights = {name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    return folder
