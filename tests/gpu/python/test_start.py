# SPDX-License-Identifier: GPL-2.0-only
"""The start of a program: sitecustomize, with torch and without."""
import os
import sys
import unittest

from lib import PACKAGE, Case


class Start(Case):
    def test_program_without_torch_gets_nothing(self):
        out = self.python("-c", "import sys; print([m for m in sys.modules if m.split('.')[0] in "
                                "('waveos', 'torch', 'json', 'ctypes')])")
        self.assertEqual(out, "[]\n")

    def test_sitecustomize_that_is_hidden_runs(self):
        os.mkdir(self.path("other"))
        self.write("other/sitecustomize.py", "import builtins\nbuiltins.other_ran = __name__\nvalue = 7\n")
        env = self.environment(PYTHONPATH=PACKAGE + ":" + PACKAGE + ":" + self.path("other"))
        out = self.python("-c", "import sitecustomize; print(other_ran, sitecustomize.value)", env=env)
        self.assertEqual(out, "sitecustomize 7\n")

    def test_sitecustomize_that_fails_fails_as_without_us(self):
        os.mkdir(self.path("other"))
        self.write("other/sitecustomize.py", "raise ValueError('mine')\n")
        env = self.environment(PYTHONPATH=PACKAGE + ":" + self.path("other"))
        self.assertEqual(self.python("-c", "print(1)", env=env), "1\n")
        self.assertIn("ValueError: mine", self.stderr)

    def test_isolated_python_is_left_alone(self):
        text = "import sys; print(any(getattr(f, 'waveos', 0) for f in sys.meta_path))"
        self.assertEqual(self.python("-c", text), "True\n")
        for flag in ("-S", "-I", "-E"):
            self.assertEqual(self.python(flag, "-c", text), "False\n", flag)

    def test_no_setting_of_ours_installs_nothing(self):
        text = "import sys; print(any(getattr(f, 'waveos', 0) for f in sys.meta_path))"
        self.assertEqual(self.python("-c", text, steps=False), "False\n")
        self.assertEqual(self.python("-c", text, WAVEOS_GPU_PYTHON="0"), "False\n")

    def test_broken_torch_fails_as_without_us(self):
        os.mkdir(self.path("torch"))
        self.write("torch/__init__.py", "raise ImportError('half installed')\n")
        env = self.environment(PYTHONPATH=PACKAGE + ":" + self.tmp)
        out = self.python("-c", "try:\n import torch\nexcept ImportError as e: print(e)", env=env)
        self.assertEqual(out, "half installed\n")

    def test_finder_leaves_the_loader_as_it_was(self):
        out = self.python("-c", "import torch, sys, inspect; m = sys.modules['torch.utils.data.dataloader']; "
                                "print(type(m.__loader__).__name__, 'exec_module' in vars(m.__loader__), "
                                "any(getattr(f, 'waveos', 0) for f in sys.meta_path), len(inspect.getsource(m)) > 999)")
        self.assertEqual(out, "SourceFileLoader False False True\n")

    def test_unreadable_knobs_change_nothing(self):
        env = self.environment(WAVEOS_TUNE_KNOBS="/nonexistent", WAVEOS_GPU_DEBUG="")
        self.python("-c", "import torch; from torch.utils.data import DataLoader; "
                          "assert len(list(DataLoader(range(4)))) == 4", env=env)


if __name__ == "__main__":
    sys.exit(unittest.main())
