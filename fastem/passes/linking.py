"""What is compiled for a pass becomes machine code once, as a whole.

By itself numba optimises each function, and makes machine code of it, together with all that it calls: a function
that is eight calls deep nine times, and each time for nothing but the last. Here functions are put together as they
are, and the outermost one is optimised with all of them.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba import version_info
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import lookup_environment
from numba.core.registry import cpu_target

_ENVIRONMENT = "_ZN08NumbaEnv"

# This module overrides parts of numba that later versions may change: with these, compiling takes longer, that is all.
_LAST_KNOWN = (0, 68)


class _NoEngine:
    """In place of the engine of functions without machine code, which have no place for an environment."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Leave it out: `_Library` sets the environments of all functions that it makes machine code of."""


class _Library(JITCodeLibrary):
    """Functions that become machine code when somebody asks for the address of one of them."""

    _is_loaded = False

    def _optimize_functions(self, module: Any) -> None:
        # As in numba, which also takes its time for every function that is only declared here.
        module.data_layout = self._codegen._data_layout
        for function in module.functions:
            if not function.is_declaration:
                manager, builder = self._codegen._function_pass_manager()
                manager.run(function, builder)

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        if self._object_caching_enabled and self._compiled_object is not None:
            # Machine code from a file.
            self._load()
            return
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._final_module.__library = weakref.proxy(self)
        self._finalized = True

    def _load(self) -> None:
        self._is_loaded = True
        super()._finalize_final_module()

    def _generate(self) -> None:
        # Twice: loops that come to light when functions are inlined are changed again. A third time changes nothing.
        super()._optimize_final_module()
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)
        self._load()
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name) if variable.name.startswith(_ENVIRONMENT) else None
            if environment is not None:
                self._codegen.set_env(variable.name, environment)

    def get_pointer_to_function(self, name: str) -> int:
        """The address of a function, or zero where these are not the functions that it belongs to."""
        self._ensure_finalized()
        if not self._is_loaded:
            if all(function.name != name for function in self.get_defined_functions()):
                return 0
            self._generate()
        return super().get_pointer_to_function(name)

    @property
    def codegen(self) -> Any:
        """What numba sets the environment of a function with."""
        return self._codegen if self._is_loaded else _NoEngine


@contextmanager
def generated_once() -> Iterator[None]:
    """Make machine code of the outermost function that is compiled meanwhile, and of no part of it.

    The garbage collector waits: a compilation makes millions of objects that live until its end, and looking through
    them again and again takes a tenth of the time.
    """
    if version_info.short > _LAST_KNOWN:
        yield
        return
    with global_compiler_lock:
        codegen, collects = cpu_target.target_context.codegen(), gc.isenabled()
        before = codegen._library_class
        codegen._library_class = _Library
        gc.disable()
        try:
            yield
        finally:
            codegen._library_class = before
            if collects:
                gc.enable()
