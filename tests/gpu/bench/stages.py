"""The stages of the GPU benchmark: each is a function of a Place that returns what it measured."""
import json
import os
import subprocess
import sys
import time

import stats

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable)
LIMIT_S = 540  # of a stage, which is to end within ten minutes


class Skip(Exception):
    """The stage needs what is not here."""


class Failed(Exception):
    pass


class Place:
    """Where a stage runs: folders, whether it is only a try on the fakes, and how commands are started."""

    def __init__(self, build, out, stage, fake, repeat):
        self.build, self.out, self.stage, self.fake, self.repeat = build, out, stage, fake, repeat
        self.agent = os.path.join(build, "waveos-bpf")
        self.folder = os.path.join(out, f"{stage}-{repeat}.d")
        os.makedirs(self.folder, exist_ok=True)

    def environment(self, more):
        e = dict(os.environ, **{k: str(v) for k, v in more.items()})
        if self.fake:
            e["LD_LIBRARY_PATH"] = os.path.join(self.build, "gpu", "fake")
        return e

    def run(self, command, **environment):
        r = subprocess.run(command, env=self.environment(environment), capture_output=True, text=True,
                           timeout=LIMIT_S, cwd=self.folder)
        if r.returncode == 77:
            raise Skip(r.stderr.strip().splitlines()[-1] if r.stderr.strip() else command[0])
        if r.returncode:
            raise Failed(f"{' '.join(command)}: status {r.returncode}: {(r.stderr or r.stdout)[-500:]}")
        return r.stdout

    def profile(self, name, level, command, **environment):
        folder = os.path.join(self.folder, name)
        self.run([self.agent, "gpu", "profile", "--level", str(level), "-o", folder, "--", *command], **environment)
        with open(os.path.join(folder, "profile.json")) as f:
            return json.load(f)

    def planted(self, mode, *options):
        return [os.path.join(self.build, "gpu-test", "planted"), mode, *map(str, options)]

    def script(self, name, *options):
        tiny = ["--tiny", "--device", "cpu"] if self.fake else []
        return [PYTHON, os.path.join(HERE, name), *map(str, options), *tiny]

    def steps(self, name):
        path = os.path.join(self.folder, name)
        with open(path) as f:
            return [json.loads(line) for line in f]


def probe(place):
    """What this machine lets the profiler do; nothing else is worth its time where this fails."""
    p = place.profile("probe", 2, place.planted("host", "--steps", 50, "--kernel-us", 2000, "--gap-us", 2000))
    if not p["devices"]:
        raise Failed("the library saw no device")
    d = p["devices"][0]
    return {"device": d["name"], "records": d["records"], "launches": d["launches"], "dropped": d["records_dropped"],
            "waits_explained": p["waits_explained"]}


def levels(place, command, variable, block, count):
    """Level 0 (library loaded, nothing traced) against 1 and 2, in blocks ABBA of one process."""
    out = {}
    for level in (1, 2):
        arms = ",".join(str(a) for _ in range(count) for a in (0, level, level, 0))
        name = f"steps-{level}.jsonl"
        p = place.profile(f"level-{level}", level, command, WAVEOS_BENCH_ARMS=arms, WAVEOS_BENCH_BLOCK=block,
                          **{variable: os.path.join(place.folder, name)})
        r = stats.arms(place.steps(name), 0, level)
        if not r:
            raise Failed("too few blocks")
        r["records"] = sum(d["records"] for d in p["devices"])
        r["dropped"] = sum(d["records_dropped"] for d in p["devices"])
        out[str(level)] = r
    return out


