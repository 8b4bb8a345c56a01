# SPDX-License-Identifier: GPL-2.0-only
"""WaveOS in a training program: docs/gpu-python.md.

    plan = waveos.plan(microbatch=8, accumulate=4)
    for batch in plan.loader(dataset, shuffle=True):
        with plan.step(optimizer) as step:
            step.backward(loss_of(model(batch)))

Without a tuner, an agent or a scheduler the plan's own values hold and nothing is reported. torch is imported by
plan() alone.
"""
from ._preempt import checkpoint_dir, checkpoint_requested, exit_preempted, on_preempt

__all__ = ["plan", "step", "report", "checkpoint_dir", "checkpoint_requested", "exit_preempted", "on_preempt"]


def plan(**defaults):
    """The knobs of this run: what the tuner says, else `defaults` (docs/gpu-python.md lists them)."""
    from ._plan import Plan
    return Plan(**defaults)


def step(loss=None, samples=None, tokens=None, peak_bytes=None):
    """The end of a step, said by the program itself: optimizers are then no longer looked at."""
    from . import _steps
    _steps.explicit(loss=loss, samples=samples, tokens=tokens, peak_bytes=peak_bytes)


def report(loss=None, samples=None, tokens=None, peak_bytes=None):
    """Figures of the step that is being made; its end is found as before (optimizer)."""
    from . import _steps
    _steps.note(loss=loss, samples=samples, tokens=tokens, peak_bytes=peak_bytes)
