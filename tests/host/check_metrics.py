#!/usr/bin/env python3
"""Strict reader of one scrape, on standard input; exits 1 with a line for what is wrong.

Usage: check_metrics.py text|openmetrics [MAX_SERIES]
Checks the grammar, one HELP and TYPE a family, families contiguous, no series twice, counters end in
_total, histograms cumulative with +Inf equal to _count, UNIT is the suffix of the name, one "# EOF" at the
end (OpenMetrics only).
"""
import re
import sys

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
VALUE = re.compile(r"[0-9]+(\.[0-9]*[1-9])?")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"],
            "histogram": ["_bucket", "_sum", "_count"]}


def fail(line, why):
    sys.exit(f"line {line}: {why}")


def labels_of(text, n):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m:
            fail(n, f"malformed label at {text[at:at + 40]!r}")
        if m[1] in labels:
            fail(n, f"label {m[1]} twice")
        labels[m[1]] = m[2]
        at = m.end()
        if at < len(text):
            if text[at] != ",":
                fail(n, "labels without a comma")
            at += 1
    return labels


class Checker:
    def __init__(self, openmetrics):
        self.open = openmetrics
        self.seen, self.series = set(), set()
        self.family = self.type = None
        self.histograms = {}

    def comment(self, n, line):
        word, name, rest = (line[2:].split(" ", 2) + [""])[:3]
        if word == "HELP":
            if name in self.seen:
                fail(n, f"family {name} twice")
            self.seen.add(name)
            self.family, self.type = name, None
        elif name != self.family:
            fail(n, f"{word} of {name} within {self.family}")
        elif word == "TYPE":
            if rest not in SUFFIXES or self.type:
                fail(n, f"type {rest}")
            self.type = rest
            if self.open and rest == "counter" and name.endswith("_total"):
                fail(n, "OpenMetrics counter family with _total")
            if not self.open and rest == "counter" and not name.endswith("_total"):
                fail(n, "counter without _total")
        elif word == "UNIT":
            if not self.open or not name.endswith("_" + rest):
                fail(n, f"unit {rest} of {name}")
        else:
            fail(n, f"comment {word}")

    def sample(self, n, line):
        m = NAME.match(line)
        if not m:
            fail(n, "no name")
        name, rest = m[0], line[m.end():]
        labels = {}
        if rest.startswith("{"):
            end = rest.rindex("} ")
            labels, rest = labels_of(rest[1:end], n), rest[end + 1:]
        if not rest.startswith(" ") or not VALUE.fullmatch(rest[1:]):
            fail(n, f"value {rest!r}")
        suffixes = SUFFIXES[self.type or fail(n, "sample before TYPE")]
        allowed = [self.family + s for s in suffixes] if self.open or self.type == "histogram" else [self.family]
        if name not in allowed:
            fail(n, f"{name} within {self.family}")
        key = (name, tuple(sorted(labels.items())))
        if key in self.series:
            fail(n, f"series twice: {key}")
        self.series.add(key)
        if self.type == "histogram":
            self.histogram(n, name, labels, float(rest))

    def histogram(self, n, name, labels, value):
        le = labels.pop("le", None)
        h = self.histograms.setdefault((self.family, tuple(sorted(labels.items()))), {"b": []})
        if name.endswith("_bucket"):
            bound = float("inf") if le == "+Inf" else float(le)
            if h["b"] and (bound <= h["b"][-1][0] or value < h["b"][-1][1]):
                fail(n, "buckets are not cumulative")
            h["b"].append((bound, value))
        else:
            h[name[len(self.family):]] = value

    def finish(self):
        for (family, labels), h in self.histograms.items():
            if len(h["b"]) > 14:
                sys.exit(f"{family}: {len(h['b'])} buckets")
            if h["b"][-1][0] != float("inf") or h["b"][-1][1] != h["_count"] or "_sum" not in h:
                sys.exit(f"{family} {labels}: +Inf, _count and _sum do not agree")


def main():
    checker = Checker(sys.argv[1] == "openmetrics")
    text = sys.stdin.buffer.read().decode("utf-8")
    if not text.endswith("\n"):
        sys.exit("no newline at the end")
    lines = text[:-1].split("\n")
    if checker.open and lines.pop() != "# EOF":
        sys.exit("no # EOF at the end")
    for n, line in enumerate(lines, 1):
        if line.startswith("#"):
            checker.comment(n, line)
        else:
            checker.sample(n, line)
    checker.finish()
    if len(sys.argv) > 2 and len(checker.series) > int(sys.argv[2]):
        sys.exit(f"{len(checker.series)} series")
    print(f"{len(checker.series)} series, {len(checker.seen)} families")


main()
