"""The table of docs/gpu-benchmarks.md from the results of stages. What was not measured says so."""
import glob
import json
import os

BEGIN, END = "<!-- begin of results (make gpu-bench-table) -->", "<!-- end of results -->"


def pick(result, path):
    for part in path.split("."):
        result = result.get(part) if isinstance(result, dict) else None
    return result


def ratio(r):
    return None if r is None else f"{100 * (r['ratio'] - 1):+.2f} % ({100 * (r['low'] - 1):+.2f} to {100 * (r['high'] - 1):+.2f})"


def share(x):
    return None if x is None else f"{100 * x:.3f} %"


def times(x):
    return None if x is None else f"{x:.2f}×"


# (stage, what, goal, where in the result, how it is written)
ROWS = [
    ("overhead-storm", "overhead, launch storm, L1", "≤ 0.5 %", "levels.1", ratio),
    ("overhead-storm", "overhead, launch storm, L2", "≤ 0.5 %", "levels.2", ratio),
    ("overhead-graph", "overhead, CUDA graphs, L1", "≤ 0.5 %", "levels.1", ratio),
    ("overhead-gpt", "overhead, GPT-2 124M bf16 eager, L1", "≤ 0.2 % median", "levels.1", ratio),
    ("overhead-gpt", "overhead, GPT-2 124M bf16 eager, L2", "≤ 0.5 %", "levels.2", ratio),
    ("overhead-gpt-graphs", "overhead, GPT-2 124M compiled with graphs, L1", "≤ 0.2 % median", "levels.1", ratio),
    ("overhead-resnet", "overhead, ResNet-50 with JPEG input, library in the process or not", "≤ 0.2 % median", "injected", ratio),
    ("accuracy", "kernel time against events", "≤ 0.5 %", "kernel_error", share),
    ("accuracy", "overlapped and exposed communication against events", "≤ 0.5 %", "overlap_error", share),
    ("accuracy", "invariant, worst window", "≤ 0.01 %", "invariant_error", share),
    ("accuracy", "planted gaps whose cause is named", "≥ 95 %", "named", share),
    ("baseline", "ResNet-50, B0 (public defaults), samples/s", "", "b0.samples_s", lambda x: x and f"{x:.0f}"),
    ("baseline", "ResNet-50, B1 (tuned by hand), samples/s", "", "b1.samples_s", lambda x: x and f"{x:.0f}"),
    ("tune", "tuned by itself, over B0", "≥ 1.8×", "over_b0", times),
    ("tune", "tuned by itself, over B1", "≥ 1.10×", "over_b1", times),
    ("tune", "trials; minutes", "≤ 12; ≤ 5", "cost", lambda x: x),
    ("preempt", "preempted to released; resumed to first step", "≤ 2 s; ≤ 3 s", "times", lambda x: x),
    ("tune", "energy a sample, tuned against B0", "−25 %", "energy", lambda x: None if x is None else f"{100 * x:+.1f} %"),
]


def load(folder):
    """Results by stage; those of a fake device are no results."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path) as f:
            document = json.load(f)
        if not document["fake"]:
            found.setdefault(document["stage"], []).append(document)
    return found


def lines(found):
    out = ["| what | goal | measured | repeats | on |", "| --- | --- | --- | --- | --- |"]
    for stage, what, goal, path, form in ROWS:
        documents = found.get(stage, [])
        values = [form(pick(d["result"], path)) for d in documents]
        values = [v for v in values if v is not None]
        on = sorted({d["machine"]["gpus"][0]["name"] for d in documents if d["machine"]["gpus"]})
        out.append(f"| {what} | {goal} | {'; '.join(values) or 'not yet measured'} | {len(values) or ''} | {', '.join(on)} |")
    return out


def write(folder, path):
    with open(path) as f:
        text = f.read()
    head, rest = text.split(BEGIN)
    with open(path + ".new", "w") as f:
        f.write(head + BEGIN + "\n" + "\n".join(lines(load(folder))) + "\n" + END + rest.split(END)[1])
    os.rename(path + ".new", path)
    return 0
