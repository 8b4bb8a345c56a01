#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A small CPU training as anybody writes it: it knows nothing of WaveOS.

Its input is slow on purpose (a planted bottleneck): each item is "decoded" for --decode-ms, either as CPU time
that the thread really spends (--decode cpu) or as a wait (--decode sleep, as a disk or a network would make it).
The last line on stdout is one JSON object with the losses of all steps.
"""
import argparse
import hashlib
import json
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class SlowImages(Dataset):
    """Items depend on their index alone, so the order of loading changes nothing."""

    waveos_cacheable = True  # no random augmentation: an item is the same each time

    def __init__(self, items, features, decode_ms, decode):
        self.items, self.features = items, features
        self.decode_ms, self.decode = decode_ms, decode

    def __len__(self):
        return self.items

    def __getitem__(self, index):
        if not 0 <= index < self.items:
            raise IndexError(index)
        if self.decode == "sleep":
            time.sleep(self.decode_ms / 1000)
        else:
            until = time.thread_time() + self.decode_ms / 1000
            block = b"\0" * 4096
            while time.thread_time() < until:
                block = hashlib.blake2b(block).digest() * 64
        generator = torch.Generator().manual_seed(index)
        x = torch.randn(self.features, generator=generator)
        return x, int(x[0] > 0) + 2 * int(x[1] > 0)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--decode-ms", type=float, default=5)
    args.add_argument("--decode", choices=["cpu", "sleep"], default="cpu")
    args.add_argument("--items", type=int, default=256)
    args.add_argument("--features", type=int, default=64)
    args.add_argument("--hidden", type=int, default=128)
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--accumulate", type=int, default=1)
    args.add_argument("--workers", type=int, default=0)
    args.add_argument("--steps", type=int, default=50)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--lr", type=float, default=0.05)
    args.add_argument("--validate", type=int, default=0, help="batches of validation after each epoch")
    a = args.parse_args()

    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    dataset = SlowImages(a.items, a.features, a.decode_ms, a.decode)
    loader = DataLoader(dataset, batch_size=a.batch, shuffle=True, drop_last=True, num_workers=a.workers)
    held_out = DataLoader(SlowImages(a.validate * a.batch, a.features, 0, "cpu"), batch_size=a.batch) if a.validate else ()
    model = nn.Sequential(nn.Linear(a.features, a.hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(a.hidden, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=a.lr, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    losses, begin, waited = [], time.monotonic(), 0.0
    step = micro = 0
    total = 0.0
    while step < a.steps:
        model.train()
        asked = time.monotonic()
        for x, y in loader:
            waited += time.monotonic() - asked
            loss = loss_of(model(x), y) / a.accumulate
            loss.backward()
            total += loss.item()
            micro += 1
            if micro % a.accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
                losses.append(round(total, 6))
                total = 0.0
                step += 1
                if step == a.steps:
                    break
            asked = time.monotonic()
        model.eval()
        with torch.no_grad():
            for x, y in held_out:
                loss_of(model(x), y)
    seconds = time.monotonic() - begin
    print(json.dumps({"losses": losses, "seconds": round(seconds, 3), "waited": round(waited, 3),
                      "samples_per_s": round(step * a.accumulate * a.batch / seconds, 1)}))


if __name__ == "__main__":
    main()
