# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the Python package share: programs run as processes of their own, as users run them."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
PACKAGE = os.path.join(ROOT, "gpu", "python")
SCRIPTS = os.path.join(ROOT, "tests", "gpu", "scripts")


class Case(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.tmp = holder.name
        self.steps_path = self.path("steps")

    def path(self, name):
        return os.path.join(self.tmp, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def environment(self, knobs=None, hooks=True, steps=True, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("WAVEOS_", "PYTHON"))}
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        if hooks:
            env.update(PYTHONPATH=PACKAGE, WAVEOS_GPU_DEBUG="1")
            if steps:
                env["WAVEOS_TUNE_STEPS"] = self.steps_path
        if knobs is not None:
            env["WAVEOS_TUNE_KNOBS"] = self.write("knobs", json.dumps(knobs))
        env.update(more)
        return env

    def python(self, *arguments, rc=0, env=None, **settings):
        """Runs python3 with these arguments and returns what it printed; its exit code must be `rc`."""
        if os.path.exists(self.steps_path):
            os.unlink(self.steps_path)
        done = subprocess.run([sys.executable, *arguments], env=env or self.environment(**settings), timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        self.assertEqual(done.returncode, rc, done.stderr)
        self.stderr = done.stderr
        self.assertNotIn("waveos:", done.stderr)
        return done.stdout

    def mlp(self, *arguments, **settings):
        out = self.python(os.path.join(SCRIPTS, "train_mlp.py"), "--decode-ms", "0.2", *arguments, **settings)
        return json.loads(out.splitlines()[-1])["losses"] if out else None

    def api(self, *arguments, **settings):
        return self.python(os.path.join(SCRIPTS, "train_api.py"), "--launch-ms", "0", *arguments, **settings)

    def program(self, text, **settings):
        return self.python(self.write("program.py", text), **settings)

    def records(self):
        with open(self.steps_path, encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        self.assertIn("hello", found[0])
        return found

    def steps(self):
        return [r for r in self.records() if "step" in r]

    def hello(self):
        return [r for r in self.records() if "hello" in r][-1]
