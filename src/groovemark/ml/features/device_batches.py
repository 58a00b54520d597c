"""Windows of several files extracted together, on one device: a graphics card takes thirty as fast as one."""

from __future__ import annotations

import logging
import queue
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock, Thread
from typing import TYPE_CHECKING

import numpy as np

from groovemark.errors import AudioRejected, Unavailable
from groovemark.ml.audio.messages import Samples
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec

if TYPE_CHECKING:
    from groovemark.ml.features.extractor import Extractor

logger = logging.getLogger(__name__)

WINDOWS_AT_ONCE = 32
"""In one batch, and waiting for the next: half a minute of audio is 2.6 MB."""


@dataclass(frozen=True)
class _Window:
    samples: Samples
    spec: FeatureSpec
    row: Future[Samples] = field(default_factory=Future)


class DeviceBatches:
    """One thread that takes whatever windows are waiting and extracts them in one go.

    Safe to share between threads; those that bring windows faster than the device takes them wait.

    Args:
        device: of torch, such as `cuda`; `cpu` gives the same numbers, slower than the compiled way.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._waiting: queue.Queue[_Window | None] = queue.Queue(WINDOWS_AT_ONCE)
        self._lock = Lock()
        self._is_closed = False
        self._thread = Thread(target=self._run, name="device-batches", daemon=True)
        self._thread.start()

    def warm(self) -> None:
        """The device is awake and every set has been computed once."""
        for spec in FEATURE_SETS.values():
            if spec.audio is not None:
                self.extract([np.linspace(-1, 1, spec.audio.sample_rate, dtype=np.float32)], spec)

    def close(self) -> None:
        """What waits is still extracted; whoever brings more is refused."""
        with self._lock:
            self._is_closed = True
            self._waiting.put(None)
        self._thread.join()

    def extract(self, windows: Iterable[Samples], spec: FeatureSpec) -> Samples:
        """Features of one file's windows, each begun as soon as it is there.

        Args:
            windows: (time,) each, at least one.

        Returns:
            (w, d), a tensor as one row; a row is NaN where its window holds values that are not finite or far beyond
            full scale.

        Raises:
            AudioRejected: the device fails at one of them, even alone.
            Unavailable: the batches are closed.
        """
        rows = [self._bring(_Window(samples, spec)) for samples in windows]
        return np.stack([row.result() for row in rows])

    def _bring(self, window: _Window) -> Future[Samples]:
        with self._lock:
            if self._is_closed:
                raise Unavailable("The service is ending.")
            self._waiting.put(window)
        return window.row

    def _run(self) -> None:
        is_ending = False
        while not is_ending:
            waiting = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(waiting) < WINDOWS_AT_ONCE:
                    waiting.append(self._waiting.get_nowait())
            is_ending = waiting[-1] is None
            by_spec: defaultdict[str, list[_Window]] = defaultdict(list)
            for window in waiting:
                if window is not None:
                    by_spec[window.spec.name].append(window)
            for windows in by_spec.values():
                self._extract(windows)

    def _extract(self, windows: Sequence[_Window]) -> None:
        try:
            rows = self._rows(windows)
        except Exception as error:
            # Others use the card too: less at a time may fit. And what one window does harms no other file.
            if len(windows) > 1:
                self._extract(windows[: len(windows) // 2])
                self._extract(windows[len(windows) // 2 :])
            else:
                logger.warning("features could not be computed on %s", self._device, exc_info=error)
                message = f"Computing its features on {self._device} failed: {type(error).__name__}."
                windows[0].row.set_exception(AudioRejected("decoder_crashed", message))
        else:
            for window, row in zip(windows, rows, strict=True):
                window.row.set_result(row)

    def _rows(self, windows: Sequence[_Window]) -> Samples:
        import torch

        lengths = [len(window.samples) for window in windows]
        waveforms = torch.zeros(len(windows), max(lengths))
        for waveform, window in zip(waveforms, windows, strict=True):
            waveform[: len(window.samples)] = torch.from_numpy(window.samples)
        rows = _extractor(windows[0].spec.name).extract(waveforms.to(self._device), lengths)
        return rows.flatten(1).cpu().numpy()


@cache
def _extractor(spec_name: str) -> Extractor:
    from groovemark.ml.features.extractor import Extractor

    return Extractor(FEATURE_SETS[spec_name], is_compiled=False)
