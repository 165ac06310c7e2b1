"""Every compiler flag of fastem; no other module sets one (a test greps for it)."""

from __future__ import annotations

from typing import Any

import numba
from numba.core.compiler import Compiler

# Sums may be reordered (it lets LLVM vectorise them) and multiplications contracted into FMAs.
# `nnan` and `ninf` are absent: log-densities of minus infinity and NaN in bad data are real here.
REORDERED = {"reassoc", "contract", "nsz", "arcp"}

# For code whose rounding errors cancel by design, such as range reduction in exp.
IN_ORDER = {"contract"}

BLOCK_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": REORDERED,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

PASS_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "no_cfunc_wrapper": True,
}


class _Disjoint(Compiler):
    """Compile a function none of whose arrays overlaps another one that it writes."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


block_function = numba.njit(**BLOCK_OPTIONS)

pass_function = numba.njit(**PASS_OPTIONS)
parallel_function = numba.njit(parallel=True, **PASS_OPTIONS)
exact_function = numba.njit(**{**BLOCK_OPTIONS, "fastmath": IN_ORDER})
# LLVM gives up a loop of eight turns where it would have to ask whether arrays overlap.
disjoint_function = numba.njit(**BLOCK_OPTIONS, pipeline_class=_Disjoint)
