# SPDX-License-Identifier: GPL-2.0-only
"""What is changed in torch, each part when it is imported. All of it calls the original and hands on its result.

Knobs of the loader are set when a loader is first iterated for training (gradients on), not when it is made: only
then it is known what it is for. Loaders of a validation (torch.no_grad) stay as they are.
"""
import functools
import time
import weakref

from . import _env, _intervals, _preempt, _steps

_tuned = weakref.WeakSet()
_caches = weakref.WeakKeyDictionary()


def imported(name, module):
    if name == "torch.utils.data.dataloader":
        _loader(module)
    elif name == "torch.optim.optimizer":
        _optimizer(module)
    elif name == "torch.autograd":
        _autograd(module)
    elif name == "torch":
        _preempt.install()
        _steps.watch()
        _seed(module)


def _seed(torch):
    seed = _env.integer("WAVEOS_TUNE_SEED")
    if seed is None:
        return
    import random
    import sys
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    original = torch.manual_seed
    original(seed)

    @functools.wraps(original)
    def manual_seed(own):
        # a program that seeds itself gets another, but reproducible, seed for each of the tuner's
        return original((int(own) + seed) % 2**63)

    torch.manual_seed = torch.random.manual_seed = manual_seed


def _guarded(call, *arguments):
    try:
        call(*arguments)
    except Exception:
        _env.debug("intervals")


def _optimizer(module):
    register = getattr(module, "register_optimizer_step_post_hook", None)
    if register is not None:
        if _intervals.enabled:
            module.register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: _guarded(_intervals.optimizer_begins))
            register(lambda optimizer, args, kwargs: _guarded(_intervals.optimizer_ended, optimizer))
        register(lambda optimizer, args, kwargs: _steps.optimizer_stepped(optimizer))
        return
    original = module.Optimizer._hook_for_profile

    @functools.wraps(original)
    def hook_for_profile(self):
        original(self)
        cls = type(self)
        step = cls.step
        if getattr(step, "_waveos", False):
            return

        @functools.wraps(step)
        def stepped(self, *args, **kwargs):
            if _intervals.enabled:
                _guarded(_intervals.optimizer_begins)
            out = step(self, *args, **kwargs)
            if _intervals.enabled:
                _guarded(_intervals.optimizer_ended, self)
            _steps.optimizer_stepped(self)
            return out

        stepped._waveos = stepped.hooked = True
        cls.step = stepped

    module.Optimizer._hook_for_profile = hook_for_profile


def _autograd(module):
    original = module.backward

    @functools.wraps(original)
    def backward(tensors, *args, **kwargs):
        try:
            if _steps.enabled():
                loss = tensors if hasattr(tensors, "numel") else tensors[0] if len(tensors) == 1 else None
                _steps.backward(getattr(loss, "_waveos_loss", loss))
        except Exception:
            _env.debug("backward")
        if not _intervals.enabled:
            return original(tensors, *args, **kwargs)
        _guarded(_intervals.backward, True)
        out = original(tensors, *args, **kwargs)
        _guarded(_intervals.backward, False)
        return out

    module.backward = backward


def samples_of(batch, loader):
    """How many samples a batch holds: the first dimension of its first tensor."""
    for _ in range(8):
        if hasattr(batch, "shape") and len(batch.shape):
            return int(batch.shape[0])
        try:
            batch = next(iter(batch.values())) if hasattr(batch, "values") else batch[0]
        except Exception:
            break
    return getattr(loader, "batch_size", None) or 0


