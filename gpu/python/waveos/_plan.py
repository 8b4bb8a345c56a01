# SPDX-License-Identifier: GPL-2.0-only
"""The explicit API: a program builds its loader, model, optimizer and step through a Plan, so all knobs can be set.

A knob counts as applied when the part of the program that it concerns has used it, not before.
"""
import contextlib

import torch

from . import _env, _hooks, _preempt, _steps

_NAMES = {"microbatch": "batch.micro", "accumulate": "batch.accumulate", "precision": "precision",
          "checkpointing": "checkpointing", "offload": "offload", "compile": "compile",
          "bucket_mb": "comms.bucket_mb", "overlap": "comms.overlap", "zero": "zero.stage"}
_CHOICES = {"precision": ("fp32", "bf16", "fp16"), "checkpointing": ("none", "selective", "full"),
            "compile": ("off", "default", "graphs"), "zero": (0, 1, 2, 3)}


class Plan:
    """Values of this run's knobs as attributes: microbatch, accumulate, precision, checkpointing, offload, compile,
    bucket_mb, overlap, zero. Given ones are the program's own; the tuner's go before them."""

    def __init__(self, microbatch=1, accumulate=1, precision="fp32", checkpointing="none", offload=False,
                 compile="off", bucket_mb=25, overlap=True, zero=0):
        own = dict(locals())
        self._values, self._micro, self._scaler = {}, 0, None
        for name, knob in _NAMES.items():
            value = _env.knobs().get(knob, own[name])
            right = value in _CHOICES[name] if name in _CHOICES else isinstance(value, type(own[name])) and (
                isinstance(value, bool) or value >= 1)
            if not right:
                if knob not in _env.knobs():
                    raise ValueError("%s cannot be %r" % (name, value))
                self._refuse(name, "cannot be %r" % (value,))
                value = own[name]
            self._values[name] = value
        _preempt.install()
        _steps.watch()

    def __getattr__(self, name):
        values = self.__dict__.get("_values", {})
        if name not in values:
            raise AttributeError(name)
        if name in ("microbatch", "accumulate"):
            self._used(name)  # the program asks, so it does as it is told
        return values[name]

    def _used(self, name):
        knob = _NAMES[name]
        if knob in _env.knobs() and knob not in _steps.ignored:
            _steps.applied[knob] = self._values[name]

    def _refuse(self, name, why):
        """A knob that cannot be set here: the plan goes on without it."""
        if _NAMES[name] in _env.knobs():
            _steps.applied.pop(_NAMES[name], None)
            _steps.ignored[_NAMES[name]] = why

    def loader(self, dataset, **arguments):
        """torch's DataLoader with batches of `microbatch`; other arguments are torch's."""
        if "batch_sampler" in arguments:
            self._refuse("microbatch", "the program has a batch_sampler")
        else:
            arguments.setdefault("batch_size", self.microbatch)
        loader = torch.utils.data.DataLoader(dataset, **arguments)
        if not hasattr(type(loader).__iter__, "__wrapped__") and _env.knobs():
            _hooks.tune(loader)  # the hook does not run (python -S, -I)
        return loader

    def model(self, model, layers=None):
        """The model as the knobs want it: recomputing activations of `layers` (modules, in order), split over the
        processes of torch.distributed, compiled. Make the optimizer afterwards, from what this returns."""
        self._recompute(layers)
        model = self._distribute(model)
        return self._compile(model)

    def _recompute(self, layers):
        how = self._values["checkpointing"]
        if how == "none":
            self._used("checkpointing")
            return
        if not layers:
            self._refuse("checkpointing", "plan.model() was given no layers")
            return
        from torch.utils.checkpoint import checkpoint
        for layer in list(layers)[:: 2 if how == "selective" else 1]:
            forward = layer.forward

            def again(*args, _forward=forward, **kwargs):
                if not torch.is_grad_enabled():
                    return _forward(*args, **kwargs)
                return checkpoint(_forward, *args, use_reentrant=False, **kwargs)

            layer.forward = again
        self._used("checkpointing")

    def _distribute(self, model):
        names = ("bucket_mb", "overlap", "zero")
        if _env.world() == 1:
            for name in names:
                self._refuse(name, "one process")
            self._values["zero"] = 0
            return model
        if self._values["zero"] >= 2:
            try:
                from torch.distributed.fsdp import BackwardPrefetch, FullyShardedDataParallel, ShardingStrategy
                strategy = ShardingStrategy.SHARD_GRAD_OP if self._values["zero"] == 2 else ShardingStrategy.FULL_SHARD
                ahead = BackwardPrefetch.BACKWARD_PRE if self._values["overlap"] else None
                model = FullyShardedDataParallel(model, sharding_strategy=strategy, backward_prefetch=ahead)
                self._used("zero")
                self._used("overlap")
                self._refuse("bucket_mb", "FSDP has no buckets")
                return model
            except Exception as error:
                _env.debug("FSDP")
                self._refuse("zero", "FSDP: %s" % error)
                self._values["zero"] = 0
        # one bucket of everything cannot be sent before the last gradient is there
        bucket = self._values["bucket_mb"] if self._values["overlap"] else 1 << 14
        model = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=bucket)
        if self._values["overlap"]:
            self._used("bucket_mb")
        else:
            self._refuse("bucket_mb", "comms.overlap is off: one bucket")
        self._used("overlap")
        return model

    def _compile(self, model):
        if self._values["compile"] == "off":
            self._used("compile")
        elif not hasattr(torch, "compile"):
            self._refuse("compile", "torch %s has no torch.compile" % torch.__version__)
            self._values["compile"] = "off"
        else:
            try:
                mode = "default" if self._values["compile"] == "default" else "reduce-overhead"
                model = torch.compile(model, mode=mode)
                self._used("compile")
            except Exception as error:
                self._refuse("compile", "torch.compile: %s" % error)
        return model

    def optimizer(self, kind, parameters, **arguments):
        """kind(parameters, **arguments), its state split over the processes where zero is 1."""
        if self._values["zero"] == 1 and _env.world() > 1:
            try:
                from torch.distributed.optim import ZeroRedundancyOptimizer
                made = ZeroRedundancyOptimizer(parameters, optimizer_class=kind, **arguments)
                self._used("zero")
                return made
            except Exception as error:
                self._refuse("zero", "ZeroRedundancyOptimizer: %s" % error)
        elif self._values["zero"] == 0:
            self._used("zero")
        return kind(parameters, **arguments)

    def _device(self):
        return "cuda" if torch.cuda.is_available() else "cpu"

    def _contexts(self):
        """What the forward pass of a microbatch runs in."""
        found, precision, device = contextlib.ExitStack(), self._values["precision"], self._device()
        if precision == "fp16" and device == "cpu":
            self._refuse("precision", "fp16 needs a CUDA device")
            precision = self._values["precision"] = "fp32"
        if precision != "fp32":
            kind = torch.bfloat16 if precision == "bf16" else torch.float16
            found.enter_context(torch.autocast(device, dtype=kind))
            if precision == "fp16" and self._scaler is None:
                self._scaler = torch.cuda.amp.GradScaler()
        self._used("precision")
        if self._values["offload"]:
            found.enter_context(torch.autograd.graph.save_on_cpu(pin_memory=device == "cuda"))
        self._used("offload")
        return found

    def step(self, optimizer):
        """One microbatch: `with plan.step(optimizer) as step: ... step.backward(loss)`. After `accumulate` of them the
        optimizer steps, gradients are zeroed and step.done is True."""
        return _Micro(self, optimizer)


