"""Small checkpoints of networks on waveforms, of random weights, as transformers itself saves and reads them.

That library takes many seconds to import: it is when a test wants it, not where tests are collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from groovemark.ml.models.importing import import_checkpoint

MODEL_TYPES = ("hubert", "wav2vec2", "wavlm")
LABELS = ("Blues", "Jazz", "Techno")
PLACES = {"Techno": 0, "Blues": 1, "Jazz": 2}
"""Where the checkpoints have them."""
LARGE = {
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "use_weighted_layer_sum": True,
    "mask_time_prob": 0.0,
}
"""As the larger ones of all three are, with what is rare besides; and how loud a window is matters."""
_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [400, 8, 4],
    "conv_stride": [80, 4, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 12,
}
_NAMES = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}


def save_checkpoint(folder: Path, model_type: str, *, do_normalize: bool = True, **changes: object) -> Path:
    """A checkpoint with its extractor, in a folder that is made; `changes` are of the config."""
    transformers = pytest.importorskip("transformers")
    configuration = getattr(transformers, f"{_NAMES[model_type]}Config")
    network = getattr(transformers, f"{_NAMES[model_type]}ForSequenceClassification")
    names = {place: label for label, place in PLACES.items()}
    torch.manual_seed(7)
    made = network(configuration(**{**_SIZES, "id2label": names, "label2id": PLACES, **changes}))
    for parameter in made.parameters():  # as they are drawn, every window is answered alike
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    torch.nn.init.normal_(made.classifier.weight, std=0.5)
    made.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize).save_pretrained(folder)
    return folder


def import_small(root: Path, model_type: str, **changes: object) -> Path:
    """The folder of the artifact `heard`, made of such a checkpoint."""
    import_checkpoint(root, str(save_checkpoint(root / "checkpoint", model_type, **changes)), name="heard")
    return root / "heard" / "1"


def original_scores(folder: Path, windows: np.ndarray, labels: Sequence[str] = LABELS) -> torch.Tensor:
    """(n, label) of the library's own network and extractor, in the order of these labels."""
    transformers = pytest.importorskip("transformers")
    network = transformers.AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.inference_mode():
        scores = [network(**extractor(window, sampling_rate=16_000, return_tensors="pt")).logits for window in windows]
    order = [network.config.label2id[label] for label in labels]
    return torch.cat(scores)[:, order]
