#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A small CPU training with the three lines of WaveOS' Python package: all knobs can be set from outside.

Device memory is a model here (--memory-mb; base + microbatch * --mb-per-sample, less with activation checkpointing
or offload): a microbatch that does not fit ends as out of memory, as on a GPU. --launch-ms is a fixed cost of each
microbatch, so that larger ones are faster. --diverge-on PRECISION makes the loss NaN from step 5 on.
"""
import argparse
import time

import torch
from torch import nn
from torch.utils.data import Dataset

import waveos


class Numbers(Dataset):
    waveos_cacheable = True

    def __init__(self, items, decode_ms):
        self.items, self.decode_ms = items, decode_ms

    def __len__(self):
        return self.items

    def __getitem__(self, index):
        if self.decode_ms:
            time.sleep(self.decode_ms / 1000)
        x = torch.randn(64, generator=torch.Generator().manual_seed(index))
        return x, int(x[0] > 0)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--microbatch", type=int, default=4)
    args.add_argument("--accumulate", type=int, default=8)
    args.add_argument("--steps", type=int, default=30)
    args.add_argument("--items", type=int, default=1024)
    args.add_argument("--decode-ms", type=float, default=0)
    args.add_argument("--launch-ms", type=float, default=2)
    args.add_argument("--memory-mb", type=float, default=0, help="0: no limit")
    args.add_argument("--base-mb", type=float, default=100)
    args.add_argument("--mb-per-sample", type=float, default=10)
    args.add_argument("--diverge-on", default="")
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    plan = waveos.plan(microbatch=a.microbatch, accumulate=a.accumulate)
    layers = [nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(4)]
    model = plan.model(nn.Sequential(*layers, nn.Linear(64, 2)), layers=layers)
    optimizer = plan.optimizer(torch.optim.SGD, model.parameters(), lr=0.05)
    loss_of = nn.CrossEntropyLoss()

    each = a.mb_per_sample * {"none": 1, "selective": 0.5, "full": 0.2}[plan.checkpointing] * (0.5 if plan.offload else 1)
    peak_mb = a.base_mb + each * plan.microbatch
    done = 0
    while done < a.steps:
        for x, y in plan.loader(Numbers(a.items, a.decode_ms), shuffle=True, drop_last=True):
            with plan.step(optimizer) as step:
                if a.memory_mb and peak_mb > a.memory_mb:
                    raise MemoryError("out of memory: %.0f MB of %.0f" % (peak_mb, a.memory_mb))
                if a.launch_ms:
                    time.sleep(a.launch_ms / 1000)
                loss = loss_of(model(x), y)
                if plan.precision == a.diverge_on and done >= 5:
                    loss = loss * float("nan")
                step.backward(loss, peak_bytes=int(peak_mb * 1e6))
            done += step.done
            if done >= a.steps:
                break


if __name__ == "__main__":
    main()