class _Micro:
    def __init__(self, plan, optimizer):
        self._plan, self._optimizer, self._contexts, self.done = plan, optimizer, None, False

    def __enter__(self):
        self._contexts = self._plan._contexts()
        self._contexts.__enter__()
        return self

    def backward(self, loss, **figures):
        """The backward pass of this microbatch's mean loss; figures: tokens, samples, peak_bytes of the step so far."""
        plan = self._plan
        self._contexts.close()  # backward does not run under autocast
        part = loss / plan.accumulate
        scaled = plan._scaler.scale(part) if plan._scaler is not None else part
        if scaled is not part:
            scaled._waveos_loss = part
        hooked = hasattr(torch.autograd.backward, "__wrapped__")
        scaled.backward()
        if not hooked:
            _steps.backward(part)
        if figures:
            _steps.note(**figures)

    def __exit__(self, kind, error, trace):
        self._contexts.__exit__(kind, error, trace)
        if kind is not None:
            return False
        plan = self._plan
        plan._micro += 1
        if plan._micro < plan.accumulate:
            return False
        plan._micro = 0
        _steps.by_plan()
        if plan._scaler is not None:
            plan._scaler.step(self._optimizer)
            plan._scaler.update()
        else:
            self._optimizer.step()
        self._optimizer.zero_grad()
        self.done = True
        _steps.explicit()
        return False
