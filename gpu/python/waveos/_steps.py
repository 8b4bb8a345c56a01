# SPDX-License-Identifier: GPL-2.0-only
"""Steps: where one ends, what it took, and the file that the tuner reads (WAVEOS_TUNE_STEPS).

A step is a round of optimizers: it ends with the last one of the round. Which one is last is learned in the first
round, which ends when the next batch is asked for or an optimizer comes again. A program that says waveos.step()
itself is believed, and its optimizers are no longer looked at.
"""
import atexit
import json
import os
import sys
import threading
import time

from . import _bridge, _env, _preempt

_PATH = os.environ.get("WAVEOS_TUNE_STEPS")
_MOST = _env.integer("WAVEOS_TUNE_MAX_STEPS")
applied, ignored = {}, {}  # what became of each knob
_hello = None  # the last first line that was written
_fd = None  # -1: not ours to write


class _Now:
    """The step that is being made."""

    def __init__(self, begin=None):
        self.begin, self.wait, self.samples, self.loss = begin, 0, 0, None
        self.said = {}
        self.stepped = []  # optimizers of this round, by id
        self.end = None  # of the last of them


_now = _Now()
_number = 0
_last = None  # id of the optimizer that ends a round, once known
_closed = ()  # optimizers of the round before; one that comes late belongs to it
_explicit = False
_refused = 0
_pending = {}  # loader -> samples of its last batch that nothing has used yet


def _open():
    global _fd
    if _fd is None:
        _fd = -1
        path = _PATH
        if path and _env.rank() == 0:
            import fcntl
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _fd = fd
            except OSError:  # another process of this run trains already
                os.close(fd)
    return _fd


def _write(record):
    os.write(_fd, (json.dumps(record) + "\n").encode())


def _greet():
    """The first line, and again when what it says has changed."""
    global _hello
    what = (dict(applied), dict(ignored))
    for knob in _env.knobs():
        if knob not in applied and knob not in ignored:
            what[1][knob] = "nothing in the program uses it (docs/gpu-python.md)"
    if what != _hello:
        _hello = what
        torch = sys.modules.get("torch")
        _write({"hello": 1, "applied": what[0], "ignored": what[1], "tid": threading.get_native_id(),
                "torch": str(getattr(torch, "__version__", ""))})


def enabled():
    return bool(_PATH)


def _peak():
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return None


def _number_of(loss):
    """A loss as a number. For a tensor on a device this waits for the device, once a step."""
    return float(loss.detach()) if hasattr(loss, "detach") else float(loss)


def _close(end):
    """Ends the step at `end`; may not return (last step, preemption)."""
    global _now, _number, _closed
    step, _now = _now, _Now(end)
    _number += 1
    _closed = tuple(step.stepped)
    try:
        _bridge.step(_number)
        if _open() >= 0:
            _greet()
            record = {"step": _number, "begin_ns": step.begin if step.begin is not None else end - 1, "end_ns": end,
                      "wait_ns": step.wait}
            if step.samples:
                record["samples"] = step.samples
            if step.loss is not None:
                record["loss"] = _number_of(step.loss)
            peak = _peak()
            if peak is not None:
                record["peak_bytes"] = peak
            for name, value in step.said.items():
                record[name] = _number_of(value) if name == "loss" else int(value)
            _write(record)
    except Exception:
        _env.debug("step")
    _preempt.at_boundary()
    _leave()


def _leave():
    global _refused
    if _MOST is None or _number < _MOST:
        return
    _refused += 1
    if _refused > 3 or threading.current_thread() is not threading.main_thread():
        # the program keeps catching SystemExit, or this thread cannot end it
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    raise SystemExit(0)


def _commit():
    """The batches that were fetched are used: they belong to this step."""
    for n in _pending.values():
        _now.samples += n
    _pending.clear()


def optimizer_stepped(optimizer):
    global _last
    if _explicit or _env.in_loader_worker():
        return
    me, now = id(optimizer), time.monotonic_ns()
    if not _now.stepped and _closed and me not in _closed and _now.wait == 0 and not _pending:
        _last = me  # it came after the one that was taken for the last
        return
    if me in _now.stepped:
        _last = _now.stepped[-1]
        _close(_now.end)
    _commit()
    _now.stepped.append(me)
    _now.end = now
    if me == _last:
        _close(now)


def asking():
    """A batch is about to be asked for: a round of optimizers, if one was made, is over."""
    global _last
    if _now.stepped and not _explicit:
        _last = _now.stepped[-1]
        _close(_now.end)


def fetched(loader, begin, samples):
    """A batch came for training."""
    _now.wait += time.monotonic_ns() - begin
    if _now.begin is None:
        _now.begin = begin
    _pending[loader] = samples


def exhausted(loader):
    _pending.pop(loader, None)


def backward(loss):
    """A backward pass begins from this tensor."""
    if loss is not None and loss.numel() == 1:
        value = loss.detach()
        _now.loss = value if _now.loss is None else _now.loss + value
    _commit()


def note(**figures):
    _now.said.update((k, v) for k, v in figures.items() if v is not None)


def by_plan():
    """From now on the program itself says where a step ends."""
    global _explicit
    _explicit = True


def explicit(**figures):
    by_plan()
    _commit()
    note(**figures)
    _close(time.monotonic_ns())


def out_of_memory():
    try:
        path = _PATH
        if path:
            global _fd
            if _open() < 0:  # any rank may say so
                _fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            else:
                _greet()
            _write({"oom": True})
    except Exception:
        _env.debug("out of memory")


def _at_exit():
    global _fd
    try:
        if _now.stepped and not _explicit and _refused == 0:
            _close(_now.end)
        elif enabled() and not _number and _open() >= 0 and os.fstat(_fd).st_size == 0:
            _greet()
    except SystemExit:
        pass
    except Exception:
        _env.debug("exit")


def _child():
    global _now, _number, _last, _closed, _explicit, _fd, _hello
    if _fd is not None and _fd >= 0:
        os.close(_fd)
    _now, _number, _last, _closed, _explicit, _fd, _hello = _Now(), 0, None, (), False, None, None
    _pending.clear()


_former_hook = None


def _excepthook(kind, error, trace):
    (_former_hook or sys.__excepthook__)(kind, error, trace)
    if _env.is_oom(error):
        out_of_memory()
        raise SystemExit(_env.OOM_EXIT)


def watch():
    """Exit and uncaught errors, once; called when torch is there."""
    global _former_hook
    if _former_hook is None:
        _former_hook = sys.excepthook
        atexit.register(_at_exit)
        if enabled() or os.environ.get("WAVEOS_TUNE_KNOBS"):
            sys.excepthook = _excepthook


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
