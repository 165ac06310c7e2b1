"""The one parallel loop, which all passes share.

It knows only two addresses: that of a function and that of its arguments. So it is compiled once, not for each pass
and each family: numba compiles a parallel loop, with all that its body calls, five times over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange
from numba.core import cgutils
from numba.core import types as numba_types
from numba.extending import intrinsic, overload

from fastem.passes.flags import PASS_OPTIONS
from fastem.passes.threads import compiled

types: Any = numba_types
_BYTES, _WORD = ir.IntType(8).as_pointer(), ir.IntType(64)
_CALLER = ir.FunctionType(ir.VoidType(), [_BYTES, _WORD])


def _field(builder: Any, packed: Any, index: int) -> Any:
    """Where packed arguments begin (1), and the word before them (0), which tells whether a call has failed."""
    return builder.gep(packed, [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), index)])


def _addresses_of(function: Any) -> Any:
    """An intrinsic that maps a tuple of arguments to two addresses.

    They are those of a caller of the function and of what it takes, and are valid until the calling function returns.
    """

    @intrinsic
    def addresses(typing_context, arguments):
        of_function = types.Dispatcher(function).get_call_type(typing_context, (*arguments.types, types.int64), {})

        def generate(context, builder, signature, values):
            result = function.overloads[of_function.args]
            context.add_linking_libs([result.library])
            packed_type = ir.LiteralStructType([_WORD, context.get_value_type(arguments)])
            packed = cgutils.alloca_once(builder, packed_type)
            builder.store(ir.Constant(_WORD, 0), _field(builder, packed, 0))
            builder.store(values[0], _field(builder, packed, 1))
            caller = _caller_of(context, builder.module, result.fndesc, packed_type)
            both = [builder.ptrtoint(caller, _WORD), builder.ptrtoint(packed, _WORD)]
            return context.make_tuple(builder, signature.return_type, both)

        return types.Tuple((types.int64, types.int64))(arguments), generate

    return addresses


def _caller_of(context: Any, module: Any, descriptor: Any, packed_type: Any) -> Any:
    """A function of the address of packed arguments, and of a lane."""
    caller = ir.Function(module, _CALLER, name=f"{descriptor.mangled_name}.in_lane")
    caller.linkage = "internal"
    builder = ir.IRBuilder(caller.append_basic_block())
    packed = builder.bitcast(caller.args[0], packed_type.as_pointer())
    arguments = cgutils.unpack_tuple(builder, builder.load(_field(builder, packed, 1)))
    status, _ = context.call_conv.call_function(
        builder,
        context.declare_function(module, descriptor),
        descriptor.restype,
        descriptor.argtypes,
        [*arguments, caller.args[1]],
    )
    with cgutils.if_unlikely(builder, status.is_error):
        builder.store(ir.Constant(_WORD, 1), _field(builder, packed, 0))
    builder.ret_void()
    return caller


@intrinsic
def _call(typing_context, caller, packed, lane):
    """Call the function at an address."""

    def generate(context, builder, signature, values):
        function = builder.inttoptr(values[0], _CALLER.as_pointer())
        builder.call(function, [builder.inttoptr(values[1], _BYTES), values[2]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _has_failed(typing_context, packed):
    """Whether a call with the arguments at an address has failed."""

    def generate(context, builder, signature, values):
        failure = builder.load(builder.inttoptr(values[0], _WORD.as_pointer()))
        return builder.icmp_signed("!=", failure, ir.Constant(_WORD, 0))

    return types.boolean(types.int64), generate


def _in_parallel(caller, packed, n_lanes):
    for lane in prange(n_lanes):
        _call(caller, packed, np.int64(lane))


_parallel_loop = compiled(_in_parallel, lambda sig: "", parallel=True)


def over_lanes(function: Any) -> Callable[[bool, int, tuple[Any, ...]], bool]:
    """A function that calls ``function(*arguments, lane)`` for each lane, on this thread alone or in parallel.

    It takes whether to stay on this thread, the number of lanes, and the arguments. It returns False when a call in
    parallel raised an exception, of which nothing else is known.
    """

    def in_lanes(serial: bool, n_lanes: int, arguments: tuple[Any, ...]) -> bool:
        for lane in range(n_lanes):
            function(*arguments, lane)
        return True

    addresses = _addresses_of(function)

    @overload(in_lanes, jit_options=PASS_OPTIONS, strict=False)
    def _compiled(serial: Any, n_lanes: Any, arguments: Any) -> Callable[..., bool]:
        def either(serial, n_lanes, arguments):
            if serial:
                for lane in range(n_lanes):
                    function(*arguments, np.int64(lane))
                return True
            caller, packed = addresses(arguments)
            _parallel_loop(caller, packed, n_lanes)
            return not _has_failed(packed)

        return either

    return in_lanes
