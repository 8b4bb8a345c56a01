#!/usr/bin/env python3
"""Executes every query of every dashboard panel, every recording rule and every alert: check_queries.py PROMETHEUS_URL

Each has to give at least one finite sample. Of an alert, comparisons are made `bool`, so that it gives a sample
where the condition does not hold, too. What may be empty stands in EMPTY with the reason. Prints counts; exits 1 with
the queries that gave nothing.
"""
import json
import math
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MIXIN = ROOT / "packaging" / "mixin"
VALUES = {"$job": ".*", "$instance": ".*", "$namespace": ".*", "$pod": ".*", "$cgroup": ".*",
          "$__rate_interval": "10s", "$__range": "1m"}
# dashboard or rule / panel or name -> why it may give nothing
EMPTY = {
    "WaveosHardwareErrors": "the machine reports none",
}


def ask(base, expr):
    data = urllib.parse.urlencode({"query": expr}).encode()
    try:
        with urllib.request.urlopen(f"{base}/api/v1/query", data, timeout=10) as answer:
            return json.load(answer)["data"]["result"], ""
    except urllib.error.HTTPError as e:
        return [], json.load(e).get("error", str(e))


def finite(result):
    return sum(1 for s in result if "histogram" in s or math.isfinite(float(s["value"][1])))


def substituted(expr):
    # longest first: $job is no beginning of another, $instance neither
    for name in sorted(VALUES, key=len, reverse=True):
        expr = expr.replace(name, VALUES[name])
    if "$" in expr:
        sys.exit(f"a variable that is not known: {expr}")
    return expr


def boolean(expr):
    """Comparisons at the top of an alert become 0 or 1."""
    return re.sub(r" (>|<|==) (?!bool)", r" \1 bool ", expr)


def queries():
    for path in sorted((MIXIN / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem} / {panel['title']}", substituted(target["expr"]), panel["title"]
    for path in sorted((MIXIN / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                expr = rule["expr"] if "record" in rule else boolean(rule["expr"])
                yield f"rule {rule.get('record') or rule['alert']}", expr, rule.get("record") or rule["alert"]


def rules(base):
    """Every rule is evaluated without an error, and what fires has its annotations filled in."""
    bad, firing = [], []
    with urllib.request.urlopen(f"{base}/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    for rule in (r for g in groups for r in g["rules"]):
        if rule["health"] != "ok":
            bad.append(f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        for alert in rule.get("alerts", []):
            if alert["state"] == "firing":
                firing.append(rule["name"])
            for key, text in alert["annotations"].items():
                if "<no value>" in text or "<error" in text or "{{" in text:
                    bad.append(f"{rule['name']}: {key}: {text}")
    return bad, sorted(set(firing))


def main():
    base = sys.argv[1]
    panels, total, good, empty, bad = set(), 0, 0, [], []
    for where, expr, name in queries():
        total += 1
        if not where.startswith("rule "):
            panels.add(where)
        result, error = ask(base, expr)
        if error:
            bad.append(f"{where}: {error}: {expr}")
        elif finite(result):
            good += 1
        elif name in EMPTY:
            empty.append(f"{where}: {EMPTY[name]}")
        else:
            bad.append(f"{where}: no finite sample: {expr}")
    wrong, firing = rules(base)
    print(f"{len(panels)} panels, {total} queries, {good} with finite samples, {len(empty)} empty with a reason")
    for e in empty:
        print(f"  empty: {e}")
    print(f"alerts that fire: {' '.join(firing) or 'none'}")
    if bad or wrong:
        sys.exit("\n".join(bad + wrong))
    if not firing:
        sys.exit("no alert fires, so no annotation was looked at")


main()
