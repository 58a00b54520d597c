"""What a set of features is: its columns, their units and ranges, and how they come from audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal["number", "integer", "text"]
TITLE = "title"
"""The column of titles, which belongs to no spec."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a feature table. The range is inclusive; None leaves that side open."""

    name: str
    kind: Kind = "number"
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class AudioSource:
    """How a row of features is cut from audio.

    Attributes:
        sample_rate: Hz, after mixing down to mono and resampling.
        window_s: length of one window; a longer track is cut into several, whose probabilities are averaged.
        hop_s: distance of the starts of two windows.
        offset_s: where the first window starts.
        shortest_window_s: a last window shorter than this is dropped, unless it is the only one.
        aggregation: how windows become one answer for the track.
        parameters: of the transforms (n_fft, hop_length_samples, ...).
    """

    sample_rate: int
    window_s: float
    hop_s: float
    offset_s: float = 0.0
    shortest_window_s: float = 15.0
    aggregation: str = "mean-probability"
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a frozen network makes a row of one set out of a row of another.

    Attributes:
        encoder: name of the network, in ml.encoders.
        layer: whose activations these are.
        takes: name of the set that the network takes, and the sha256 of its spec.
        weights_sha256: of the network's weights, as ml.encoders.weights counts it.
    """

    encoder: str
    layer: str
    takes: str
    takes_sha256: str
    weights_sha256: str


@dataclass(frozen=True)
class FeatureSpec:
    """A named, ordered set of columns. Two specs are the same only if their sha256 is.

    Attributes:
        name: such as `fma-42`; the number counts the columns.
        columns: in the order in which models take them.
        title_required: whether a CSV must bring its own title column.
        audio: how to compute the columns from audio; None where they only come as a table.
        shape: of one window's tensor, for the sets that have no columns.
        unit: of the tensor's numbers.
        encoding: which network makes it, and of what; None for the sets that no network makes.
    """

    name: str
    columns: tuple[Column, ...]
    title_required: bool = False
    audio: AudioSource | None = None
    shape: tuple[int, ...] = ()
    unit: str = ""
    encoding: Encoding | None = None

    @cached_property
    def sha256(self) -> str:
        """Identity of the spec: training and serving must agree on it."""
        fields = asdict(self)
        if not self.shape:  # so that sets of columns keep the identity they had before there were tensors
            del fields["shape"], fields["unit"]
        if self.encoding is None:  # likewise
            del fields["encoding"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Of what one window of audio gives: the columns, or the tensor."""
        return self.shape or (len(self.columns),)

    @property
    def comes_from_audio(self) -> bool:
        """Whether audio gives it: by itself, or through a network that takes a set which audio gives."""
        return self.audio is not None or self.encoding is not None

    @cached_property
    def numeric_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.kind != "text")

    @cached_property
    def text_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.kind == "text")
