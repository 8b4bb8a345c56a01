# SPDX-License-Identifier: GPL-2.0-only
"""The plan, preemption, and the profiler library's bridge."""
import os
import re
import shutil
import subprocess
import sys
import time
import unittest

from lib import PACKAGE, ROOT, Case

LIBRARY = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void say(const char *what, unsigned long n) {
	FILE *f = fopen(getenv("FAKE_LOG"), "a");
	fprintf(f, "%d %s %lu\\n", (int)getpid(), what, n);
	fclose(f);
}
int waveos_gpu_start(void) { say("start", 0); return 0; }
void waveos_gpu_step(uint64_t n) { say("step", n); }
"""

SAVING = """
import os, sys, time, torch, waveos
from torch.utils.data import DataLoader
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
@waveos.on_preempt
def save():
    torch.save(model.state_dict(), os.path.join(waveos.checkpoint_dir(), "state.pt"))
    print("saved", flush=True)
print("ready", flush=True)
until = time.monotonic() + 60
while time.monotonic() < until:
    for x in DataLoader(torch.ones(8, 4), batch_size=4, num_workers=1):
        optimizer.zero_grad(); model(x).sum().backward(); optimizer.step()
"""


class Plan(Case):
    def test_plan_without_a_tuner_uses_its_own_values(self):
        self.api("--steps", "3", steps=False)
        self.api("--steps", "3", env={**self.environment(hooks=False), "PYTHONPATH": PACKAGE})

    def test_same_global_batch_gives_the_same_losses(self):
        found = []
        for micro, accumulate in ((4, 8), (8, 4), (16, 2)):
            self.api("--steps", "4", knobs={"batch.micro": micro, "batch.accumulate": accumulate})
            self.assertEqual(self.hello()["applied"], {"batch.micro": micro, "batch.accumulate": accumulate})
            self.assertEqual([s["samples"] for s in self.steps()], [32] * 4)
            found.append([s["loss"] for s in self.steps()])
        self.assertTrue(all(abs(a - b) < 1e-4 for other in found[1:] for a, b in zip(found[0], other)), found)

    def test_checkpointing_and_offload_change_no_loss(self):
        self.api("--steps", "4", knobs={})
        plain = [s["loss"] for s in self.steps()]
        for knobs in ({"checkpointing": "full"}, {"checkpointing": "selective", "offload": True}):
            self.api("--steps", "4", knobs=knobs)
            self.assertEqual(self.hello()["applied"], knobs)
            self.assertTrue(all(abs(a - s["loss"]) < 1e-5 for a, s in zip(plain, self.steps())))

    def test_bf16_is_applied_and_near(self):
        self.api("--steps", "4", knobs={})
        plain = [s["loss"] for s in self.steps()]
        self.api("--steps", "4", knobs={"precision": "bf16"})
        half = [s["loss"] for s in self.steps()]
        self.assertNotEqual(half, plain)
        self.assertTrue(all(abs(a - b) < 0.02 for a, b in zip(half, plain)), (half, plain))

    def test_what_cannot_be_is_ignored_with_a_reason(self):
        self.api("--steps", "2", knobs={"zero.stage": 3, "comms.bucket_mb": 50, "precision": "fp7", "batch.micro": 0})
        hello = self.hello()
        self.assertEqual(hello["applied"], {})
        self.assertEqual(sorted(hello["ignored"]), ["batch.micro", "comms.bucket_mb", "precision", "zero.stage"])

    def test_microbatch_that_does_not_fit_is_out_of_memory(self):
        self.api("--memory-mb", "300", rc=66, knobs={"batch.micro": 32})
        self.assertEqual(self.records()[-1], {"oom": True})
        self.api("--memory-mb", "300", "--steps", "2", knobs={"batch.micro": 16, "batch.accumulate": 2})
        self.assertEqual(self.steps()[-1]["peak_bytes"], 260000000)

    def test_explicit_step_counts_and_optimizers_do_not(self):
        self.program("""
import torch, waveos
w = torch.nn.Linear(2, 1)
a, b = (torch.optim.SGD(w.parameters(), lr=0.1) for _ in range(2))
for i in range(4):
    for o in (a, b, a):
        w(torch.ones(3, 2)).sum().backward(); o.step()
    waveos.step(loss=0.5, samples=3, tokens=30)
""")
        told = [(s["step"], s["loss"], s["samples"], s["tokens"]) for s in self.steps()[-3:]]
        self.assertEqual([t[1:] for t in told], [(0.5, 3, 30)] * 3)
        self.assertEqual(told[2][0] - told[0][0], 2)

    def test_two_processes_share_the_gradients(self):
        self.program("""
