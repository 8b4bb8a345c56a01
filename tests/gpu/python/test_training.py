# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified programs: knobs, steps, and the same results."""
import sys
import unittest

from lib import Case

HEAD = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
torch.set_num_threads(1)
torch.manual_seed(3)
model = nn.Linear(4, 2)
def train(loader, *optimizers):
    for x in loader:
        for o in optimizers: o.zero_grad()
        model(x.float()).sum().backward()
        for o in optimizers: o.step()
class Data(Dataset):
    def __len__(self): return 16
    def __getitem__(self, i): return torch.full((4,), float(i))
def sgd(): return torch.optim.SGD(model.parameters(), lr=0.001)
"""


class Training(Case):
    def test_same_seed_gives_the_same_losses_with_hooks_and_knobs(self):
        arguments = ("--steps", "24", "--items", "80", "--validate", "2")
        plain = self.mlp(*arguments, hooks=False)
        self.assertEqual(len(plain), 24)
        self.assertEqual(self.mlp(*arguments), plain)
        seen = [s["loss"] for s in self.steps()]
        self.assertTrue(all(abs(a - b) < 1e-5 for a, b in zip(seen, plain)), (seen, plain))
        for knobs in ({"loader.workers": 2, "loader.prefetch": 3},
                      {"loader.workers": 2, "loader.persistent": True, "loader.cache": "ram"},
                      {"loader.cache": "ssd", "loader.cache_dir": self.tmp}):
            self.assertEqual(self.mlp(*arguments, knobs=knobs), plain, knobs)
            self.assertEqual(self.hello()["applied"], knobs)
            self.assertEqual(len(self.steps()), 24)

    def test_accumulation_is_one_step_with_all_its_samples(self):
        losses = self.mlp("--steps", "6", "--accumulate", "4", "--batch", "4")
        steps = self.steps()
        self.assertEqual([s["samples"] for s in steps], [16] * 6)
        self.assertTrue(all(abs(s["loss"] - l) < 1e-5 for s, l in zip(steps, losses)))
        self.assertTrue(all(a["end_ns"] == b["begin_ns"] for a, b in zip(steps, steps[1:])))

    def test_slow_loader_shows_as_wait(self):
        self.mlp("--steps", "5", "--decode-ms", "5", "--decode", "sleep")
        self.assertTrue(all(s["wait_ns"] > 35e6 for s in self.steps()[1:]), self.steps())

    def test_max_steps_ends_with_0_and_runs_exit_handlers(self):
        out = self.program(HEAD + """
import atexit
atexit.register(print, "bye")
while True: train(DataLoader(Data(), num_workers=2), sgd())
""", WAVEOS_TUNE_MAX_STEPS="7")
        self.assertEqual((out, len(self.steps())), ("bye\n", 7))

    def test_program_that_catches_the_end_is_ended(self):
        out = self.program(HEAD + """
import atexit
atexit.register(print, "bye")
while True:
    try: train(DataLoader(Data()), sgd())
    except BaseException: pass
""", WAVEOS_TUNE_MAX_STEPS="3")
        self.assertEqual(out, "bye\n")

    def test_several_optimizers_are_one_step(self):
        self.program(HEAD + "train(DataLoader(Data(), batch_size=4), sgd(), sgd(), sgd())\n")
        self.assertEqual([s["samples"] for s in self.steps()], [4] * 4)

    def test_validation_loader_is_not_tuned_and_not_counted(self):
        self.program(HEAD + """
held_out, loader, o = DataLoader(Data(), batch_size=2), DataLoader(Data(), batch_size=8), sgd()
for epoch in range(2):
    with torch.no_grad():
        for x in held_out: model(x)
    train(loader, o)
assert (held_out.num_workers, loader.num_workers) == (0, 1)
""", knobs={"loader.workers": 1})
        self.assertEqual([s["samples"] for s in self.steps()], [8] * 4)

    def test_iterable_dataset_keeps_its_workers(self):
        self.program(HEAD + """
