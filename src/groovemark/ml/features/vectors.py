"""Sorting networks as machine code: vectors, which numba has no name for, through its compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from groovemark.ml.features.network import Network

LANES = 16
"""Samples of one vector: AVX-512's; LLVM splits it where the processor has narrower ones."""


def network_step(network: Network) -> Callable[..., Any]:
    """One pass of `LANES` columns through a network, as straight code without branches.

    Returns:
        step(source, rows, column, target, target_rows, target_column): wire i is read at
        source.flat[rows[i] + column …], output o is written at target.flat[target_rows[o] + target_column …].
        float32 arrays and int64 offsets, contiguous; nothing is checked.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.FloatType(), LANES)

        def place(array: int, offsets: int, index: int, column: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            starts = context.make_array(signature.args[offsets])(context, builder, arguments[offsets]).data
            start = builder.load(builder.gep(starts, [ir.Constant(ir.IntType(64), index)]))
            pointer = builder.gep(data, [builder.add(start, arguments[column])])
            return builder.bitcast(pointer, vector.as_pointer())

        wires = [builder.load(place(0, 1, wire, 2), align=4) for wire in range(network.inputs)]
        for comparator in network.comparators:
            left, right = wires[comparator.left], wires[comparator.right]
            order = "<" if comparator.is_minimum else ">"
            wires.append(builder.select(builder.fcmp_ordered(order, left, right), left, right))
        for number, wire in enumerate(network.outputs):
            builder.store(wires[wire], place(3, 4, number, 5), align=4)
        return context.get_dummy_value()

    def step(
        _context: Any, source: Any, rows: Any, column: Any, target: Any, target_rows: Any, target_column: Any
    ) -> Any:
        return types.none(source, rows, column, target, target_rows, target_column), generate

    return cast("Callable[..., Any]", intrinsic(step))
