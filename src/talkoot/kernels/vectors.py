"""What numba does not ask a processor for: adding two whole numbers at once, fetching memory in advance."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

PAIR = ir.VectorType(ir.IntType(64), 2)
WORD = ir.IntType(32)


def _written(function: Any) -> Any:
    """Numba's `intrinsic`, whose types leave no room for arguments."""
    return intrinsic(function)


@_written
def add_pair(_: Any, into: Any, places: Any, source: Any, at: Any) -> Any:
    """`into[place : place + 2] += source[at : at + 2]` for each place; flat arrays of int64, unchecked."""

    def written(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays = context.make_array
        target = arrays(signature.args[0])(context, builder, values[0]).data
        data = arrays(signature.args[2])(context, builder, values[2]).data
        pair = builder.load(_pointer(builder, data, values[3], PAIR), align=8)
        for place in cgutils.unpack_tuple(builder, values[1]):
            address = _pointer(builder, target, place, PAIR)
            builder.store(builder.add(builder.load(address, align=8), pair), address, align=8)
        return context.get_dummy_value()

    return types.void(into, types.UniTuple(types.intp, len(places)), source, types.intp), written


@_written
def fetch(_: Any, source: Any, at: Any) -> Any:
    """Ask for the memory of `source[at]`, a flat array, which is read soon; unchecked."""

    def written(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        address = _pointer(builder, data, values[1], ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [address.type, WORD, WORD, WORD])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, soon, data_cache = 0, 1, 1
        builder.call(hint, [address, *(ir.Constant(WORD, each) for each in (read, soon, data_cache))])
        return context.get_dummy_value()

    return types.void(source, types.intp), written


def _pointer(builder: Any, data: Any, at: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())
