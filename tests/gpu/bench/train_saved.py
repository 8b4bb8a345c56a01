#!/usr/bin/env python3
"""GPT-2 of train_gpt.py that saves its state when it is told to leave (docs/gpu-python.md), for the stage `preempt`. Each line of
--log is an event with its time (CLOCK_MONOTONIC): a step, saved, loaded."""
import argparse
import os
import time

import torch
import waveos
from torch.nn import functional as F

from train_gpt import Gpt


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--log", required=True)
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true")
    a = p.parse_args()
    shape = (2, 64, 2, 256, 32) if a.tiny else (12, 768, 12, 50257, 1024)
    words, length = shape[3:]
    torch.manual_seed(1)
    model = Gpt(*shape).to(a.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    log = open(a.log, "a", buffering=1)

    def say(what, step):
        log.write(f"{what} {step} {time.monotonic_ns()}\n")

    path, step = os.path.join(waveos.checkpoint_dir(), "state.pt"), 0
    if os.path.exists(path):
        state = torch.load(path, map_location=a.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        say("loaded", step)
    while True:
        tokens = torch.randint(words, (2, length + 1), device=a.device)
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1).float(), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        step += 1
        say("step", step)
        if waveos.checkpoint_requested():
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, path)
            say("saved", step)
            waveos.exit_preempted()


main()