class Stream(IterableDataset):
    def __iter__(self): return iter(torch.ones(12, 4))
loader = DataLoader(Stream(), batch_size=4)
train(loader, sgd())
assert loader.num_workers == 0
""", knobs={"loader.workers": 4, "loader.cache": "ram"})
        self.assertEqual(sorted(self.hello()["ignored"]), ["loader.cache", "loader.workers"])
        self.assertEqual(len(self.steps()), 3)

    def test_invalid_combinations_are_told_and_not_set(self):
        self.program(HEAD + "train(DataLoader(Data(), num_workers=2, persistent_workers=True), sgd())\n", knobs={
            "loader.workers": 0, "loader.prefetch": 4, "loader.persistent": True, "loader.pin": True, "loader.cache": "ram"})
        hello = self.hello()
        self.assertEqual(hello["applied"], {"loader.workers": 0})
        self.assertEqual(sorted(hello["ignored"]), ["loader.cache", "loader.persistent", "loader.pin", "loader.prefetch"])

    def test_error_in_the_dataset_reaches_the_program(self):
        for workers in (0, 2):
            out = self.program(HEAD + """
class Bad(Data):
    waveos_cacheable = True
    def __getitem__(self, i):
        if i == 9: raise KeyError("planted")
        return super().__getitem__(i)
try: train(DataLoader(Bad()), sgd())
except KeyError as e: print("planted" in str(e))
""", knobs={"loader.workers": workers, "loader.cache": "ram"})
            self.assertEqual((out, len(self.steps())), ("True\n", 9))

    def test_out_of_memory_exits_66_with_a_record(self):
        for error in ("MemoryError()", "RuntimeError('CUDA out of memory. Tried to allocate')"):
            self.program(HEAD + "train(DataLoader(Data()), sgd())\nraise %s\n" % error, rc=66)
            self.assertEqual(self.records()[-1], {"oom": True})
        self.program(HEAD + "train(DataLoader(Data()), sgd())\nraise RuntimeError('else')\n", rc=1)
        self.assertEqual(len(self.records()), 17)

    def test_nan_is_recorded_as_nan(self):
        self.program(HEAD + "nn.init.constant_(model.weight, float('nan'))\ntrain(DataLoader(Data(), batch_size=8), sgd())\n")
        self.assertTrue(all(s["loss"] != s["loss"] for s in self.steps()))

    def test_seed_changes_the_losses_reproducibly(self):
        one, again, two = (self.mlp("--steps", "3", WAVEOS_TUNE_SEED=s) for s in "112")
        self.assertEqual(one, again)
        self.assertNotEqual(one, two)

    def test_forked_child_that_trains_writes_no_second_sequence(self):
        self.program(HEAD + """
import os
train(DataLoader(Data(), batch_size=8), sgd())
pid = os.fork()
if pid == 0:
    train(DataLoader(Data(), batch_size=8), sgd())
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
train(DataLoader(Data(), batch_size=8), sgd())
""")
        self.assertEqual([s["step"] for s in self.steps()], [1, 2, 3, 4])

    def test_spawned_workers_load_and_report_nothing(self):
        self.program(HEAD.replace("torch.manual_seed", "torch.random.manual_seed") + """
if __name__ == "__main__":
    train(DataLoader(Data(), batch_size=8, num_workers=1, multiprocessing_context="spawn"), sgd())
""", knobs={"loader.prefetch": 3})
        self.assertEqual([s["step"] for s in self.steps()], [1, 2])

    def test_program_that_ends_early_has_all_its_steps(self):
        self.program(HEAD + "train(DataLoader(Data(), batch_size=16), sgd())\nraise SystemExit(3)\n", rc=3)
        self.assertEqual(len(self.steps()), 1)


if __name__ == "__main__":
    sys.exit(unittest.main())
