#!/usr/bin/env python3
"""Benchmarks on a GPU, by stages of under ten minutes each.  make gpu-bench STAGE=overhead-gpt

  run.py STAGE... [--out DIR] [--fake]       all: every stage in turn
  run.py --table DIR FILE                    writes the table of FILE anew from the results in DIR

A result is a JSON file a stage, with what it was measured on. --fake runs everything small, on the fake driver of
tests/gpu/fake and on the CPU: that shows that the harness works, and nothing else; such a result says "fake": true and
never gets into a table.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

import stages
import table

HERE = os.path.dirname(os.path.abspath(__file__))


def machine():
    """What the figures were measured on; what cannot be had is left out."""
    facts = {"kernel": platform.release(), "cpus": os.cpu_count(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    query = "name,driver_version,memory.total,clocks.max.sm,power.limit,mig.mode.current"
    try:
        row = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True,
                             text=True, timeout=30, check=True).stdout.splitlines()
        facts["gpus"] = [dict(zip(query.split(","), (f.strip() for f in line.split(",")))) for line in row]
    except (OSError, subprocess.SubprocessError):
        facts["gpus"] = []
    try:
        import torch
        facts["torch"] = torch.__version__
        facts["torch_cuda"] = torch.version.cuda
    except ImportError:
        facts["torch"] = None
    facts["commit"] = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True,
                                     text=True).stdout.strip() or None
    return facts


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stage", nargs="*")
    p.add_argument("--out", default="build/gpu-bench")
    p.add_argument("--build", default=os.environ.get("O", "build"))
    p.add_argument("--fake", action="store_true")
    p.add_argument("--repeat", type=int, default=1, help="number of this repeat, for stages that are repeated")
    p.add_argument("--table", nargs=2, metavar=("DIR", "FILE"))
    a = p.parse_args()
    if a.table:
        return table.write(*a.table)
    names = list(stages.STAGES) if a.stage in ([], ["all"]) else a.stage
    unknown = [n for n in names if n not in stages.STAGES]
    if unknown:
        print(f"gpu-bench: no stage {unknown[0]}; there are: {' '.join(stages.STAGES)}", file=sys.stderr)
        return 2
    facts = machine()
    if not facts["gpus"] and not a.fake:
        print("gpu-bench: no GPU here (nvidia-smi does not answer); --fake tries the harness without one", file=sys.stderr)
        return 77
    os.makedirs(a.out, exist_ok=True)
    failed = 0
    for name in names:
        place = stages.Place(os.path.abspath(a.build), os.path.abspath(a.out), name, a.fake, a.repeat)
        begin = time.monotonic()
        try:
            result = stages.STAGES[name](place)
        except stages.Skip as e:
            print(f"{name}: not here: {e}")
            continue
        except (stages.Failed, subprocess.TimeoutExpired) as e:
            print(f"{name}: FAILED: {e}")
            failed += 1
            continue
        document = {"stage": name, "fake": a.fake, "repeat": a.repeat, "seconds": round(time.monotonic() - begin, 1),
                    "machine": facts, "result": result}
        path = os.path.join(a.out, f"{name}-{a.repeat}.json")
        with open(path + ".new", "w") as f:
            json.dump(document, f, indent=1, sort_keys=True)
            f.write("\n")
        os.rename(path + ".new", path)
        print(f"{name}: {json.dumps(result)[:400]}{' (fake: no result)' if a.fake else ''}")
    return 1 if failed else 0


sys.exit(main())
