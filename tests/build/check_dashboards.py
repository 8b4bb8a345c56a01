#!/usr/bin/env python3
"""What every dashboard has to have: a stable uid, variables, no hard-coded data source, a unit and a description on each
panel, $__rate_interval in each rate, a panel that shows loss; and every alert a runbook that is there."""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MIXIN = ROOT / "packaging" / "mixin"
LOSS = re.compile(r"_(dropped|failures|lost|left)_?|result=\"failed\"")
UIDS = {"waveos-overview", "waveos-cgroup", "waveos-policy", "waveos-gpu", "waveos-agent"}
bad = []


def metrics():
    names = set(re.findall(r"`waveos_(\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    return {"waveos_" + n for n in names}


def check(path, known):
    d = json.loads(path.read_text())
    names = [v["name"] for v in d["templating"]["list"]]
    if d["uid"] != path.stem or d["uid"] not in UIDS:
        bad.append(f"{path.name}: uid {d['uid']}")
    if names[:3] != ["datasource", "job", "instance"]:
        bad.append(f"{path.name}: variables {names}")
    seen, exprs = set(), []
    for p in d["panels"]:
        if p["id"] in seen:
            bad.append(f"{path.name}: id {p['id']} twice")
        seen.add(p["id"])
        if p["type"] == "row":
            continue
        where = f"{path.name} / {p['title']}"
        if not p.get("description") or not p["fieldConfig"]["defaults"].get("unit"):
            bad.append(f"{where}: no unit or no description")
        if p["datasource"]["uid"] != "$datasource":
            bad.append(f"{where}: data source {p['datasource']}")
        if p["gridPos"]["x"] + p["gridPos"]["w"] > 24:
            bad.append(f"{where}: beyond the right edge")
        for t in p["targets"]:
            exprs.append(t["expr"])
            if "$instance" not in t["expr"]:
                bad.append(f"{where}: does not heed $instance: {t['expr']}")
            if re.search(r"\b(rate|irate)\([^()]*\[(?!\$__rate_interval)", t["expr"]):
                bad.append(f"{where}: a fixed range: {t['expr']}")
            for name in re.findall(r"\bwaveos_\w+", t["expr"]):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                if not name.startswith("waveos_gpu_") and name not in known and base not in known:
                    bad.append(f"{where}: {name} is not in docs/metrics.md")
    if not any(LOSS.search(e) for e in exprs):
        bad.append(f"{path.name}: no panel shows loss")


def main():
    known = metrics()
    paths = sorted((MIXIN / "dashboards").glob("*.json"))
    for path in paths:
        check(path, known)
    if {p.stem for p in paths} != UIDS:
        bad.append(f"dashboards: {[p.stem for p in paths]}")
    groups = yaml.safe_load((MIXIN / "rules" / "waveos-alerts.yaml").read_text())["groups"]
    for rule in (r for g in groups for r in g["rules"]):
        url = rule["annotations"].get("runbook_url", "")
        if not (ROOT / "docs" / "runbooks" / url.rsplit("/", 1)[-1]).is_file():
            bad.append(f"{rule['alert']}: no runbook {url}")
        if rule["labels"].get("severity") not in ("critical", "warning", "info") or not rule["annotations"].get("summary"):
            bad.append(f"{rule['alert']}: severity or summary")
    if bad:
        sys.exit("\n".join(bad))


main()
