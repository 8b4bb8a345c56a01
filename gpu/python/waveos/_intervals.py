# SPDX-License-Identifier: GPL-2.0-only
"""What one process's step is made of, for `waveos-bpf gpu scale`: WAVEOS_GPU_INTERVALS=FILE.

Forward and backward passes, the optimizer, and when each gradient is ready, as medians over some steps, written once. On a CUDA
device by events of the stream, so that the device's time counts and not that of launching.
"""
import json
import os
import statistics
import time

from . import _env

_PATH = os.environ.get("WAVEOS_GPU_INTERVALS")
_WARM, _STEPS, _MOST = 5, 30, 512

enabled = bool(_PATH)
_device = None  # torch.cuda, where the parameters are there
_parameters = []
_step = None
_seen = []
_count = 0


class _Step:
    def __init__(self, begin):
        self.begin, self.waited = begin, None  # waited: the newest batch is there
        self.passes = []  # (batch there, backward begins, backward ends)
        self.ready, self.optimizer = {}, None


def _mark():
    if _device is None:
        return time.monotonic_ns()
    event = _device.Event(enable_timing=True)
    event.record()
    return event


def _between(a, b):
    return b - a if _device is None else int(a.elapsed_time(b) * 1e6)


def fetched():
    if _step is not None:
        _step.waited = _mark()


def backward(begins):
    if _step is None:
        return
    now = _mark()
    if begins:
        _step.passes.append([_step.waited or _step.begin, now, None])
        _step.ready = {}
        _step.waited = None
    elif _step.passes:
        _step.passes[-1][2] = now


def _on_gradient(index):
    def hook(gradient):
        if _step is not None:
            _step.ready[index] = _mark()
    return hook


def optimizer_begins():
    if _step is not None:
        _step.optimizer = [_mark(), None]


def optimizer_ended(optimizer):
    """The first one tells which parameters there are; a program of several optimizers is not described by this."""
    global _step, _device, _count
    if _PATH is None or _count > _WARM + _STEPS:
        return
    if not _parameters:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.requires_grad:
                    p.register_hook(_on_gradient(len(_parameters)))
                    _parameters.append(p)
        if _parameters and _parameters[0].is_cuda:
            import torch
            _device = torch.cuda
    now = _mark()
    if _step is not None and _step.optimizer and _step.passes and len(_step.ready) == len(_parameters):
        _step.optimizer[1] = now
        _count += 1
        if _count > _WARM:
            _seen.append((_step, now))
    _step = _Step(now)
    if _count == _WARM + _STEPS:
        _count += 1
        _write()
        _step = None


def _gradients():
    """In the order in which they are ready; neighbours are put together where there are too many."""
    ready = [statistics.median(_between(s.passes[-1][1], s.ready[i]) for s, _ in _seen) for i in range(len(_parameters))]
    rows = sorted(zip(ready, (p.numel() * p.element_size() for p in _parameters)))
    size = -(-len(rows) // _MOST)
    return [{"bytes": sum(b for _, b in rows[i:i + size]), "ready_ns": int(rows[min(i + size, len(rows)) - 1][0])}
            for i in range(0, len(rows), size)]


def _write():
    if _device is not None:
        _device.synchronize()
    forward = [_between(p[0], p[1]) for s, _ in _seen for p in s.passes]
    back = [_between(p[1], p[2]) for s, _ in _seen for p in s.passes]
    optimizer = [_between(*s.optimizer) for s, _ in _seen]
    whole = [_between(s.begin, end) for s, end in _seen]
    accumulate = max(len(s.passes) for s, _ in _seen)
    m = {"step_ns": statistics.median(whole), "forward_ns": statistics.median(forward),
         "backward_ns": statistics.median(back), "optimizer_ns": statistics.median(optimizer)}
    m = {k: int(v) for k, v in m.items()}
    m["other_ns"] = max(0, m["step_ns"] - accumulate * (m["forward_ns"] + m["backward_ns"]) - m["optimizer_ns"])
    off = statistics.median(abs(w - m["step_ns"]) for w in whole)
    gradients = _gradients()
    for g in gradients:
        g["ready_ns"] = min(g["ready_ns"], m["backward_ns"])
    m.update(format="waveos-intervals", version=1, device="cuda" if _device else "cpu", steps=len(_seen), accumulate=accumulate,
             spread_permille=int(1482.6 * off / m["step_ns"]), gradients=gradients)
    try:
        with open(_PATH + ".new", "w") as f:
            json.dump(m, f)
        os.rename(_PATH + ".new", _PATH)
    except OSError:
        _env.debug("intervals")