import os, sys, torch, waveos, torch.distributed as dist, torch.multiprocessing as mp
def main(rank):
    os.environ["RANK"] = str(rank)
    dist.init_process_group("gloo", init_method="file://%s", rank=rank, world_size=2)
    torch.manual_seed(1)
    plan = waveos.plan(microbatch=4)
    model = plan.model(torch.nn.Linear(4, 1))
    optimizer = plan.optimizer(torch.optim.SGD, model.parameters(), lr=0.1)
    for x in plan.loader(torch.ones(12, 4) * (rank + 1)):
        with plan.step(optimizer) as step:
            step.backward(model(x).mean())
    out = torch.stack([p.sum() for p in model.parameters()]).sum()
    both = [torch.zeros(()), torch.zeros(())]
    dist.all_gather(both, out.detach())
    assert both[0] == both[1], both
if __name__ == "__main__":
    mp.spawn(main, nprocs=2)
""" % self.path("meet"), knobs={"comms.bucket_mb": 50, "zero.stage": 1, "comms.overlap": True})
        self.assertEqual(self.hello()["applied"], {"comms.bucket_mb": 50, "comms.overlap": True, "zero.stage": 1})
        self.assertEqual([s["step"] for s in self.steps()], [1, 2, 3])

    def test_example_of_the_documentation_runs(self):
        with open(os.path.join(ROOT, "docs", "gpu-python.md"), encoding="utf-8") as file:
            blocks = re.findall(r"```python\n(.*?)```", file.read(), re.S)
        self.assertEqual(len(blocks), 2)
        self.program("""
import os, torch
dataset = [(torch.ones(4), 1.0)] * 64
model, loss_of = torch.nn.Linear(4, 1), lambda out, y: (out[:, 0] - y).square().mean()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def state(): return model.state_dict()
""" + "".join(blocks))
        self.assertEqual([s["samples"] for s in self.steps()], [32, 32])


class Preemption(Case):
    def test_request_is_saved_at_the_end_of_the_step_with_code_75(self):
        env = self.environment(WAVEOS_CHECKPOINT_DIR=self.path("state"))
        child = subprocess.Popen([sys.executable, self.write("p.py", SAVING)], env=env, stdout=subprocess.PIPE,
                                 universal_newlines=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)
        self.assertEqual(child.stdout.readline(), "ready\n")
        until = time.monotonic() + 30
        while not (os.path.exists(self.steps_path) and os.path.getsize(self.steps_path)) and time.monotonic() < until:
            time.sleep(0.01)
        child.send_signal(10)
        self.assertEqual(child.stdout.readline(), "saved\n")
        self.assertEqual(child.wait(30), 75)
        self.assertTrue(os.path.exists(self.path("state/state.pt")))

    def test_former_handler_runs_too_and_the_flag_is_seen(self):
        out = self.program("""
import os, signal
signal.signal(signal.SIGUSR1, lambda *a: print("mine"))
import waveos
print(waveos.checkpoint_requested())
os.kill(os.getpid(), signal.SIGUSR1)
print(waveos.checkpoint_requested())
waveos.exit_preempted()
""", rc=75, WAVEOS_CHECKPOINT_DIR=self.path("state"))
        self.assertEqual(out, "False\nmine\nTrue\n")

    def test_without_a_scheduler_the_signal_is_left_alone(self):
        self.assertEqual(self.program("import waveos, signal; print(waveos.checkpoint_requested(), "
                                      "signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL)"), "False True\n")


@unittest.skipUnless(shutil.which("cc"), "no C compiler")
class Bridge(Case):
    def build(self):
        source = self.write("fake.c", LIBRARY)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.path("fake.so"), source], check=True)
        return dict(WAVEOS_GPU_LIBRARY=self.path("fake.so"), WAVEOS_GPU_SOCKET="/nonexistent", FAKE_LOG=self.path("log"))

    def test_only_the_training_process_reports_each_step(self):
        self.mlp("--steps", "4", "--workers", "2", **self.build())
        with open(self.path("log"), encoding="ascii") as file:
            lines = [line.split() for line in file]
        self.assertEqual(len({pid for pid, _, _ in lines}), 1)
        self.assertEqual([(w, n) for _, w, n in lines], [("start", "0")] + [("step", str(i)) for i in range(1, 5)])

    def test_library_that_is_not_there_is_nothing(self):
        self.mlp("--steps", "2", WAVEOS_GPU_LIBRARY="/nonexistent.so", WAVEOS_GPU_SOCKET="/x", WAVEOS_GPU_DEBUG="")
        self.assertEqual(len(self.steps()), 2)


if __name__ == "__main__":
    sys.exit(unittest.main())
