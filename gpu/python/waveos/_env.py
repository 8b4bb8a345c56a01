# SPDX-License-Identifier: GPL-2.0-only
"""What the environment says (docs/gpu-python.md), and where failures of our own go."""
import os
import sys

OOM_EXIT = 66
PREEMPTED_EXIT = 75  # EX_TEMPFAIL of sysexits.h: run me again later


def debug(what):
    """Tells the failure being handled, or just `what`; silent unless WAVEOS_GPU_DEBUG is set."""
    if not os.environ.get("WAVEOS_GPU_DEBUG"):
        return
    try:
        import traceback
        tail = ": " + traceback.format_exc() if sys.exc_info()[0] else ""
        sys.stderr.write("waveos: %s%s\n" % (what, tail))
    except Exception:
        pass


def integer(name):
    """A whole number of the environment; None: not set, or no number."""
    try:
        return int(os.environ[name])
    except KeyError:
        return None
    except ValueError:
        debug("%s is no number" % name)
        return None


_knobs = None


def knobs():
    """The knobs that the tuner set, {} without a tuner. Read once."""
    global _knobs
    if _knobs is None:
        _knobs = {}
        path = os.environ.get("WAVEOS_TUNE_KNOBS")
        if path:
            try:
                import json
                with open(path, encoding="utf-8") as file:
                    found = json.load(file)
                if isinstance(found, dict):
                    _knobs = found
            except Exception:
                debug("knobs " + path)
    return _knobs


def rank():
    """This process's place in distributed training, 0 when it is alone."""
    try:
        torch = sys.modules.get("torch")
        distributed = getattr(torch, "distributed", None)
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank()
    except Exception:
        debug("rank")
    return integer("RANK") or 0


def world():
    try:
        torch = sys.modules.get("torch")
        distributed = getattr(torch, "distributed", None)
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return distributed.get_world_size()
    except Exception:
        debug("world")
    return 1


def in_loader_worker():
    """Whether this process only loads data for another one."""
    worker = sys.modules.get("torch.utils.data._utils.worker")
    return worker is not None and worker.get_worker_info() is not None


def is_oom(error):
    """Whether an exception says that memory ran out, the host's or the device's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, RuntimeError):
        text = str(error)
        return "out of memory" in text or "can't allocate memory" in text
    return False
