"""How many steps a run has: one for every setting that a search tries, and one for the fit that follows it."""

from __future__ import annotations

from groovemark.ml.datasets.table import Dataset
from groovemark.ml.training.config import TrainingConfig
from groovemark.ml.training.protocol import count_rounds, protocol_names


def of_fit(trials: int) -> int:
    """A search of so many settings, and the fit with the best of them."""
    return trials + 1


def of_protocol(config: TrainingConfig, dataset: Dataset, name: str) -> int:
    """One honest protocol gone through with one seed."""
    return count_rounds(dataset, config.protocol, name) * of_fit(config.search.trials)


def of_protocols(config: TrainingConfig, dataset: Dataset, *, headline_only: bool = False) -> int:
    """Every honest protocol and the careless one, which has as many rounds as the headline, with every seed."""
    names = protocol_names(dataset, config.protocol)
    honest = sum(of_protocol(config, dataset, name) for name in (names[:1] if headline_only else names))
    return len(config.protocol.seeds) * (honest + count_rounds(dataset, config.protocol, names[0]) * of_fit(0))


def of_training(config: TrainingConfig, dataset: Dataset) -> int:
    """All that `train` fits: what is measured, the base and the variants with the first seed, and what ships."""
    rounds = count_rounds(dataset, config.protocol, protocol_names(dataset, config.protocol)[0])
    variants = rounds * (of_fit(0) + sum(of_fit(variant.trials) for variant in config.variants))
    final = of_fit(config.search.trials) if config.ship == "all" else 0
    return of_protocols(config, dataset) + variants + final
