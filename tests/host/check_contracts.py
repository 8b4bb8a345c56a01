#!/usr/bin/env python3
"""Holds artifacts against docs/schemas.

check_contracts.py artifact SCHEMA FILE...   JSON artifacts against a schema (by the name of its file)
check_contracts.py events FILE               a log: every line, and no member that is not documented
check_contracts.py metrics FILE              metrics.csv against its table schema
check_contracts.py planted RUN               damages each artifact of a run in memory: every schema must reject it
"""
import copy
import csv
import json
import os
import sys

import jsonschema

SCHEMAS = os.path.join(os.path.dirname(__file__), "../../docs/schemas")


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def schema(name):
    s = load(os.path.join(SCHEMAS, name))
    jsonschema.Draft202012Validator.check_schema(s)
    return s


def errors(s, value):
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in
            jsonschema.Draft202012Validator(s).iter_errors(value)]


def undocumented(s, value, where=""):
    """Members that the schema does not name."""
    found = []
    props = s.get("properties")
    if isinstance(value, dict) and props:
        for key, v in value.items():
            if key in props:
                found += undocumented(props[key], v, f"{where}/{key}")
            else:
                found.append(f"{where}/{key}")
    if isinstance(value, list) and "items" in s:
        for v in value:
            found += undocumented(s["items"], v, f"{where}[]")
    return found


def rule_of(s, kind):
    for rule in s["allOf"]:
        if rule["if"]["properties"]["type"]["const"] == kind:
            return rule["then"]
    return {}


def event_errors(s, event):
    bad = errors(s, event)
    if not rule_of(s, event.get("type")):
        bad.append(f"type '{event.get('type')}' is not documented")
    known = set(s["properties"]) | set(rule_of(s, event.get("type")).get("properties", {}))
    return bad + [f"{event.get('type')}: member '{k}' is not documented" for k in event if k not in known]


def events(path):
    s = schema("event.schema.json")
    bad, n = [], 0
    with open(path, encoding="utf-8") as f:
        for line in f:
            n += 1
            bad += [f"line {n}: {e}" for e in event_errors(s, json.loads(line))]
    return bad if n else ["no records"]


def metrics_errors(s, rows):
    names = [f["name"] for f in s["fields"]]
    if not rows or rows[0] != names:
        return [f"header: {rows[0] if rows else None}"]
    bad = []
    for i, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            bad.append(f"line {i}: {len(row)} fields")
            continue
        for field, value in zip(s["fields"], row):
            if field["type"] == "integer" and not (value.isdigit() and int(value) < 2**64):
                bad.append(f"line {i}: {field['name']}: {value!r}")
            if not value:
                bad.append(f"line {i}: {field['name']} is empty")
    return bad


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as f:
        return list(csv.reader(f, strict=True))


def artifact(name, paths):
    s, bad = schema(name), []
    for path in paths:
        value = load(path)
        bad += [f"{path}: {e}" for e in errors(s, value)]
        bad += [f"{path}: member {m} is not documented" for m in undocumented(s, value)]
    return bad


def damages(value, s):
    """Copies of value, each wrong in one way: every required member missing, every typed one of another type."""
    for key in s.get("required", []):
        other = copy.deepcopy(value)
        del other[key]
        yield f"without {key}", other
    for key, p in s.get("properties", {}).items():
        if key not in value or "type" not in p and "enum" not in p and "pattern" not in p:
            continue
        other = copy.deepcopy(value)
        types = p.get("type", "string")
        types = types if isinstance(types, list) else [types]
        other[key] = {"wrong": 1} if "object" not in types else ["wrong"]
        yield f"{key} of another type", other
        if p.get("type") == "object" and isinstance(value[key], dict):
            for what, inner in damages(value[key], p):
                other = copy.deepcopy(value)
                other[key] = inner
                yield f"{key}: {what}", other
    if "schema_version" in value:
        other = copy.deepcopy(value)
        other["schema_version"] = 99
        yield "schema_version 99", other


def planted(run):
    bad, tried = [], 0
    for name, file in (("run_meta.schema.json", "run_meta.json"), ("explainability.schema.json", "explainability.json")):
        s, value = schema(name), load(os.path.join(run, file))
        for what, wrong in damages(value, s):
            tried += 1
            if not errors(s, wrong):
                bad.append(f"{file} {what} passes its schema")
    s = schema("event.schema.json")
    seen = set()
    with open(os.path.join(run, "events.jsonl"), encoding="utf-8") as f:
        for line in f:
            e = json.loads(line)
            if e["type"] in seen:
                continue
            seen.add(e["type"])
            own = rule_of(s, e["type"])
            both = {"properties": {**s["properties"], **own.get("properties", {})},
                    "required": s["required"] + own.get("required", [])}
            for what, wrong in damages(e, both):
                tried += 1
                if not event_errors(s, wrong):
                    bad.append(f"{e['type']} {what} passes the schema")
            if not event_errors(s, {**e, "type": "no-such-type"}):
                bad.append("an unknown type passes")
            if not event_errors(s, {**e, "stranger": 1}):
                bad.append("an undocumented member passes")
    t, rows = schema_table(), read_csv(os.path.join(run, "metrics.csv"))
    for what, wrong in (("a column less", [r[:-1] for r in rows]), ("a text for a number", rows[:1] + [["x"] * len(rows[0])]),
                        ("a renamed column", [["other"] + rows[0][1:]] + rows[1:]), ("a negative number", rows[:1] + [["-1"] * len(rows[0])])):
        tried += 1
        if not metrics_errors(t, wrong):
            bad.append(f"metrics.csv with {what} passes")
    return bad if tried > 30 else bad + [f"only {tried} were tried"]


def schema_table():
    return load(os.path.join(SCHEMAS, "metrics.table-schema.json"))


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    bad = {"artifact": lambda: artifact(args[0], args[1:]), "events": lambda: events(args[0]),
           "metrics": lambda: metrics_errors(schema_table(), read_csv(args[0])),
           "planted": lambda: planted(args[0])}[verb]()
    for line in bad[:20]:
        print(line)
    sys.exit(1 if bad else 0)


main()
