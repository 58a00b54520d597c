"""Fine-tuning an encoder's last layers under the head that stands on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from groovemark.ml.encoders.bert import Bert, Layer
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.text.adapters import adapted, changes
from groovemark.ml.models.text.classifier import Member, to_inputs
from groovemark.ml.models.text.settings import TextSettings
from groovemark.ml.training.checkpoint import checkpoint_file
from groovemark.ml.training.loop import Lesson, reproducible, teach

Integers = NDArray[np.int64]


def tune(
    head: Member,
    table: FeatureTable,
    targets: Integers,
    settings: TextSettings,
    seed: int,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Member:
    """A member whose encoder is tuned to its head, which stays as it is.

    What the layers below make of the texts is computed once, and so are the scores of the numbers.
    """
    network, _ = head.encoder.opened()
    kept = len(network.encoder.layer) - settings.tuned_layers
    below = [head.encoder.hidden(table.texts[name], kept) for name in head.texts]
    texts_start = len(head.weights) - head.encoder.width * len(head.texts)
    numbers = to_inputs(table, (), head.encode, numbers=True) if head.numbers else np.zeros((len(table), 0))
    offsets = torch.from_numpy(numbers @ head.weights[:texts_start] + head.bias).float()
    weights = torch.from_numpy(head.weights[texts_start:]).float()
    with reproducible(seed):
        module = _Tuned(network, settings)
    truth = torch.from_numpy(targets)

    def loss(rows: Tensor, _: torch.Generator) -> Tensor:
        vectors = [module([hidden[row] for row in rows.tolist()]) for hidden in below]
        scores = torch.cat(vectors, dim=1) @ weights + offsets[rows]
        return functional.cross_entropy(scores, truth[rows])

    taught_by = asdict(replace(settings, checkpoints=""))
    data = (*chain.from_iterable(below), weights, offsets, truth)
    teach(
        Lesson(module, len(targets), loss),
        settings.loop(),
        seed=seed,
        checkpoint=checkpoint_file(settings.checkpoints, module, taught_by, seed, data),
        on_epoch=lambda epoch: report(f"seed {seed}, {len(targets)} rows: {epoch}"),
    )
    taught = {name: tensor.numpy() for name, tensor in changes(module.last()).items()}
    return replace(head, tuned_layers=settings.tuned_layers, taught=taught)


class _Tuned(nn.Module):
    """The last layers with adapters, and the mean over the tokens."""

    def __init__(self, network: Bert, settings: TextSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(adapted(network, settings.tuned_layers, settings.rank))

    def last(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, texts: Sequence[Tensor]) -> Tensor:
        """n texts, each (t, h) after the layers below -> (n, h) of length 1."""
        hidden = pad_sequence(list(texts), batch_first=True)  # (n, longest, h)
        lengths = torch.tensor([len(text) for text in texts])
        is_token = torch.arange(hidden.shape[1]) < lengths[:, None]  # (n, longest)
        mask = torch.zeros(is_token.shape).masked_fill(~is_token, -torch.inf)[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        means = (hidden * is_token[..., None]).sum(1) / lengths[:, None]
        return functional.normalize(means, dim=1)
