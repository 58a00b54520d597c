"""Sorting networks, pruned to what neighbouring running medians need: no sorting, no branches.

Neighbouring windows share most of their samples. For w = 8 neighbouring outputs of a window of 31 samples,
the 24 samples that all eight windows hold are sorted once; of those only the w in the middle can still be a
median. Then the group is halved: each half adds the samples that only its own windows share, and keeps the
middle again, until one candidate an output is left. Comparators whose result nobody reads are dropped. This
is exact, since a network only ever moves the samples themselves.

Source: Batcher 1968, "Sorting networks and their applications" (odd-even merge; Knuth, TAOCP 3, 5.3.4 for
lists of any length). Boundaries as in scipy.ndimage's mode "reflect".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

OUTPUTS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Comparator:
    """One half of a compare-exchange: the smaller or the larger of two wires."""

    is_minimum: bool
    left: int
    right: int


@dataclass(frozen=True)
class Network:
    """Wires 0..inputs-1 are samples; wire inputs + i is the result of comparators[i].

    Attributes:
        outputs: the wires that hold the medians, in the order of the windows.
        dying: for each comparator the wires nobody reads after it.
    """

    inputs: int
    comparators: tuple[Comparator, ...]
    outputs: tuple[int, ...]
    dying: tuple[tuple[int, ...], ...]


class _Builder:
    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.comparators: list[Comparator] = []

    def _wire(self, is_minimum: bool, left: int, right: int) -> int:
        self.comparators.append(Comparator(is_minimum, left, right))
        return self.inputs + len(self.comparators) - 1

    def exchange(self, left: int, right: int) -> list[int]:
        return [self._wire(True, left, right), self._wire(False, left, right)]

    def merge(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Two ascending lists as one (Batcher's odd-even merge)."""
        if not left or not right:
            return [*left, *right]
        if len(left) == len(right) == 1:
            return self.exchange(left[0], right[0])
        even = self.merge(left[::2], right[::2])
        odd = self.merge(left[1::2], right[1::2])
        merged = even[:1]
        for low, high in zip(odd, even[1:], strict=False):
            merged += self.exchange(low, high)
        paired = min(len(odd), len(even) - 1)
        return [*merged, *odd[paired:], *even[1 + paired :]]

    def sort(self, wires: Sequence[int]) -> list[int]:
        if len(wires) < 2:
            return list(wires)
        middle = len(wires) // 2
        return self.merge(self.sort(wires[:middle]), self.sort(wires[middle:]))

    def medians(self, candidates: list[int], first: int, last: int, width: int) -> list[int]:
        """Medians of the windows first..last, whose common samples have `candidates` in their middle."""
        count = last - first + 1
        if count == 1:
            return candidates
        half, outputs = count // 2, list[int]()
        for start in (first, first + half):
            stop = start + half - 1
            # The samples this half shares beyond those that the whole group shares.
            extra = [*range(stop, last), *range(first + width, start + width)]
            merged = self.merge(candidates, self.sort(extra))
            outputs += self.medians(_middle(merged, half), start, stop, width)
        return outputs


def _middle(wires: list[int], count: int) -> list[int]:
    start = (len(wires) - count) // 2
    return wires[start : start + count]


@cache
def build(width: int, outputs_at_once: int = OUTPUTS_AT_ONCE) -> Network:
    """The network for windows of `width` samples (odd); the number of outputs at once is a power of two."""
    inputs = width + outputs_at_once - 1
    builder = _Builder(inputs)
    common = builder.sort(range(outputs_at_once - 1, width))
    candidates = _middle(common, outputs_at_once)
    outputs = builder.medians(candidates, 0, outputs_at_once - 1, width)
    return _pruned(inputs, builder.comparators, outputs)


@cache
def build_middle(width: int) -> Network:
    """The network for the two middle values of `width` samples (even), the smaller first."""
    builder = _Builder(width)
    return _pruned(width, builder.comparators, _middle(builder.sort(range(width)), 2))


@cache
def build_ranking(new: int, held: int) -> Network:
    """The network that keeps the `held` largest and the `held` smallest samples as `new` ones come in.

    Inputs: the new samples, the largest so far, the smallest so far; outputs: the largest, the smallest; each
    ascending.
    """
    builder = _Builder(new + 2 * held)
    arrived = builder.sort(range(new))
    largest = builder.merge(arrived, range(new, new + held))[-held:]
    smallest = builder.merge(arrived, range(new + held, new + 2 * held))[:held]
    return _pruned(builder.inputs, builder.comparators, [*largest, *smallest])


def _pruned(inputs: int, comparators: list[Comparator], outputs: list[int]) -> Network:
    """Without the comparators no output depends on, the wires renumbered."""
    needed = set(outputs)
    for wire in range(inputs + len(comparators) - 1, inputs - 1, -1):
        if wire in needed:
            needed |= {comparators[wire - inputs].left, comparators[wire - inputs].right}
    number = {wire: wire for wire in range(inputs)}
    kept: list[Comparator] = []
    for wire, comparator in enumerate(comparators, start=inputs):
        if wire in needed:
            number[wire] = inputs + len(kept)
            kept.append(Comparator(comparator.is_minimum, number[comparator.left], number[comparator.right]))
    final = tuple(number[wire] for wire in outputs)
    last_reader = {wire: index for index, one in enumerate(kept) for wire in (one.left, one.right)}
    dying: list[list[int]] = [[] for _ in kept]
    for wire, index in last_reader.items():
        if wire not in final:
            dying[index].append(wire)
    return Network(inputs, tuple(kept), final, tuple(tuple(wires) for wires in dying))
