#!/bin/bash
# Every shipped policy: no finding, valid by the published schema, and its fixtures come out as they say. A policy that is
# changed must fail them.
set -euo pipefail
: "${BIN:?}" "${TMP:=$(mktemp -d)}"
fail() { echo "FAIL: $*"; exit 1; }
folders=(policies/*/)
[ ${#folders[@]} -ge 10 ] || fail "${#folders[@]} policies"
"$BIN" policy check --no-machine "${folders[@]}" || fail "check"
"$BIN" policy test "${folders[@]}" >"$TMP/out" || fail "test: $(cat "$TMP/out")"
tail -n 1 "$TMP/out"
for folder in "${folders[@]}"; do
	ls "$folder"fixtures/*.yaml >/dev/null || fail "$folder has no fixture"
	grep -q "($(basename "$folder")/)" policies/README.md || fail "policies/README.md does not tell of $folder"
done
if /usr/bin/python3 -c 'import jsonschema, yaml' 2>/dev/null; then
	/usr/bin/python3 - "${folders[@]}" <<-'EOF' || fail "schema"
		import json, sys, yaml, jsonschema
		schema = json.load(open("docs/policy.schema.json"))
		jsonschema.Draft7Validator.check_schema(schema)
		for folder in sys.argv[1:]:
		    jsonschema.validate(yaml.safe_load(open(folder + "policy.yaml")), schema)
	EOF
fi
# another threshold, another duration, another mode: each is found
cp -r policies/retransmit-storm "$TMP/broken"
for change in 's/> 5% and/> 50% and/' 's/for: 10s/for: 11s/' 's/half_open: 60s/half_open: 61s/' 's/then: \[mode safe-network, alert\]/then: [alert]/'; do
	sed "$change" policies/retransmit-storm/policy.yaml >"$TMP/broken/policy.yaml"
	cmp -s policies/retransmit-storm/policy.yaml "$TMP/broken/policy.yaml" && fail "'$change' changes nothing"
	"$BIN" policy test "$TMP/broken" >/dev/null && fail "a policy with '$change' passes its fixtures"
done
exit 0
