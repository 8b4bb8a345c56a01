#!/usr/bin/env python3
"""GPT-2 (124 M parameters: 12 layers, 768 wide, 12 heads, 50257 tokens; Radford et al. 2019) on tokens made up on the
device, bf16 by autocast: a workload of large kernels without an input pipeline. --tiny --device cpu runs anywhere."""
import argparse
import contextlib

import torch
from torch import nn
from torch.nn import functional as F

from steps import Steps


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.middle = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attend(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.full((t, t), float("-inf"), device=x.device, dtype=q.dtype).triu(1)
            y = torch.softmax(q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5 + mask, -1) @ v
        return self.out(y.transpose(1, 2).reshape(n, t, width))

    def forward(self, x):
        x = x + self.attend(self.before(x))
        return x + self.down(F.gelu(self.up(self.middle(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, layers, width, heads, vocabulary, context):
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.last = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        x = self.token(tokens) + self.place(torch.arange(tokens.shape[1], device=tokens.device))
        return self.last(self.blocks(x)) @ self.token.weight.T


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--steps", type=int, default=60)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--context", type=int, default=1024)
    p.add_argument("--mode", choices=["eager", "compile", "graphs"], default="eager")
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true")
    a = p.parse_args()
    torch.manual_seed(1)
    if a.tiny:
        a.context = 32
    shape = (2, 64, 2, 256, a.context) if a.tiny else (12, 768, 12, 50257, a.context)
    model = Gpt(*shape).to(a.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    call = model
    if a.mode != "eager":
        call = torch.compile(model, mode="reduce-overhead" if a.mode == "graphs" else "default")
    cuda = a.device.startswith("cuda")
    half = (lambda: torch.autocast("cuda", dtype=torch.bfloat16)) if cuda else contextlib.nullcontext
    tokens = torch.randint(shape[3], (a.batch, a.context + 1), device=a.device)
    for step in Steps(a.steps, a.batch, a.batch * a.context, torch.cuda.synchronize if cuda else lambda: None):
        with half():
            logits = call(tokens[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, shape[3]), tokens[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step.loss = loss.detach()


if __name__ == "__main__":
    main()
