#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes the CRD WaveosPolicy out of docs/policy.schema.json: `make helm` writes it, a test compares.

A structural schema allows less than JSON schema: no `additionalProperties: false` beside properties, one type
only. Unknown keys are kept everywhere below spec.policy, so that the agent sees a misspelt one and says so.
"""
import json
import sys

KEEP = "x-kubernetes-preserve-unknown-fields"


def structural(node):
    out = {}
    kind = node.get("type")
    if "description" in node:
        out["description"] = node["description"]
    if isinstance(kind, list):
        rest = [t for t in kind if t != "null"]
        if len(rest) < len(kind):
            out["nullable"] = True
        kind = rest[0] if len(rest) == 1 else rest
    if "const" in node:
        kind = "integer" if isinstance(node["const"], int) else "string"
        out["enum"] = [node["const"]]
    if kind is None and "enum" in node:
        kind = "string"
    if isinstance(kind, list):
        if set(kind) == {"string", "integer"}:
            out["x-kubernetes-int-or-string"] = True
            if "pattern" in node:
                out["pattern"] = node["pattern"]
        else:
            out[KEEP] = True  # a list or one of it, a number or a text
        return out
    out["type"] = kind
    for key in ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required"):
        if key in node:
            out[key] = node[key]
    if kind == "object":
        out[KEEP] = True
        out["properties"] = {k: structural(v) for k, v in node.get("properties", {}).items()}
    if kind == "array":
        out["items"] = structural(node["items"])
    return out


CONDITION = {
    "type": "object",
    "required": ["type", "status", "reason", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string"},
        "message": {"type": "string"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}
CONDITIONS = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"], "items": CONDITION}


def crd(policy):
    policy = structural(policy)
    policy["required"] = []
    del policy["required"]
    policy["description"] = "The policy, as in a policy file. schema_version and name may be left out."
    spec = {
        "type": "object",
        "required": ["policy"],
        "properties": {
            "nodeSelector": {
                "description": "Labels that a node must have; without it, every node is meant",
                "type": "object",
                "additionalProperties": {"type": "string"},
            },
            "precedence": {
                "description": "Of several policies for a node the one with the highest counts, alone; of equals the oldest",
                "type": "integer", "format": "int32", "default": 0,
            },
            "mode": {
                "description": "monitor: decisions are recorded, nothing is done; enforce: they are acted on",
                "type": "string", "enum": ["monitor", "enforce"], "default": "monitor",
            },
            "policy": policy,
        },
    }
    status = {
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64"},
            "enforcedNodes": {"description": "Nodes where it is in force / nodes that tell of it", "type": "string"},
            "conditions": dict(CONDITIONS, description="Over all nodes that tell of it"),
            "nodes": {
                "description": "What each selected node says, by its name",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "observedGeneration": {"type": "integer", "format": "int64"},
                        "policyVersion": {"type": "string"},
                        "conditions": CONDITIONS,
                    },
                },
            },
        },
    }

    def column(name, kind, path, description, priority=0):
        return {"name": name, "type": kind, "jsonPath": path, "description": description, "priority": priority}

    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "waveospolicies.waveos.dev"},
        "spec": {
            "group": "waveos.dev",
            "scope": "Cluster",
            "names": {"plural": "waveospolicies", "singular": "waveospolicy", "kind": "WaveosPolicy",
                      "listKind": "WaveosPolicyList", "shortNames": ["wvp"]},
            "versions": [{
                "name": "v1alpha1", "served": True, "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    column("Mode", "string", ".spec.mode", "monitor or enforce"),
                    column("Precedence", "integer", ".spec.precedence", "The highest counts"),
                    column("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status', "By all nodes"),
                    column("Enforced", "string", ".status.enforcedNodes", "Nodes where it is in force"),
                    column("Reason", "string", '.status.conditions[?(@.type=="Enforced")].reason', "Why not everywhere", 1),
                    column("Age", "date", ".metadata.creationTimestamp", "Since it was made"),
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                        "spec": spec, "status": status,
                    },
                }},
            }],
        },
    }


def scalar(v):
    return json.dumps(v, ensure_ascii=False)


def emit(v, indent, out):
    pad = "  " * indent
    if isinstance(v, dict):
        for k, x in v.items():
            key = k if k.replace("-", "").replace("_", "").isalnum() else scalar(k)
            if isinstance(x, (dict, list)) and x:
                out.append(f"{pad}{key}:")
                emit(x, indent + 1, out)
            else:
                out.append(f"{pad}{key}: {scalar(x)}")
    else:
        for x in v:
            if isinstance(x, dict) and x:
                sub = []
                emit(x, indent + 1, sub)
                sub[0] = pad + "- " + sub[0].lstrip()
                out.extend(sub)
            else:
                out.append(f"{pad}- {scalar(x)}")


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        policy = json.load(f)
    for key in ("$schema", "title"):
        policy.pop(key, None)
    out = ["# Made from docs/policy.schema.json by `make helm`."]
    emit(crd(policy), 0, out)
    print("\n".join(out))


if __name__ == "__main__":
    main()
