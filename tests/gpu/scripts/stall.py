#!/usr/bin/env python3
"""A training loop on the CPU with a real PyTorch DataLoader and one planted cause of waiting.

  stall.py CAUSE SPANS [--steps N]      writes "tid begin end CAUSE" for each step
"""
import argparse
import mmap
import os
import queue
import threading
import time

import torch
from torch.utils.data import DataLoader, Dataset

p = argparse.ArgumentParser()
p.add_argument("cause")
p.add_argument("spans")
p.add_argument("--steps", type=int, default=40)
p.add_argument("--file", default="stall.data")
a = p.parse_args()
torch.set_num_threads(1)
try:
    os.nice(-20)  # what else runs on the machine is not to be the cause; hogs of "starved" have the same
except PermissionError:
    pass
WORK = 0.012  # seconds of a sample, where loading is the cause


def busy(seconds):
    end = time.thread_time() + seconds  # of CPU, whoever else wants it
    while time.thread_time() < end:
        pass


class Samples(Dataset):
    def __len__(self):
        return 10 ** 6

    def __getitem__(self, i):
        if a.cause in ("prep", "starved", "pinned"):
            busy(WORK)
        elif a.cause == "fetch":
            end = time.monotonic() + WORK
            while time.monotonic() < end:
                fd = os.open(a.file, os.O_RDONLY | os.O_DIRECT)
                os.preadv(fd, [buffer], (i % 16) << 22)
                os.close(fd)
        return torch.zeros(64)


def crowd(info=None):
    """One CPU for a loader and three that want it as much."""
    parent = os.getpid()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for _ in range(3):
        if os.fork() == 0:
            while os.getppid() == parent:
                pass
            os._exit(0)


def through_a_thread(loader):
    """As PyTorch's pin_memory thread does, which needs a GPU: between workers and the training thread."""
    q = queue.Queue(2)

    def pin():
        for batch in loader:
            q.put(batch)

    threading.Thread(target=pin, daemon=True).start()
    while True:
        yield q.get()


if a.cause == "fetch":
    buffer = mmap.mmap(-1, 4 << 20)  # aligned, as O_DIRECT wants it
    with open(a.file, "wb") as f:
        for _ in range(16):
            f.write(bytes(4 << 20))
        f.flush()
        os.fsync(f.fileno())
loader = DataLoader(Samples(), 2, num_workers=1, prefetch_factor=2,
                    worker_init_fn=crowd if a.cause == "starved" else None)
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
batches = iter(through_a_thread(loader) if a.cause == "pinned" else loader)
saved = os.open(a.file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT) if a.cause == "checkpoint" else None
block = mmap.mmap(-1, 1 << 20)  # a copy into the page cache would be work of a CPU
go, done = threading.Event(), threading.Event()


def other_thread():
    while True:
        go.wait()
        go.clear()
        time.sleep(WORK)
        done.set()


threading.Thread(target=other_thread, daemon=True).start()
out = open(a.spans, "a", buffering=1)
begin = time.monotonic_ns()
for step in range(a.steps + 5):
    loss = model(next(batches)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if a.cause == "host":
        busy(2 * WORK)
    elif a.cause == "lock":
        done.clear()
        go.set()
        done.wait()
    elif a.cause == "checkpoint":
        end = time.monotonic() + WORK
        while time.monotonic() < end:
            os.pwrite(saved, block, 0)
            os.fsync(saved)
    elif a.cause == "sleep":
        time.sleep(WORK)
    end = time.monotonic_ns()
    if step >= 5:  # what was prefetched before
        out.write(f"{threading.get_native_id()} {begin} {end} {a.cause}\n")
    begin = end
os._exit(0)
