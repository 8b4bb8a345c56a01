#!/bin/bash
# profile.json is what docs/gpu-profile.schema.json says, with a device and without one; energy of a meter that tells 300 W
# is 300 W, and a step's is that over its length. The device is none (tests/gpu/fake).
# limit: 90
. "$(dirname "$0")/lib.sh"
build=$(dirname "$BIN")
[ -x "$build/gpu/fake_train" ] || skip "make gpu-fakes was not run"
python=/usr/bin/python3
"$python" -c 'import jsonschema' 2>/dev/null || skip "python3-jsonschema is not installed"
schema=$(realpath "$(dirname "$0")/../../docs/gpu-profile.schema.json")
export WAVEOS_NVML_LIBRARY=$build/gpu/fake/libnvidia-ml.so.1
cd "$TMP" || exit 1

"$BIN" gpu profile -o device -- "$build/gpu/fake_train" --steps 200 --kernel-us 10000 --gap-us 20000 --tell >/dev/null 2>err || fail "$(cat err)"
WAVEOS_NVML_LIBRARY=/no/such "$BIN" gpu profile -o none -- sh -c 'exit 0' 2>err || fail "$(cat err)"
"$python" - "$schema" <<'PY' || fail "schema: $(head -c 2000 device/profile.json)"
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
device, none = (json.load(open(f"{d}/profile.json")) for d in ("device", "none"))
for p in device, none:
    jsonschema.validate(p, schema)
assert not none["devices"] and len(device["devices"]) == 1, device["devices"]
# the schema is no sieve: what is not in it is found
for change in ({"bottleneck": "weather"}, {"more": 1}, {"begin_ns": -1}):
    try:
        jsonschema.validate({**device, **change}, schema)
    except jsonschema.ValidationError:
        continue
    sys.exit(f"{change} is valid")
d, t = device["devices"][0], device["training"]
assert t["count"] >= 190, t["count"]
e = d["energy"]
assert e and e["ns"] > 2e9, e
# times of the counter are of the turn in which it was seen to move: 0.2 s at both ends
assert abs(e["mean_watts"] - 300) < 300 * 0.4e9 / e["ns"], e
assert abs(e["step_mj"] - e["mean_watts"] * t["total_ns"] / t["count"] / 1e6) < 1e-6 * e["step_mj"], e
PY
exit 0
