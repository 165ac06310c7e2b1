"""Signals that arrive at a bad moment: they wait for its end, and everything works afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numba
import pytest

from fastem.passes.signals import signals_waiting
from fastem.persistence import write_archive

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has few signals")


class StopError(Exception):
    pass


@pytest.fixture
def stopping():
    """Signals whose handlers raise, and what they were told."""
    told = []

    def stop(number, frame):
        told.append(number)
        raise StopError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGALRM)}
    yield told
    for number, handler in before.items():
        signal.signal(number, handler)


def raise_within(*numbers, reached, error=None):
    with signals_waiting():
        for number in numbers:
            signal.raise_signal(number)
        reached.append(True)
        if error is not None:
            raise error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGALRM])
def test_a_handler_that_raises_waits_for_the_end_of_the_block(stopping, number):
    reached = []
    handler = signal.getsignal(number)
    with pytest.raises(StopError):
        raise_within(number, number, reached=reached)
    assert reached == [True]
    assert stopping == [number], "once"
    assert signal.getsignal(number) is handler


def test_ctrl_c_waits_too():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        raise_within(signal.SIGINT, reached=reached)
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_several_signals_and_an_error_lose_no_handler_and_no_signal(stopping):
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    with pytest.raises(StopError) as caught:
        raise_within(signal.SIGTERM, signal.SIGALRM, reached=[], error=OSError("the block's own"))
    assert sorted(stopping) == sorted([signal.SIGTERM, signal.SIGALRM])
    messages = [str(error) for error in (caught.value.__context__, caught.value.__context__.__context__)]
    assert "the block's own" in messages
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers


def test_blocks_inside_blocks_wait_for_the_outermost(stopping):
    reached = []

    def outer():
        with signals_waiting():
            raise_within(signal.SIGTERM, reached=reached)
            reached.append("outer")

    with pytest.raises(StopError):
        outer()
    assert reached == [True, "outer"]
    assert stopping == [signal.SIGTERM]


def test_signals_that_are_ignored_or_end_the_process_are_left_alone(stopping):
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        with signals_waiting():
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
            signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert stopping == []


def test_other_threads_leave_handlers_alone(stopping):
    seen = []

    def scan():
        with signals_waiting():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=scan)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_a_model_file_is_whole_after_any_signal(stopping, tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGTERM)
        replace(*arguments)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(StopError):
        write_archive(tmp_path / "model.npz", {}, {})
    assert os.listdir(tmp_path) == ["model.npz"]


COMPILING = """
import signal, sys, traceback
import numpy as np
from numba.core import codegen, compiler

moment, name = sys.argv[1:]
number = getattr(signal, name)
if number != signal.SIGINT:
    def stop(*arguments):
        raise KeyboardInterrupt
    signal.signal(number, stop)
sent = []

def interrupting(function):
    def interrupted(*arguments):
        if not sent:
            sent.append(True)
            signal.raise_signal(number)
        return function(*arguments)
    return interrupted

owner, attribute = {
    "in a function that LLVM calls": (codegen.CPUCodeLibrary, "_object_compiled_hook"),
    "in numba": (compiler.CompilerBase, "compile_extra"),
    "while it is loaded": (compiler.CompileResult, "_rebuild"),
}[moment]
if moment == "while it is loaded":
    from loop import run
    run()
function = getattr(owner, attribute)
bound = staticmethod if hasattr(function, "__self__") else lambda function: function
setattr(owner, attribute, bound(interrupting(function)))

from loop import run
try:
    run()
    print("no interrupt", sent)
except KeyboardInterrupt:
    print("interrupted")
print(run())
"""

LOOP = """
import numpy as np
from numba import prange
from fastem.passes.threads import Pass

def double(serial, x):
    for i in prange(x.shape[0]):
        x[i] = 2 * x[i]

def run():
    if all(one.dispatcher.overloads for one in passes):
        passes.append(Pass(double, lambda sig: "a"))
    x = np.arange(3)
    passes[-1](x)
    passes[-1](x)
    return x.tolist()

passes = []
"""


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("in a function that LLVM calls", "SIGINT"),
        ("in a function that LLVM calls", "SIGTERM"),
        ("in a function that LLVM calls", "SIGALRM"),
        ("in numba", "SIGINT"),
        ("while it is loaded", "SIGINT"),
    ],
)
def test_an_interrupt_amid_a_compilation_is_not_lost_and_spoils_nothing(tmp_path, moment, name):
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "main.py").write_text(COMPILING)
    done = subprocess.run(
        [sys.executable, "main.py", moment, name],
        capture_output=True, text=True, cwd=tmp_path, timeout=300,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["interrupted", "[0, 4, 8]"], done.stderr
    assert done.stderr == ""
