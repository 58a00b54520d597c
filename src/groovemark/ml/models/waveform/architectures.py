"""The architectures that are taken, each a pair of classes of the library transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of them.

    Attributes:
        name: of the library's class, as config.json names it; `config_name` is that of its configuration.
        title: what it is called.
        source: where it was published.
        sizes: numbers that its config has besides the common ones: (usual, largest).
        switches: the same of what is true or false: the usual.
    """

    model_type: str
    name: str
    config_name: str
    title: str
    source: str
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    switches: Mapping[str, bool] = field(default_factory=dict)


ARCHITECTURES = {
    one.model_type: one
    for one in (
        Architecture(
            model_type="hubert",
            name="HubertForSequenceClassification",
            config_name="HubertConfig",
            title="HuBERT",
            source="Hsu et al. 2021, arXiv 2106.07447",
            switches={"feat_proj_layer_norm": True},
        ),
        Architecture(
            model_type="wav2vec2",
            name="Wav2Vec2ForSequenceClassification",
            config_name="Wav2Vec2Config",
            title="wav2vec 2.0",
            source="Baevski et al. 2020, arXiv 2006.11477",
        ),
        Architecture(
            model_type="wavlm",
            name="WavLMForSequenceClassification",
            config_name="WavLMConfig",
            title="WavLM",
            source="Chen et al. 2021, arXiv 2110.13900",
            sizes={"num_buckets": (320, 4096), "max_bucket_distance": (800, 65_536)},
        ),
    )
}
"""By the type that config.json names."""
