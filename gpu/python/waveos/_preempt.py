# SPDX-License-Identifier: GPL-2.0-only
"""Preemption: SIGUSR1 asks for a checkpoint, the program saves at the end of the step and exits with code 75.

The handler is installed only where the scheduler runs the program (WAVEOS_CHECKPOINT_DIR is set) and calls the one
that stood there before.
"""
import os
import signal
import sys

from . import _env

_requested = False
_callback = None
_former = None
_installed = False


def checkpoint_dir():
    """Folder for the program's state, made if need be; None: no scheduler runs this program."""
    path = os.environ.get("WAVEOS_CHECKPOINT_DIR")
    if not path:
        return None
    try:
        os.makedirs(path, exist_ok=True)
    except OSError:
        _env.debug("checkpoint folder")
    return path


def checkpoint_requested():
    """Whether the program is to save its state now and to exit (exit_preempted)."""
    install()
    return _requested


def on_preempt(callback):
    """callback() saves the state; it is called at the end of the step in which the request came, then the program
    exits with code 75. What it raises is the program's own failure. Can be used as a decorator."""
    global _callback
    install()
    _callback = callback
    return callback


def exit_preempted():
    """Ends the program the way the scheduler waits for: it will be started again."""
    raise SystemExit(_env.PREEMPTED_EXIT)


def at_boundary():
    """The end of a step: saves and leaves if asked to and if the program said how."""
    if _requested and _callback is not None:
        _callback()
        exit_preempted()


def _handler(number, frame):
    global _requested
    _requested = True
    if callable(_former):
        _former(number, frame)


def install():
    """Takes SIGUSR1 (main thread only, once)."""
    global _former, _installed
    if _installed or not os.environ.get("WAVEOS_CHECKPOINT_DIR"):
        return
    try:
        former = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, _handler)
        _former, _installed = former, True
    except ValueError:
        _env.debug("SIGUSR1 can be taken in the main thread only")
    except Exception:
        _env.debug("SIGUSR1")


def _child():
    # a worker that is forked after the request has nothing to save
    global _requested, _callback
    _requested, _callback = False, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
if sys.platform != "win32":
    install()
