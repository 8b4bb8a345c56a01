# SPDX-License-Identifier: GPL-2.0-only
"""Python runs this at start when its folder stands in PYTHONPATH (`waveos-bpf gpu run` and others set it).

It runs the sitecustomize that it hides, and asks to be told when torch is imported; a program that never does so pays
for a few lines. Whatever fails here is kept from the program (WAVEOS_GPU_DEBUG=1 tells it on stderr). `python -S`,
`-I` and `-E` do not run it: such a program is then left alone.
"""
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_WANTED = ("WAVEOS_GPU_SOCKET", "WAVEOS_GPU_LIBRARY", "WAVEOS_TUNE_KNOBS", "WAVEOS_TUNE_STEPS", "WAVEOS_GPU_INTERVALS",
           "WAVEOS_TUNE_MAX_STEPS", "WAVEOS_TUNE_SEED", "WAVEOS_CHECKPOINT_DIR")


def _debug(what):
    if os.environ.get("WAVEOS_GPU_DEBUG"):
        try:
            import traceback
            sys.stderr.write("waveos: %s: %s\n" % (what, traceback.format_exc()))
        except Exception:
            pass


class _Finder:
    """Stands first in sys.meta_path and lets the parts of torch that are looked at load as ever, then tells _hooks."""

    names = {"torch.utils.data.dataloader", "torch.optim.optimizer", "torch.autograd", "torch"}
    waveos = True

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name not in cls.names:
            return None
        try:
            return cls._found(name, path, target)
        except Exception:
            _debug("import of " + name)
            return None

    @classmethod
    def _found(cls, name, path, target):
        spec = None
        for finder in sys.meta_path:
            if finder is not cls and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    break
        if spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            try:
                del spec.loader.exec_module  # the loader is as it was before
            except Exception:
                pass
            run(module)
            try:
                from waveos import _hooks
                _hooks.imported(name, module)
            except Exception:
                _debug("hooks of " + name)

        spec.loader.exec_module = exec_module
        cls.names = cls.names - {name}
        if not cls.names and cls in sys.meta_path:
            sys.meta_path.remove(cls)
        return spec


def _install():
    if os.environ.get("WAVEOS_GPU_PYTHON") == "0" or not any(map(os.environ.get, _WANTED)):
        return
    if not any(getattr(finder, "waveos", False) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder)


def _hidden():
    """The spec of the sitecustomize that would have run without this one; None: there is none."""
    here = os.path.realpath(_HERE)
    others = [p for p in sys.path if os.path.realpath(p or ".") != here]
    from _frozen_importlib_external import PathFinder
    return PathFinder.find_spec("sitecustomize", others)


try:
    _install()
    _spec = _hidden()
except Exception:
    _debug("start")
    _spec = None
if _spec is not None and _spec.loader is not None:
    # what it raises is its own and goes where it would have gone
    from _frozen_importlib import module_from_spec
    sys.modules["sitecustomize"] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
