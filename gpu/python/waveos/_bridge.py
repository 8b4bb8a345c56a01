# SPDX-License-Identifier: GPL-2.0-only
"""Calls of the profiler library (WAVEOS_GPU_LIBRARY); without it they do nothing.

Loaded at the first step only, so that loader workers, which never make one, never report.
"""
import os

from . import _env

_step = None
_started = False


def start():
    """Loads the library and opens its ring; once a process."""
    global _step, _started
    if _started:
        return
    _started = True
    path = os.environ.get("WAVEOS_GPU_LIBRARY")
    if not path or not os.environ.get("WAVEOS_GPU_SOCKET"):
        return
    try:
        import ctypes
        library = ctypes.CDLL(path)
        library.waveos_gpu_start.restype = ctypes.c_int
        failed = library.waveos_gpu_start()
        if failed:
            _env.debug("waveos_gpu_start: %d" % failed)
        # PyDLL: the call never blocks, and giving up the interpreter lock for it could cost milliseconds
        step = ctypes.PyDLL(path).waveos_gpu_step
        step.argtypes, step.restype = [ctypes.c_uint64], None
        _step = step
    except Exception:
        _env.debug("profiler library " + path)


def step(number):
    """Tells the end of a step, in the thread that made it."""
    if not _started:
        start()
    if _step is not None:
        _step(number)


def _child():
    global _step, _started
    _step, _started = None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
