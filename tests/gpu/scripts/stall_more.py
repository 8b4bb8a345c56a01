#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""More planted causes of waiting than stall.py, one after another: stall_more.py SPANS FOLDER [SCENARIO...]

Each step is a line of SPANS: "tid begin end scenario:number". The label says what was planted: cause/kind:step. A step
is a stall from 4 ms on; shorter ones got a batch that was ready.
"""
import hashlib
import mmap
import os
import queue
import random
import socket
import sys
import threading
import time

import torch
from torch.utils.data import DataLoader, Dataset

STEPS = 25
WARM = 6  # steps whose data was prefetched while nobody waited
BUSY = 0.015
FILE_BYTES = 32 << 20

spans_path, folder = sys.argv[1], sys.argv[2]
data_path = os.path.join(folder, "data")
torch.set_num_threads(1)
torch.manual_seed(1)


def burn(seconds):
    """That much time of this thread on a CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(200))


def read_directly(n):
    """n reads that no page cache answers."""
    fd = os.open(data_path, os.O_RDONLY | os.O_DIRECT)
    memory = mmap.mmap(-1, 65536)
    end = time.monotonic() + BUSY
    while n > 0 or time.monotonic() < end:
        os.preadv(fd, [memory], random.randrange(FILE_BYTES // 65536) * 65536)
        n -= 1
    os.close(fd)


def ask_server(port):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.recv(1)


class Planted(Dataset):
    def __init__(self, work):
        self.work = work

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        self.work()
        return torch.full((64,), float(index))


def pin_loop(source, sink, done):
    """What torch's _pin_memory_loop does, but for the copy into pinned memory, which needs a device."""
    while not done.is_set():
        try:
            r = source.get(timeout=5.0)
        except queue.Empty:
            continue
        if r[1] is None:
            break
        sink.put((r[0], r[1].clone()))


def pin(iterator):
    iterator._data_queue = queue.Queue()
    iterator._pin_memory = True
    iterator._pin_memory_thread_done_event = threading.Event()
    iterator._pin_memory_thread = threading.Thread(
        target=pin_loop,
        args=(iterator._worker_result_queue, iterator._data_queue, iterator._pin_memory_thread_done_event), daemon=True)
    iterator._pin_memory_thread.start()
    return iterator


model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)


def train(x):
    optimizer.zero_grad()
    model(x).pow(2).mean().backward()
    optimizer.step()


def run(name, work=lambda: None, workers=2, pinned=False, worker_init=None, extra=lambda: None):
    loader = DataLoader(Planted(work), batch_size=1, num_workers=workers, worker_init_fn=worker_init)
    iterator = iter(loader)
    if pinned:
        pin(iterator)
    tid = threading.get_native_id()
    with open(spans_path, "a") as out:
        for step in range(STEPS + WARM):
            begin = time.monotonic_ns()
            train(next(iterator))
            extra()
            if step >= WARM:
                out.write(f"{tid} {begin} {time.monotonic_ns()} {name}:{step}\n")
                out.flush()
    del iterator


class Hogs:
    """Processes that keep a CPU busy."""

    def __init__(self, cpu, n):
        self.pids = []
        for _ in range(n):
            pid = os.fork()
            if pid == 0:
                os.sched_setaffinity(0, {cpu})
                while True:
                    pass
            self.pids.append(pid)

    def stop(self):
        for pid in self.pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def first(_):
    """No neighbour's load on the machine is to be the cause."""
    os.nice(-20)


def prep():
    run("input/prep", lambda: burn(BUSY), workers=1, worker_init=first)


def prep_pinned():
    run("input/prep-pinned", lambda: burn(BUSY), workers=1, pinned=True, worker_init=first)


def fetch():
    run("input/fetch", lambda: read_directly(4), worker_init=first)


def fetch_pinned():
    run("input/fetch-pinned", lambda: read_directly(4), pinned=True, worker_init=first)


def fetch_net():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        while True:
            s, _ = listener.accept()
            time.sleep(BUSY)
            s.sendall(b"x")
            s.close()

    pid = os.fork()
    if pid == 0:
        serve()
    run("input/fetch-net", lambda: ask_server(port), workers=1, worker_init=first)
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def fetch_main():
    run("input/fetch-main", lambda: read_directly(4), workers=0)


def starved():
    cpu = max(os.sched_getaffinity(0))
    hogs = Hogs(cpu, 4)
    run("input/starved", lambda: burn(0.004), worker_init=lambda _: os.sched_setaffinity(0, {cpu}))
    hogs.stop()


def host():
    run("host/slow-step", extra=lambda: burn(BUSY))


def host_loading():
    run("host/no-workers", lambda: burn(BUSY), workers=0)


def runqueue():
    cpu, before = max(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    hogs = Hogs(cpu, 4)
    os.sched_setaffinity(0, {cpu})
    run("runqueue/busy-cpu", extra=lambda: burn(0.004), worker_init=lambda _: os.sched_setaffinity(0, before))
    os.sched_setaffinity(0, before)
    hogs.stop()


def checkpoint():
    block = mmap.mmap(-1, 1 << 20)

    def save():
        path, end = os.path.join(folder, "checkpoint"), time.monotonic() + BUSY
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        while time.monotonic() < end:
            os.pwrite(fd, block, 0)
            os.fsync(fd)
        os.close(fd)
        os.rename(path + ".new", path)

    run("checkpoint/fsync", extra=save)


def with_holder(name, hold):
    lock, taken, over = threading.Lock(), threading.Event(), threading.Event()

    def holder():
        while not over.is_set():
            if taken.is_set():
                continue
            with lock:
                taken.set()
                hold()
            while taken.is_set() and not over.is_set():
                time.sleep(0.001)

    thread = threading.Thread(target=holder, daemon=True)

    def wait():
        taken.wait()
        with lock:
            taken.clear()

    thread.start()
    run(name, extra=wait)
    over.set()
    thread.join()


def lock_asleep():
    with_holder("lock/asleep", lambda: time.sleep(BUSY))


def lock_busy():
    memory = bytes(12 << 20)  # hashed without the interpreter lock
    with_holder("lock/busy", lambda: hashlib.sha256(memory).digest())


SCENARIOS = {f.__name__: f for f in (prep, prep_pinned, fetch, fetch_pinned, fetch_net, fetch_main, starved, host,
                                     host_loading, runqueue, checkpoint, lock_asleep, lock_busy)}

if __name__ == "__main__":
    os.nice(-20)
    with open(data_path, "wb") as f:
        f.write(os.urandom(FILE_BYTES))
        os.fsync(f.fileno())
    for scenario in sys.argv[3:] or SCENARIOS:
        SCENARIOS[scenario]()
