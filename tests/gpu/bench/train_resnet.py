#!/usr/bin/env python3
"""ResNet-50 (He et al. 2015) over JPEG files that are decoded as they are needed: a workload with a real input pipeline.
The files are made once, below --data. bf16 is on, as anybody's defaults have it; no line of it knows WaveOS.
--tiny --device cpu runs anywhere (where PIL is)."""
import argparse
import contextlib
import os
import random
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


def make_files(folder, count, side):
    """Photographs have noise and edges; these have both, so that they cost a decoder about as much."""
    from PIL import Image, ImageDraw

    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        path = os.path.join(folder, f"{i}.jpg")
        if os.path.exists(path):
            continue
        rng = random.Random(i)
        image = Image.effect_noise((side, side), 40).convert("RGB")
        draw = ImageDraw.Draw(image)
        for _ in range(40):
            x, y = rng.randrange(side), rng.randrange(side)
            draw.rectangle((x, y, x + rng.randrange(90), y + rng.randrange(90)),
                           tuple(rng.randrange(256) for _ in range(3)))
        image.save(path + ".new", "JPEG", quality=90)
        os.rename(path + ".new", path)


class Files(Dataset):
    def __init__(self, folder, count, length, size):
        self.folder, self.count, self.length, self.size = folder, count, length, size

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        from PIL import Image

        with Image.open(os.path.join(self.folder, f"{i % self.count}.jpg")) as image:
            image = image.convert("RGB").resize((self.size, self.size))
            data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return data.view(self.size, self.size, 3).permute(2, 0, 1).float().div_(255), i % 1000


class Bottleneck(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
        self.past = nn.Identity() if stride == 1 and inside == out else nn.Sequential(
            nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return F.relu(self.body(x) + self.past(x), True)


def resnet(depths, classes=1000):
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for i, depth in enumerate(depths):
        for k in range(depth):
            layers.append(Bottleneck(inside, 64 << i, 2 if i and k == 0 else 1))
            inside = 256 << i
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--accumulate", type=int, default=1)
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--prefetch", type=int, default=2)
    p.add_argument("--pin", action="store_true")
    p.add_argument("--channels-last", action="store_true")
    p.add_argument("--compile", choices=["off", "default", "graphs"], nargs="?", const="default", default="off")
    p.add_argument("--data", default="build/gpu-bench/jpeg")
    p.add_argument("--files", type=int, default=2048)
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true")
    p.add_argument("--only-files", action="store_true")
    a = p.parse_args()
    torch.manual_seed(1)
    make_files(a.data, a.files, 96 if a.tiny else 480)
    if a.only_files:
        return
    size = 32 if a.tiny else 224
    cuda = a.device.startswith("cuda")
    model = resnet((1, 1) if a.tiny else (3, 4, 6, 3)).to(a.device)
    if a.channels_last:
        model = model.to(memory_format=torch.channels_last)
    modes = {"default": {}, "graphs": {"mode": "reduce-overhead"}}
    call = torch.compile(model, **modes[a.compile]) if a.compile in modes else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    half = (lambda: torch.autocast("cuda", dtype=torch.bfloat16)) if cuda else contextlib.nullcontext
    more = {"prefetch_factor": a.prefetch} if a.workers else {}
    data = Files(a.data, a.files, a.steps * a.batch * a.accumulate, size)
    loader = DataLoader(data, a.batch, num_workers=a.workers, pin_memory=a.pin, **more)
    begin = time.monotonic_ns()
    out = os.environ.get("WAVEOS_BENCH_STEPS")
    out = open(out, "w") if out else None
    for i, (images, labels) in enumerate(loader):
        images = images.to(a.device, non_blocking=a.pin)
        labels = labels.to(a.device, non_blocking=a.pin)
        if a.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with half():
            loss = F.cross_entropy(call(images), labels) / a.accumulate
        loss.backward()
        if (i + 1) % a.accumulate:
            continue
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
        end = time.monotonic_ns()
        if out:
            out.write('{"step":%d,"begin_ns":%d,"end_ns":%d,"arm":-1,"block":0,"samples":%d,"loss":%.6f}\n'
                      % (i // a.accumulate, begin, end, a.batch * a.accumulate, loss.item() * a.accumulate))
        begin = end


main()
