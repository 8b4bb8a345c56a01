#!/usr/bin/env python3
"""Writes rules/*.yaml, rules_test.yaml and docs/runbooks/*.md from alerts.yaml: build_rules.py [--check]

RUNBOOKS: where the runbooks are served, for runbook_url (default: their place in the repository).
"""
import os
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BASE = os.environ.get("RUNBOOKS", "docs/runbooks/")


def selector(text, jobs):
    return text.replace("{J}", "{" + jobs + "}").replace("{J,", "{" + jobs + ",")


def records(source):
    jobs = source["jobs"]
    rules = [{"record": r["record"], "expr": selector(r["expr"], jobs)} for r in source["records"]]
    for sli in source["slis"]:
        rules += [{"record": f"instance:{sli['name']}:ratio_rate{w}", "expr": selector(sli["expr"], jobs).replace("W]", w + "]")}
                  for w in source["windows"]]
    return {"groups": [{"name": "waveos-records", "rules": rules}]}


def alert(a, jobs):
    return {"alert": a["name"], "expr": selector(a["expr"], jobs), "for": a["for"],
            "labels": {"severity": a["severity"]},
            "annotations": {"summary": a["summary"], "description": a["description"],
                            "runbook_url": f"{BASE}{a['name']}.md"}}


def filled(text, labels):
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda m: labels[m[1]], text)


def tests(source):
    result = {"rule_files": ["rules/waveos-records.yaml", "rules/waveos-alerts.yaml"], "evaluation_interval": "1m", "tests": []}
    for a in source["alerts"]:
        labels = {"job": "waveos", "instance": "a", **a.get("labels", {})}
        rule = alert(a, source["jobs"])
        expected = {"exp_labels": {**labels, **rule["labels"]},
                    "exp_annotations": {k: filled(v, labels) for k, v in rule["annotations"].items()}}
        # machine a is bad and machine b is well: one alert, of a
        series = []
        for kind, machine in (("fires", "a"), ("quiet", "b")):
            some = a[kind]
            if not any(s.startswith("up{") for s in some):
                some = some + ['up{job="waveos",instance="a"} 1x100']
            series += [s.replace('instance="a"', f'instance="{machine}"') for s in some]
        result["tests"].append({
            "interval": "1m", "name": a["name"],
            "alert_rule_test": [{"eval_time": a.get("at", "40m"), "alertname": a["name"], "exp_alerts": [expected]}],
            "input_series": [{"series": s.rsplit("} ", 1)[0] + "}", "values": s.rsplit("} ", 1)[1]} for s in series]})
    return result


def runbook(a, source):
    severity = a["severity"]
    commands = "\n".join(f"    {c}" for c in a["diagnose"])
    return f"""# {a['name']}

<!-- generated: edit packaging/mixin/alerts.yaml, then run make dashboards -->

{a['description'].replace('{{ $labels.', '`').replace(' }}', '`')}

| | |
| --- | --- |
| severity | {severity} |
| condition | `{selector(a['expr'], source['jobs']).replace('|', chr(92) + '|')}` |
| for | {a['for']} |

## What it means

{a['meaning']}

## Impact

{a['impact']}

## Diagnose

{commands}

## Fix

{a['fix']}

## Escalate

{a.get('escalate', source['escalate'][severity])}
"""


def index(source):
    rows = "\n".join(f"| [{a['name']}]({a['name']}.md) | {a['severity']} | {a['meaning'].split('. ')[0].rstrip('.')} |"
                     for a in source["alerts"])
    return f"""# Runbooks of alerts

<!-- generated: edit packaging/mixin/alerts.yaml, then run make dashboards -->

One page for each alert of `packaging/mixin/rules/`; its annotation `runbook_url` leads there. Severities: critical calls
somebody, warning makes a ticket, info is to be seen.

| alert | severity | meaning |
| --- | --- | --- |
{rows}
"""


def main():
    source = yaml.safe_load((HERE / "alerts.yaml").read_text())
    head = "# generated: edit alerts.yaml, then run make dashboards\n"
    text = lambda o: head + yaml.safe_dump(o, sort_keys=False, width=10000, allow_unicode=True)
    books = ROOT / "docs" / "runbooks"
    files = {HERE / "rules" / "waveos-records.yaml": text(records(source)),
             HERE / "rules" / "waveos-alerts.yaml": text({"groups": [{"name": "waveos", "rules": [
                 alert(a, source["jobs"]) for a in source["alerts"]]}]}),
             HERE / "rules_test.yaml": text(tests(source)),
             books / "alerts.md": index(source)}
    files.update({books / f"{a['name']}.md": runbook(a, source) for a in source["alerts"]})
    if sys.argv[1:] == ["--check"]:
        stale = [str(p) for p, t in files.items() if not p.exists() or p.read_text() != t]
        stale += [str(p) for p in books.glob("Waveos*.md") if p not in files]
        if stale:
            sys.exit("not what alerts.yaml says (run make dashboards): " + " ".join(stale))
        return
    books.mkdir(exist_ok=True)
    for path, t in files.items():
        path.write_text(t)


main()
