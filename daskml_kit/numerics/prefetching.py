"""Prefetching: hints to the processor which memory is read next, for loops that Numba compiles."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LINE_BYTES = 64
"""Bytes that come into a cache at once."""


@intrinsic  # type: ignore[untyped-decorator]  # Numba has no types of its own
def prefetch(typing_context: Any, address: Any) -> Any:
    """Load what lies at an address into the nearest caches while other work goes on; it is no error if nothing does."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [place], kind)
        to_read, nearest, data = number(0), number(3), number(1)
        builder.call(hint, [builder.inttoptr(arguments[0], place), to_read, nearest, data])
        return context.get_dummy_value()

    return types.void(types.uintp), generate
