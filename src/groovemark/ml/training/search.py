"""Searching settings with optuna; the caller's loss must not see the rows that will be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from groovemark.errors import ConfigurationError

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest value of a setting, both included; two whole numbers make a whole-number range."""

Objective = Literal["log_loss", "weighted_f1"]
"""What is best on the rows held out by the inner folds, taken together."""

REPORT_EVERY = 5


def search(
    loss: Callable[[Mapping[str, Any]], float],
    ranges: Ranges,
    defaults: Mapping[str, Any],
    *,
    trials: int,
    seed: int = 0,
    at_random: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The values with the least loss among `trials`, of which the defaults are the first.

    The tree-structured Parzen estimator with a fixed seed, or with `at_random` nothing but random draws: the same
    loss gives the same answer. Real-valued ranges, and whole numbers above 0, are searched on a logarithmic scale.

    Raises ConfigurationError for a default of 0 in such a range: it is not on the scale.
    """
    if trials == 0 or not ranges:
        return {}
    for name, (low, high) in ranges.items():
        if _is_logarithmic(low, high) and defaults[name] <= 0:
            raise ConfigurationError(f"a search of {name} begins with the one in the settings: give it one above 0")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        value = loss({name: _suggest(trial, name, *limits) for name, limits in ranges.items()})
        if (trial.number + 1) % REPORT_EVERY == 0:
            report(f"{trial.number + 1} of {trials} settings tried")
        return value

    samplers = optuna.samplers
    sampler = samplers.RandomSampler(seed) if at_random else samplers.TPESampler(seed=seed, n_startup_trials=8)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({name: defaults[name] for name in ranges})
    study.optimize(objective, n_trials=trials)
    return dict(study.best_params)


def _suggest(trial: Any, name: str, low: float, high: float) -> int | float:
    suggest = trial.suggest_int if _is_whole(low, high) else trial.suggest_float
    value: int | float = suggest(name, low, high, log=_is_logarithmic(low, high))
    return value


def _is_whole(low: float, high: float) -> bool:
    return isinstance(low, int) and isinstance(high, int)


def _is_logarithmic(low: float, high: float) -> bool:
    return low > 0 or not _is_whole(low, high)
