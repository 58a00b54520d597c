"""Changes to training windows that leave their label what it is; the scoring side never sees them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Augmentation(Protocol):
    """What a family's settings say about it.

    Attributes:
        mixup: parameter of the beta distribution from which the shares of two mixed windows are drawn; 0 mixes none.
        masked: longest run of frames, and of bands, that is masked, as a share of all; 0 masks none.
        noise: standard deviation of noise that is added.
        gain: standard deviation of a change of loudness.
    """

    @property
    def mixup(self) -> float: ...
    @property
    def masked(self) -> float: ...
    @property
    def noise(self) -> float: ...
    @property
    def gain(self) -> float: ...


def augmented(windows: Tensor, settings: Augmentation, draws: torch.Generator) -> Tensor:
    """Rolled, changed in loudness, with noise, and with a run of frames and one of bands masked.

    Args:
        windows: (n, frame, band), scaled: 0 is about the mean.

    Source: Park et al. 2019, SpecAugment, arXiv 1904.08779.
    """
    count, frames, bands = windows.shape
    places = torch.arange(frames)
    shifts = torch.randint(frames, (count, 1), generator=draws)
    sources = (places + shifts) % frames  # (n, frame)
    changed = windows[torch.arange(count)[:, None].to(windows.device), sources.to(windows.device)]
    if settings.gain:
        changed = changed + settings.gain * torch.randn(count, 1, 1, generator=draws).to(windows.device)
    if settings.noise:
        changed = changed + settings.noise * torch.randn(windows.shape, generator=draws).to(windows.device)
    if settings.masked:
        kept = ~_runs(count, frames, settings.masked, draws)[:, :, None]
        kept = kept & ~_runs(count, bands, settings.masked, draws)[:, None, :]
        changed = changed * kept.to(windows.device)
    return changed


def mixed(windows: Tensor, shares: Tensor, settings: Augmentation, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each window blended with another one of the batch, and its target likewise.

    Args:
        windows: (n, frame, band).
        shares: (n, label) target probabilities.

    Source: Zhang et al. 2018, mixup, arXiv 1710.09412.
    """
    if not settings.mixup:
        return windows, shares
    order = torch.randperm(len(windows), generator=draws).to(windows.device)
    # A beta variate is the first of two gamma variates' share of their sum.
    gammas = torch._standard_gamma(torch.full((2, len(windows)), settings.mixup), generator=draws)
    share = (gammas[0] / gammas.sum(dim=0).clamp_min(1e-30)).to(windows.device)
    return (
        share[:, None, None] * windows + (1 - share[:, None, None]) * windows[order],
        share[:, None] * shares + (1 - share[:, None]) * shares[order],
    )


def _runs(count: int, length: int, longest: float, draws: torch.Generator) -> Tensor:
    """(n, length): where a run of up to `longest` of all places is, of a length and at a place drawn for each row."""
    sizes = torch.randint(int(longest * length) + 1, (count, 1), generator=draws)
    starts = (torch.rand(count, 1, generator=draws) * (length - sizes + 1)).long()
    places = torch.arange(length)
    return (places >= starts) & (places < starts + sizes)
