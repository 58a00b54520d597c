"""The network: blocks of convolution over a window's frames and bands, averaged into one answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """From windows to raw scores, with the scaling that belongs to its weights.

    Args:
        bands: of a window.
        channels: of each block; every block but the last halves frames and bands, as long as there are two.
        pool: frames and bands that are averaged before the first block.
        across: whether the first block's filters span all bands, so that the others go along the frames alone;
            otherwise all of them go along both.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        bands: int,
        labels: int,
        *,
        channels: Sequence[int],
        pool: tuple[int, int] = (1, 1),
        across: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("deviation", torch.ones(bands))
        self.pool = pool
        widths = (1, *channels)
        first = (3, bands // pool[1]) if across else (3, 3)
        later = (3, 1) if across else (3, 3)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, later if number else first, padding=(1, 0 if across else 1), bias=False)
            for number, (before, after) in enumerate(zip(widths, channels, strict=False))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for after in channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels[-1], labels)

    def scale_by(self, windows: Tensor) -> None:
        """Take mean and deviation of each band from (n, frame, band) training windows."""
        self.mean.copy_(windows.mean(dim=(0, 1)))
        self.deviation.copy_(windows.std(dim=(0, 1)).clamp_min(1e-3))

    def encode(self, windows: Tensor) -> Tensor:
        """(n, frame, band) → the same shape, scaled, with silence at the end replaced by what was before it."""
        return (looped(windows) - self.mean) / self.deviation

    def forward(self, encoded: Tensor) -> Tensor:
        """(n, frame, band) as `encode` gives them → (n, label) raw scores."""
        maps = encoded[:, None]  # (n, 1, frame, band)
        if self.pool != (1, 1):
            maps = functional.avg_pool2d(maps, self.pool)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if number:
                maps = functional.max_pool2d(maps, [min(2, size) for size in maps.shape[2:]])
            maps = functional.relu(norm(convolution(maps)))  # (n, channel, frame, band)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.mean(dim=3).amax(dim=2)], dim=1)  # (n, 2 * channel)
        return cast("Tensor", self.head(self.dropout(pooled)))


def looped(windows: Tensor) -> Tensor:
    """Windows whose last frames are all equal are repeated from their beginning in the place of these.

    A recording shorter than the window was filled with silence: without this a network learns lengths, and meets
    full windows as something new.

    Args:
        windows: (n, frame, band).
    """
    frames = windows.shape[1]
    differs = (windows != windows[:, -1:]).any(dim=2)  # (n, frame)
    places = torch.arange(frames, device=windows.device)
    sounding = torch.where(differs, places + 1, 0).amax(dim=1)  # (n,) frames before the silence
    sounding = torch.where((sounding == 0) | (sounding >= frames - 1), frames, sounding)
    sources = places % sounding[:, None]  # (n, frame)
    return windows.gather(1, sources[:, :, None].expand_as(windows))
