"""Steps of a workload as JSON lines, and the profiler's level by blocks: the same as planted.c has it."""
import ctypes
import json
import os
import time


class Steps:
    """for step in Steps(n): ... ; writes $WAVEOS_TUNE_STEPS where the package of WaveOS does not do so itself."""

    def __init__(self, count, samples, tokens=0, sync=lambda: None):
        self.count, self.sync = count, sync
        self.figures = {"samples": samples}
        if tokens:
            self.figures["tokens"] = tokens
        self.arms = [int(a) for a in os.environ.get("WAVEOS_BENCH_ARMS", "").split(",") if a]
        self.block = int(os.environ.get("WAVEOS_BENCH_BLOCK", "0"))
        path = os.environ.get("WAVEOS_BENCH_STEPS")
        self.file = open(path, "w") if path else None
        try:
            self.library = ctypes.CDLL(os.environ["WAVEOS_GPU_LIBRARY"], mode=os.RTLD_NOLOAD)
        except (KeyError, OSError):
            self.library = None

    def level(self, step):
        n = step // self.block if self.block else 0
        arm = self.arms[min(n, len(self.arms) - 1)] if self.arms else -1
        if arm >= 0 and self.library and (step == 0 or (self.block and step % self.block == 0)):
            self.library.waveos_gpu_level(arm)
        return arm, n

    def __iter__(self):
        self.sync()
        begin = time.monotonic_ns()
        for step in range(self.count):
            arm, block = self.level(step)
            self.loss = None
            yield self
            self.sync()
            end = time.monotonic_ns()
            if self.file:
                line = {"step": step, "begin_ns": begin, "end_ns": end, "arm": arm, "block": block, **self.figures}
                if self.loss is not None:
                    line["loss"] = float(self.loss)
                self.file.write(json.dumps(line) + "\n")
            begin = end
        if self.file:
            self.file.close()
