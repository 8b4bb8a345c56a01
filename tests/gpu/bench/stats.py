"""Statistics of paired measurements: medians, and a percentile bootstrap of the log of ratios (Efron 1979)."""
import math
import random
import statistics


def median(values):
    return statistics.median(values)


def paired(base, other, rounds=2000, seed=1):
    """Ratio other / base of blocks measured in pairs: {"ratio", "low", "high", "pairs"}, 95 % interval."""
    logs = [math.log(b / a) for a, b in zip(base, other)]
    rng = random.Random(seed)
    means = sorted(
        statistics.median(rng.choices(logs, k=len(logs))) for _ in range(rounds)
    )
    return {
        "ratio": math.exp(statistics.median(logs)),
        "low": math.exp(means[int(0.025 * rounds)]),
        "high": math.exp(means[int(0.975 * rounds) - 1]),
        "pairs": len(logs),
    }


def blocks(steps):
    """Median step of each block of one arm, in order: [(arm, ns)]. A block's first half is left out: the profiler
    changes its level within a tenth of a second, and buffers come back for some time after."""
    found, begin = [], 0
    for i in range(1, len(steps) + 1):
        if i == len(steps) or steps[i]["block"] != steps[begin]["block"]:
            spans = [s["end_ns"] - s["begin_ns"] for s in steps[(begin + i) // 2:i]]
            if spans:
                found.append((steps[begin].get("arm"), statistics.median(spans)))
            begin = i
    return found


def arms(steps, base, other):
    """Pairs the blocks of two arms as they come, ABBA: drift adds to one pair what it takes from the next.

    The paired() of them; None where there are less than three pairs."""
    found = [b for b in blocks(steps) if b[0] in (base, other)]
    a, b = [], []
    for (first, x), (second, y) in zip(found[::2], found[1::2]):
        if first != second:
            a.append(x if first == base else y)
            b.append(y if first == base else x)
    return paired(a, b) if len(a) >= 3 else None


def union(spans):
    """Disjoint spans in order that cover the same."""
    out = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        elif end > begin:
            out.append([begin, end])
    return out


def length(spans):
    return sum(e - b for b, e in union(spans))


def common(a, b):
    """Length of what both cover."""
    return length(a) + length(b) - length(list(a) + list(b))