def injected(place, command, variable, pairs):
    """Whole processes, without the library and with it at level 1, ABBA; medians of their steps."""
    plain, seen = [], []
    for i in range(pairs):
        for with_library in ((False, True), (True, False))[i % 2]:
            name = f"process-{i}-{int(with_library)}.jsonl"
            environment = {variable: os.path.join(place.folder, name)}
            if with_library:
                place.profile(f"process-{i}", 1, command, **environment)
            else:
                place.run(command, **environment)
            spans = [s["end_ns"] - s["begin_ns"] for s in place.steps(name)]
            (seen if with_library else plain).append(stats.median(spans[len(spans) // 4:]))
    return stats.paired(plain, seen)


def overhead_planted(mode):
    def stage(place):
        count, launches = (2, 50) if place.fake else (10, 2000)
        block = 300 if place.fake else 500  # two seconds
        command = place.planted(mode, "--steps", 4 * count * block, "--launches", launches)
        return {"levels": levels(place, command, "WAVEOS_TUNE_STEPS", block, count)}
    return stage


def overhead_gpt(mode):
    def stage(place):
        count, block = (2, 20) if place.fake else (8, 25)
        command = place.script("train_gpt.py", "--mode", mode, "--steps", 4 * count * block, "--batch", 2 if place.fake else 16)
        return {"levels": levels(place, command, "WAVEOS_BENCH_STEPS", block, count)}
    return stage


def resnet(place, *options):
    small = ["--steps", 12, "--batch", 4, "--files", 16] if place.fake else ["--steps", 150]
    return place.script("train_resnet.py", *small, "--data", os.path.join(place.out, "jpeg"), *options)


def overhead_resnet(place):
    place.run(resnet(place, "--only-files"))
    return {"injected": injected(place, resnet(place), "WAVEOS_BENCH_STEPS", 3 if place.fake else 5)}


GAPS = {"host": "host", "input": "input", "fetch": "input", "checkpoint": "checkpoint"}


def line(device, rows):
    """The device's windows that lie within the planted steps: {column: sum}."""
    columns = device["time_line"]["columns"]
    begin, end = rows[0]["host"][0], rows[-1]["host"][1]
    inside = [dict(zip(columns, r)) for r in device["time_line"]["rows"]]
    inside = [w for w in inside if begin <= w["begin_ns"] and w["end_ns"] <= end]
    if len(inside) < 3:
        raise Failed("hardly a window lies within the steps")
    out = {c: sum(w[c] for w in inside) for c in columns}
    out["window_ns"] = out["end_ns"] - out["begin_ns"]
    # of the planted steps, those within the same time; their ends are in the middle of a step
    out["rows"] = [r for r in rows if inside[0]["begin_ns"] <= r["host"][0] and r["host"][1] <= inside[-1]["end_ns"]]
    return out


def planted_truth(place, mode, level, steps, *options):
    truth = os.path.join(place.folder, f"{mode}.truth")
    p = place.profile(mode, level, place.planted(mode, "--steps", steps, "--truth", truth, *options))
    with open(truth) as f:
        rows = [json.loads(row) for row in f]
    return p["devices"][0], rows


def share_named(device, rows, cause):
    """Of the longest gaps, those of the planted cause: each must lie within a planted one to count at all."""
    gaps = [g for g in device["longest_gaps"]
            if any(r["gap"][0] <= (g["begin_ns"] + g["end_ns"]) // 2 <= r["gap"][1] for r in rows)]
    if not gaps:
        raise Failed("no planted gap was seen")
    return sum(g["cause"] == cause for g in gaps) / len(gaps)


def accuracy(place):
    """Kernels and gaps that are known of before, against what the profile says."""
    steps = 150 if place.fake else 2000
    errors, invariant, causes = {}, [], {}
    for mode, cause in GAPS.items():
        d, rows = planted_truth(place, mode, 2, steps, "--kernel-us", 2000, "--gap-us", 5000)
        told = line(d, rows)
        # windows begin and end in the middle of a step: shares of the time are compared, not sums
        inside = told["rows"]
        planted = stats.length([r["kernel"] for r in inside]) / (inside[-1]["host"][1] - inside[0]["host"][0])
        errors[mode] = abs(told["kernel_ns"] / told["window_ns"] - planted) / planted
        invariant.append(d["invariant_worst_error"])
        causes[mode] = share_named(d, rows, cause)
    d, rows = planted_truth(place, "overlap", 1, 4 * steps, "--kernel-us", 2000)
    kernels, comms = [r["kernel"] for r in rows], [r["comms"] for r in rows]
    overlapped = stats.common(kernels, comms)
    exposed = stats.length(comms) - overlapped
    # of communication, so that windows at the ends do not matter
    overlap_error = abs(d["overlapped_comms_ns"] / d["comms_ns"] - overlapped / (overlapped + exposed))
    return {"kernel_error": max(errors.values()), "kernel_error_by_mode": errors, "invariant_error": max(invariant),
            "named": sum(causes.values()) / len(causes), "named_by_cause": causes, "overlap_error": overlap_error}


def throughput(place, name, *options):
    return speed(place, name, resnet(place, *options))


def speed(place, name, command, **environment):
    steps = os.path.join(place.folder, name + ".jsonl")
    p = place.profile(name, 1, command, WAVEOS_BENCH_STEPS=steps, **environment)
    rows = place.steps(name + ".jsonl")
    rows = rows[len(rows) // 4:]
    seconds = (rows[-1]["end_ns"] - rows[0]["begin_ns"]) / 1e9
    d = p["devices"][0] if p["devices"] else None
    return {"samples_s": sum(r["samples"] for r in rows) / seconds, "bottleneck": p["bottleneck"],
            "watts": d and d["energy"] and d["energy"]["mean_watts"],
            "busy": d and (d["kernel_ns"] + d["exposed_comms_ns"] + d["memory_ns"]) / d["window_ns"]}


# Fixed before anything was measured. B0: what a beginner's script has; B1: what an expert sets.
B0 = ["--workers", 2, "--batch", 64]
B1 = ["--workers", 14, "--prefetch", 4, "--pin", "--batch", 64, "--channels-last", "--compile"]


def baseline(place):
    place.run(resnet(place, "--only-files"))
    b1 = [o for o in B1 if o != "--compile"] if place.fake else B1
    return {"b0": throughput(place, "b0", *B0), "b1": throughput(place, "b1", *b1)}


TUNED = ["--batch", "{batch.micro}", "--accumulate", "{batch.accumulate}", "--workers", 2]
TUNE_SPEC = """job: {name: resnet50, global_batch: %d}
start: {loader.workers: 2, loader.prefetch: 2, loader.pin: false, batch.micro: %d%s}
knobs:
  loader.workers: default
  loader.prefetch: default
  loader.pin: default
  loader.persistent: default
  batch.micro: [%s]
%slimits: {budget: %s, trials: 12, steps: {warmup: 5, probe: %d, confirm: %d}}
"""


def fill(option, knobs):
    for name, value in knobs.items():
        option = str(option).replace("{%s}" % name, str(value))
    return option


def autonomous(place):
    """The tuner starts from B0; then B0, B1 and what it found in turn, A B C C B A."""
    place.run(resnet(place, "--only-files"))
    spec, evidence = os.path.join(place.folder, "tune.yaml"), os.path.join(place.folder, "evidence")
    command = resnet(place, *TUNED)
    batch, more, knobs, sizes = (4, "", "", "2, 4") if place.fake else \
        (64, ", compile: off", "  compile: default\n", "16, 32, 64")
    if not place.fake:
        command += ["--compile", "{compile}"]
    with open(spec, "w") as f:
        f.write(TUNE_SPEC % (batch, batch, more, sizes, knobs, "20s" if place.fake else "5m", *((8, 8) if place.fake else (20, 40))))
    # the tuner ends trials by their steps
    endless = [c if command[i - 1] != "--steps" else "100000" for i, c in enumerate(command)]
    result = json.loads(place.run([place.agent, "gpu", "tune", "-f", spec, "-o", evidence, "--json", "--", *endless]))
    place.run([place.agent, "evidence", "verify", evidence])
    b1 = [o for o in B1 if o != "--compile"] if place.fake else B1
    arms = {"b0": resnet(place, *B0), "b1": resnet(place, *b1), "tuned": [fill(c, result["knobs"]) for c in command]}
    speeds, joules = {name: [] for name in arms}, {name: [] for name in arms}
    for i, name in enumerate(["b0", "b1", "tuned", "tuned", "b1", "b0"]):
        more = {"WAVEOS_TUNE_KNOBS": os.path.join(evidence, "tuned-knobs.json")} if name == "tuned" else {}
        got = speed(place, f"{name}-{i}", arms[name], **more)
        speeds[name].append(got["samples_s"])
        joules[name].append(got["watts"] and got["watts"] / got["samples_s"])
    mean = {name: sum(v) / len(v) for name, v in speeds.items()}
    energy = sum(joules["tuned"]) / sum(joules["b0"]) - 1 if all(joules["tuned"] + joules["b0"]) else None
    return {"energy": energy, "joules_each": joules, "over_b0": mean["tuned"] / mean["b0"], "over_b1": mean["tuned"] / mean["b1"], "samples_s": speeds,
            "cost": f"{result['trials']}; {result['elapsed_ns'] / 6e10:.1f}", "end": result["end"], "change": result["change"],
            "proved": [result["speedup_low"], result["speedup"], result["speedup_high"]]}


class Queue:
    """An agent of its own that runs jobs, below a folder of its own."""

    def __init__(self, place):
        self.place, self.root = place, os.path.join(place.folder, "root")
        os.makedirs(self.root, exist_ok=True)
        # a fake has no topology to be asked for
        topology = ["--set", f"gpu.topology={os.path.join(HERE, '../../fixtures/gpu/topo/pcie-4.json')}"] if place.fake else []
        with open(os.path.join(place.folder, "agent.log"), "w") as log:
            self.agent = subprocess.Popen([place.agent, "attach", "--root", self.root, "--set", "metrics.listen=", "--set",
                                           "gpu.jobs=true", "--set", "gpu.enabled=off", *topology], stderr=log)

    def ask(self, verb, *arguments):
        return self.place.run([self.place.agent, "gpu", "jobs", verb, "--root", self.root, *map(str, arguments)])

    def until(self, what, limit_s=120):
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            try:
                found = what()
            except (Failed, FileNotFoundError):
                found = None
            if found:
                return found
            time.sleep(0.01)
        raise Failed("it took too long")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.agent.terminate()
        self.agent.wait(30)


def preempt(place):
    """From the verb to a free GPU, and from the verb to the first step that follows, by a job that saves its own state."""
    log = os.path.join(place.folder, "events")

    def events(what):
        with open(log) as f:
            return [int(row.split()[2]) for row in f if row.startswith(what) and row.endswith("\n")]

    released, saved, resumed = [], [], []
    with Queue(place) as queue:
        queue.until(lambda: queue.ask("list") or True)
        job = queue.ask("submit", "--checkpoint-dir", os.path.join(place.folder, "checkpoint"), "--output",
                        os.path.join(place.folder, "job.log"), "--", *place.script("train_saved.py", "--log", log)).strip()
        queue.until(lambda: len(events("step")) > 20)
        try:
            for _ in range(2 if place.fake else 5):
                begin = time.monotonic_ns()
                queue.ask("preempt", job)
                queue.until(lambda: json.loads(queue.ask("show", job, "--json"))["state"] == "held")
                released.append((time.monotonic_ns() - begin) / 1e9)
                saved.append((events("saved")[-1] - begin) / 1e9)
                begin = time.monotonic_ns()
                queue.ask("resume", job)
                queue.until(lambda: events("step")[-1] > begin)
                resumed.append((next(t for t in events("step") if t > begin) - begin) / 1e9)
        finally:
            queue.ask("cancel", job)
            queue.until(lambda: json.loads(queue.ask("show", job, "--json"))["state"] == "cancelled")
    return {"released_s": released, "saved_s": saved, "resumed_s": resumed,
            "times": f"{stats.median(released):.1f} s; {stats.median(resumed):.1f} s"}


STAGES = {
    "probe": probe,
    "overhead-storm": overhead_planted("storm"),
    "overhead-graph": overhead_planted("graph"),
    "overhead-gpt": overhead_gpt("eager"),
    "overhead-gpt-graphs": overhead_gpt("graphs"),
    "overhead-resnet": overhead_resnet,
    "accuracy": accuracy,
    "baseline": baseline,
    "tune": autonomous,
    "preempt": preempt,
}
