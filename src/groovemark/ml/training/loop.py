"""The training loop of every family that torch trains: a family brings a module and its losses, the loop the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groovemark.errors import ConfigurationError
from groovemark.ml.features.arithmetic import has_bfloat16
from groovemark.ml.training.checkpoint import Standing, load_checkpoint, save_checkpoint

SEED_STRIDE = 1_000_003
"""Between the random seeds of two runs, more than there are epochs."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a module is taught.

    Attributes:
        epochs: at most; the learning rate's way is laid out over all of them.
        stop_after: epochs after which it ends on that way; None goes all of it.
        warm_up: share of all steps in which the learning rate rises to `learning_rate`; then it falls along a cosine.
        patience: epochs without a smaller held-out loss after which it stops; only where there is a held-out loss.
        gradient_norm: longer gradients are shortened to this.
    """

    epochs: int = 40
    stop_after: int | None = None
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    patience: int = 10
    gradient_norm: float = 1.0

    @property
    def last(self) -> int:
        """The number of the epoch that ends it, counted from 1."""
        return self.stop_after or self.epochs


@dataclass(frozen=True)
class Lesson:
    """What a family teaches with.

    Attributes:
        module: on the device where it is to be trained; parameters that ask for no gradient stay as they are.
        rows: how many training rows there are.
        loss: mean loss of these rows, augmented by the generator's draws (on the processor) alone.
        held_loss: mean loss of the rows held out, with the module as it answers later; None: all epochs are gone
            through, and the last one counts.
    """

    module: nn.Module
    rows: int
    loss: Callable[[Tensor, torch.Generator], Tensor]
    held_loss: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch that is done.

    Attributes:
        number: counted from 1.
        of: how many there are at most.
        held_loss: NaN where nothing is held out.
        pace: how long it took, and where; no two runs agree on it.
    """

    number: int
    of: int
    loss: float
    held_loss: float
    pace: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"epoch {self.number} of {self.of}, loss {self.loss:.3f}" + (f", {self.pace}" if self.pace else "")


