#!/usr/bin/env python3
"""Writes dashboards/*.json from dashboards.yaml: build.py [--check]

--check only says whether the files are what the source says (exit 1 with the names of those that are not).
"""
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "$datasource"}
HOST = 'job=~"$job",instance=~"$instance"'
CGROUP = HOST + ',cgroup=~"$cgroup",namespace=~"$namespace",pod=~"$pod"'
KINDS = {"ts": "timeseries", "stack": "timeseries", "stat": "stat", "bars": "bargauge", "table": "table"}
# not a unit that Grafana has a name for: plain numbers with a suffix
UNITS = {"cores": "suffix: CPU"}


def expand(expr):
    return expr.replace("{$s", "{" + HOST).replace("{$c", "{" + CGROUP).replace("$r)", "[$__rate_interval])")


def target(n, query, instant, table):
    t = {"datasource": SOURCE, "editorMode": "code", "expr": expand(query[0]), "legendFormat": query[1],
         "refId": chr(ord("A") + n)}
    t.update({"instant": True, "range": False} if instant else {"instant": False, "range": True})
    if table:
        t["format"] = "table"
    return t


def options_of(kind):
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                       "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
                 "reduceOptions": reduce, "textMode": "auto"},
        "bargauge": {"displayMode": "basic", "orientation": "horizontal", "reduceOptions": reduce, "showUnfilled": True},
        "table": {"cellHeight": "sm", "showHeader": True},
    }[kind]


def panel(ident, spec, at, gpu):
    title, kind, unit, text, queries = spec[:5]
    o = spec[5] if len(spec) > 5 else {}
    defaults = {"unit": UNITS.get(unit, unit), "color": {"mode": "palette-classic"},
                "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}]}, "mappings": []}
    for key in ("min", "max", "decimals"):
        if key in o:
            defaults[key] = o[key]
    if "steps" in o:
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"]["steps"] = [{"color": c, "value": v if i else None} for i, (v, c) in enumerate(o["steps"])]
    if KINDS[kind] == "timeseries":
        defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if kind == "stack" else 8,
                              "showPoints": "never", "spanNulls": False,
                              "stacking": {"mode": "normal" if kind == "stack" else "none", "group": "A"}}
    p = {"id": ident, "type": KINDS[kind], "title": title, "description": text, "datasource": SOURCE,
         "gridPos": {"x": at[0], "y": at[1], "w": o.get("w", 8), "h": o.get("h", 7)},
         "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options_of(KINDS[kind]),
         "targets": [target(i, q, o.get("instant"), kind == "table") for i, q in enumerate(queries)]}
    if kind == "table":
        p["transformations"] = [{"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}]
    if gpu:
        p["description"] += " Needs a GPU."
    return p


def place(d):
    """Rows and panels, left to right and down."""
    panels, ident, y = [], 1, 0
    for row in d["rows"]:
        panels.append({"id": ident, "type": "row", "title": row["title"], "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        ident, y, x, high = ident + 1, y + 1, 0, 0
        for spec in row["panels"]:
            o = spec[5] if len(spec) > 5 else {}
            w, h = o.get("w", 8), o.get("h", 7)
            if x + w > 24:
                x, y, high = 0, y + high, 0
            panels.append(panel(ident, spec, (x, y), d.get("gpu")))
            ident, x, high = ident + 1, x + w, max(high, h)
        y += high
    return panels


def variable(name, query, label, all_value=True):
    v = {"name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
         "query": {"query": query, "refId": name}, "definition": query, "multi": True, "includeAll": True,
         "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "hide": 0}
    if all_value:
        v["allValue"] = ".*"
    return v


def variables(d):
    of = "waveos_build_info"
    cpu = "waveos_cgroup_cpu_seconds_total{" + HOST + "}"
    result = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
               "current": {}, "options": [], "hide": 0, "multi": False, "includeAll": False},
              variable("job", f"label_values({of}, job)", "Job"),
              variable("instance", f'label_values({of}{{job=~"$job"}}, instance)', "Machine")]
    if d.get("cgroup"):
        # ".*" matches series without the label, too: machines without Kubernetes
        result += [variable("namespace", f"label_values({cpu}, namespace)", "Namespace"),
                   variable("pod", "label_values(" + cpu[:-1] + ',namespace=~"$namespace"}, pod)', "Pod"),
                   variable("cgroup", "label_values(" + cpu[:-1] + ',namespace=~"$namespace",pod=~"$pod"}, cgroup)', "Cgroup")]
    return result


def dashboard(d):
    return {"uid": d["uid"], "title": d["title"], "description": d["description"], "tags": ["waveos"],
            "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"}, "timezone": "browser", "timepicker": {},
            "templating": {"list": variables(d)}, "annotations": {"list": []},
            "links": [{"title": "WaveOS", "type": "dashboards", "tags": ["waveos"], "asDropdown": True,
                       "includeVars": True, "keepTime": True, "icon": "external link"}],
            "panels": place(d)}


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    made = set()
    for d in yaml.safe_load((HERE / "dashboards.yaml").read_text())["dashboards"]:
        path = HERE / "dashboards" / f"{d['uid']}.json"
        text = json.dumps(dashboard(d), indent=1, ensure_ascii=False) + "\n"
        made.add(path)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(str(path))
        elif not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    stale += [str(p) for p in (HERE / "dashboards").glob("*.json") if p not in made]
    if stale:
        sys.exit("not what dashboards.yaml says (run make dashboards): " + " ".join(stale))


main()