def tune(loader):
    """Sets the knobs of one loader; tells what became of each."""
    knobs, kind = _env.knobs(), getattr(loader, "_dataset_kind", 0)
    applied, ignored = {}, {}

    def put(knob, attribute, value):
        loader.__dict__[attribute] = value
        applied[knob] = knobs[knob]

    wanted = knobs.get("loader.workers")
    if wanted is not None:
        if kind != 0:
            ignored["loader.workers"] = "iterable dataset: it shares out its data itself"
        elif wanted < 0:
            ignored["loader.workers"] = "negative"
        elif wanted == 0 and loader.timeout:
            ignored["loader.workers"] = "the loader has a timeout, which needs workers"
        else:
            put("loader.workers", "num_workers", int(wanted))
    if loader.num_workers == 0:
        loader.__dict__["persistent_workers"] = False
    if "loader.prefetch" in knobs:
        if loader.num_workers == 0:
            ignored["loader.prefetch"] = "no workers"
        elif knobs["loader.prefetch"] < 1:
            ignored["loader.prefetch"] = "less than 1"
        else:
            put("loader.prefetch", "prefetch_factor", int(knobs["loader.prefetch"]))
    if loader.num_workers and loader.prefetch_factor is None:
        loader.__dict__["prefetch_factor"] = 2
    if "loader.persistent" in knobs:
        if knobs["loader.persistent"] and loader.num_workers == 0:
            ignored["loader.persistent"] = "no workers"
        elif knobs["loader.persistent"] and hasattr(loader.dataset, "set_epoch"):
            ignored["loader.persistent"] = "the dataset has set_epoch, which lasting workers would not see"
        else:
            put("loader.persistent", "persistent_workers", bool(knobs["loader.persistent"]))
    if "loader.pin" in knobs:
        import torch
        if knobs["loader.pin"] and not torch.cuda.is_available():
            ignored["loader.pin"] = "no CUDA device"
        else:
            put("loader.pin", "pin_memory", bool(knobs["loader.pin"]))
    _cache(loader, kind, knobs, applied, ignored)
    for knob in applied:
        _steps.ignored.pop(knob, None)
    _steps.applied.update(applied)
    _steps.ignored.update((k, v) for k, v in ignored.items() if k not in _steps.applied)


def _cache(loader, kind, knobs, applied, ignored):
    where = knobs.get("loader.cache")
    if where is None:
        return
    from . import _cache as cache
    why = None
    if where != "off":
        why = "iterable dataset" if kind != 0 else cache.refusal(loader.dataset)
    if why is None and where != "off":
        try:
            _caches[loader] = cache.Cached(loader.dataset, where, knobs.get("loader.cache_dir"))
        except Exception as error:
            _env.debug("cache")
            why = str(error)
    if why is None:
        applied["loader.cache"] = where
        if where == "ssd" and "loader.cache_dir" in knobs:
            applied["loader.cache_dir"] = knobs["loader.cache_dir"]
    else:
        ignored["loader.cache"] = why


def _again(loader):
    """Lasting workers that the program did not ask for: random numbers are drawn as new workers would draw them."""
    import torch
    if loader in _tuned and "loader.persistent" in _steps.applied and loader.persistent_workers \
            and loader.num_workers and loader._iterator is not None and not getattr(loader, "_waveos_persistent", False):
        torch.empty((), dtype=torch.int64).random_(generator=loader.generator)


def _loader(module):
    import torch
    loader_class, base = module.DataLoader, module._BaseDataLoaderIter
    original_iter, original_next = loader_class.__iter__, base.__next__

    @functools.wraps(original_iter)
    def iterate(self):
        training = False
        try:
            training = torch.is_grad_enabled() and not _env.in_loader_worker()
            opted_out = getattr(self, "waveos_tunable", getattr(self.dataset, "waveos_tunable", True)) is False
            if training and self not in _tuned and not opted_out:
                _tuned.add(self)
                self.__dict__["_waveos_persistent"] = self.persistent_workers
                if _env.knobs():
                    tune(self)
            elif training:
                _again(self)
        except Exception:
            _env.debug("loader")
        cached = _caches.get(self)
        dataset = self.dataset
        if cached is not None:
            self.__dict__["dataset"] = cached  # for the new iterator alone
        try:
            iterator = original_iter(self)
        finally:
            self.__dict__["dataset"] = dataset
        try:
            iterator._waveos = weakref.ref(self)
        except Exception:
            _env.debug("iterator")
        return iterator

    @functools.wraps(original_next)
    def following(self):
        loader = getattr(self, "_waveos", None)
        if loader is None or not torch.is_grad_enabled() or _env.in_loader_worker():
            return original_next(self)
        _steps.asking()
        begin = time.monotonic_ns()
        try:
            batch = original_next(self)
        except StopIteration:
            _steps.exhausted(id(self))
            raise
        try:
            _steps.fetched(id(self), begin, samples_of(batch, loader()))
        except Exception:
            _env.debug("batch")
        if _intervals.enabled:
            _guarded(_intervals.fetched)
        return batch

    loader_class.__iter__, base.__next__ = iterate, following