def teach(
    lesson: Lesson,
    settings: LoopSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Epoch:
    """Train the lesson's module in place; afterwards it answers as after the epoch that is returned.

    That is the one with the smallest held-out loss, or the last where nothing is held out. The same seed gives the
    same numbers: each epoch draws from random numbers of its own, so that a run that goes on from its checkpoint ends
    with the bits of one that was never interrupted (on the processor; on a graphics card as far as its kernels are
    deterministic). On a graphics card that has bfloat16, products are taken in it; on any other device in float32.

    Args:
        checkpoint: a file to keep the state in after every epoch, and to go on from where it exists. Written whole or
            not at all; removing it is left to the caller, who knows when the result is safe.
        on_epoch: called after each epoch, when its checkpoint is written; what it raises ends the training.

    Raises:
        ConfigurationError: the loss stopped being finite, or the checkpoint is of another run.
    """
    optimizer = _optimizer(lesson.module, settings)
    run = {**asdict(settings), "seed": seed, "rows": lesson.rows}
    standing = load_checkpoint(checkpoint, lesson.module, optimizer, run) if checkpoint else Standing()
    standing.best_weights = standing.best_weights or _copy(lesson.module)
    with reproducible(seed):
        while not _is_over(standing, settings, lesson):
            started = time.perf_counter()
            loss = _epoch(lesson, settings, optimizer, standing.epochs, seed)
            pace = _pace(lesson, settings, time.perf_counter() - started)
            standing.epochs += 1
            held_loss = _held(lesson)
            if not math.isfinite(loss) or (lesson.held_loss and not math.isfinite(held_loss)):
                raise ConfigurationError(f"the loss of epoch {standing.epochs} is not finite: lower the learning rate")
            if lesson.held_loss is None or held_loss < standing.best_loss:
                standing.best_loss, standing.best_epoch = held_loss, standing.epochs
                standing.best_weights = _copy(lesson.module)
            standing.losses.append((loss, held_loss))
            if checkpoint:
                save_checkpoint(checkpoint, lesson.module, optimizer, standing, run)
            on_epoch(Epoch(standing.epochs, settings.last, loss, held_loss, pace))
    lesson.module.load_state_dict(standing.best_weights)
    lesson.module.eval()
    return Epoch(standing.best_epoch, settings.last, *standing.losses[standing.best_epoch - 1])


def _epoch(lesson: Lesson, settings: LoopSettings, optimizer: torch.optim.Optimizer, epoch: int, seed: int) -> float:
    """Every row once, in batches drawn anew; the mean loss."""
    device = next(lesson.module.parameters()).device
    generator = torch.Generator().manual_seed(seed * SEED_STRIDE + epoch)
    torch.manual_seed(seed * SEED_STRIDE + epoch)  # dropout draws from torch's own numbers
    lesson.module.train()
    batches = torch.split(torch.randperm(lesson.rows, generator=generator), settings.batch_size)
    total = 0.0
    for number, rows in enumerate(batches):
        done = (epoch + number / len(batches)) / settings.epochs
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_share(done, settings.warm_up)
        with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bfloat16(device)):
            loss = lesson.loss(rows, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(lesson.module.parameters(), settings.gradient_norm)
        optimizer.step()
        total += loss.item() * len(rows)
    return total / lesson.rows


def trains_in_bfloat16(device: torch.device) -> bool:
    """Whether products are taken in it. A card that would only imitate it is slower in it than in float32, and a
    processor's float32 has always the same bits."""
    return device.type == "cuda" and has_bfloat16(device)


def _pace(lesson: Lesson, settings: LoopSettings, seconds: float) -> str:
    """Where an epoch was taught, and how fast: the last batch's loss was read, so that a card has finished it."""
    return (
        f"{seconds:.2f} s, {lesson.rows / seconds:,.0f} rows/s in batches of {settings.batch_size} on "
        f"{_arithmetic(next(lesson.module.parameters()).device)}"
    )


def card_chosen(device: torch.device) -> dict[str, str]:
    """What CARD.md says about where networks were taught: something of graphics cards alone, whose bits nobody else may
    come to. How fast it went is only reported: the same machine is to write the same CARD.md again."""
    return {"taught on": _arithmetic(device)} if device.type == "cuda" else {}


def _arithmetic(device: torch.device) -> str:
    """Where, and in what numbers, a lesson is taught."""
    return f"{device.type} ({'bfloat16' if trains_in_bfloat16(device) else 'float32'})"


def learning_share(done: float, warm_up: float) -> float:
    """The share of the learning rate after this share of all steps: it rises linearly from a hundredth, then falls
    along half a cosine to 0."""
    if done < warm_up:
        return 0.01 + 0.99 * done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, kernels that are deterministic where there are such, and torch's random numbers from `seed`;
    afterwards everything as before. Modules are made in it, too: their first weights are drawn."""
    threads, was_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng():
        try:
            torch.set_num_threads(1)  # sums split over several threads differ in their last bit from those of one
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.manual_seed(seed)
            yield
        finally:
            torch.use_deterministic_algorithms(was_strict, warn_only=warned_only)
            torch.set_num_threads(threads)


def _optimizer(module: nn.Module, settings: LoopSettings) -> torch.optim.AdamW:
    """Biases and the parameters of normalisation, all of one axis, do not decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1]},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _is_over(standing: Standing, settings: LoopSettings, lesson: Lesson) -> bool:
    is_patient = lesson.held_loss is None or standing.epochs - standing.best_epoch < settings.patience
    return standing.epochs >= settings.last or not is_patient


def _held(lesson: Lesson) -> float:
    if lesson.held_loss is None:
        return math.nan
    lesson.module.eval()
    with torch.inference_mode():
        return lesson.held_loss()


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
