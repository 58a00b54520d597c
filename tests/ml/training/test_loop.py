from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from groovemark.errors import ConfigurationError
from groovemark.ml.training.loop import Epoch, Lesson, LoopSettings, card_chosen, learning_share, reproducible, teach

SETTINGS = LoopSettings(epochs=6, batch_size=8, learning_rate=0.02, patience=6)


def lesson(*, held: bool = True, scale: float = 1.0) -> Lesson:
    """Three clouds of points, through everything that has state or draws: batch norm, dropout, noise."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(60) % 3
    points = torch.randn(60, 5, generator=generator) + targets[:, None]
    with reproducible(1):
        module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))

    def loss(rows: Tensor, draws: torch.Generator) -> Tensor:
        noise = 0.1 * torch.randn(len(rows), 5, generator=draws)
        return scale * functional.cross_entropy(module(points[rows] + noise), targets[rows])

    def held_loss() -> float:
        return float(functional.cross_entropy(module(points[48:]), targets[48:]))

    return Lesson(module, 48, loss, held_loss if held else None)


def weights(taught: Lesson) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in taught.module.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_learns() -> None:
    seen: list[Epoch] = []
    teach(lesson(), SETTINGS, seed=0, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1].loss < seen[0].loss


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(torch.seed())  # whatever the program drew before
        one = lesson()
        teach(one, SETTINGS, seed=seed)
        runs.append(weights(one))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


class Killed(Exception):
    pass


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_run_that_was_killed_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path, epoch: int) -> None:
    whole = lesson()
    outcome = teach(whole, SETTINGS, seed=3)

    def kill(done: Epoch) -> None:
        if done.number == epoch:
            raise Killed

    with pytest.raises(Killed):
        teach(lesson(), SETTINGS, seed=3, checkpoint=tmp_path / "checkpoint", on_epoch=kill)
    resumed, seen = lesson(), []
    torch.rand(7)
    assert teach(resumed, SETTINGS, seed=3, checkpoint=tmp_path / "checkpoint", on_epoch=seen.append) == outcome
    assert [done.number for done in seen] == list(range(epoch + 1, 7))
    assert same(weights(resumed), weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_finished_run_is_not_gone_through_again(tmp_path: Path) -> None:
    first, second, seen = lesson(), lesson(), []
    outcome = teach(first, SETTINGS, seed=0, checkpoint=tmp_path / "checkpoint")
    assert teach(second, SETTINGS, seed=0, checkpoint=tmp_path / "checkpoint", on_epoch=seen.append) == outcome
    assert seen == []
    assert same(weights(first), weights(second))


def test_a_checkpoint_of_another_run_is_refused_and_so_is_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    teach(lesson(), SETTINGS, seed=0, checkpoint=path)
    with pytest.raises(ConfigurationError, match="other settings"):
        teach(lesson(), SETTINGS, seed=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        teach(lesson(), SETTINGS, seed=0, checkpoint=path)


def test_early_stopping_stops_and_restores_the_best_epoch() -> None:
    """The held-out loss is told here, so that epoch 2 is the best of all."""
    told = iter([3.0, 1.0, 2.0, 1.5, 1.2, 9.0])
    one, after = lesson(held=False), []
    one = Lesson(one.module, one.rows, one.loss, lambda: next(told))
    settings = LoopSettings(epochs=6, batch_size=8, learning_rate=0.02, patience=3)
    outcome = teach(one, settings, seed=0, on_epoch=lambda _: after.append(weights(one)))
    assert (outcome.number, outcome.held_loss, len(after)) == (2, 1.0, 5)
    assert same(weights(one), after[1])
    assert not same(after[1], after[4])


def test_a_run_that_is_to_stop_earlier_is_taught_as_the_longer_one_was_until_there() -> None:
    after: list[dict[str, Tensor]] = []
    whole, shorter = lesson(held=False), lesson(held=False)
    teach(whole, SETTINGS, seed=0, on_epoch=lambda _: after.append(weights(whole)))
    outcome = teach(shorter, replace(SETTINGS, stop_after=4), seed=0)
    assert (outcome.number, outcome.of) == (4, 4)
    assert same(weights(shorter), after[3])


def test_an_epoch_says_how_fast_it_was_taught_where_and_in_what_numbers() -> None:
    seen: list[Epoch] = []
    teach(lesson(), SETTINGS, seed=0, on_epoch=seen.append)
    assert re.fullmatch(
        r"epoch 6 of 6, loss 0\.\d{3}, \d\.\d\d s, [\d,]+ rows/s in batches of 8 on cpu \(float32\)", str(seen[-1])
    )


def test_a_card_tells_of_a_graphics_card_and_of_nothing_that_differs_from_run_to_run_on_the_processor() -> None:
    assert card_chosen(torch.device("cpu")) == {}
    assert re.fullmatch(r"cuda \((bfloat16|float32)\)", card_chosen(torch.device("cuda"))["taught on"])


def test_without_a_held_out_loss_the_last_epoch_counts() -> None:
    outcome = teach(lesson(held=False), SETTINGS, seed=0)
    assert outcome.number == 6
    assert math.isnan(outcome.held_loss)


def test_frozen_parameters_stay_as_they_are() -> None:
    one = lesson()
    first = next(one.module.parameters()).requires_grad_(False)
    before = first.clone()
    teach(one, SETTINGS, seed=0)
    assert torch.equal(first, before)


def test_a_loss_that_is_not_finite_ends_the_run_with_advice() -> None:
    with pytest.raises(ConfigurationError, match="learning rate"):
        teach(lesson(scale=math.inf), SETTINGS, seed=0)


def test_training_leaves_the_program_s_random_numbers_and_threads_alone() -> None:
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    teach(lesson(), SETTINGS, seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    shares = [learning_share(step / 100, 0.1) for step in range(101)]
    assert shares.index(max(shares)) == 10
    assert (max(shares), shares[-1]) == (1.0, 0.0)
    assert shares[11:] == sorted(shares[11:], reverse=True)


def test_a_place_where_no_checkpoint_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/own\.safetensors cannot be written as a checkpoint"):
        teach(lesson(), SETTINGS, seed=0, checkpoint=tmp_path / "file" / "own.safetensors")
