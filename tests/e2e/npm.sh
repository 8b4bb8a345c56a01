# shellcheck shell=bash
# npm_here: makes $MODULES, the npm packages of tests/e2e/package-lock.json, once for all e2e tests. Source it after lib.sh.
npm_here() {
	local from here kept
	from=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
	here=$(dirname "$BIN")/e2e
	command -v npm >/dev/null || skip "npm is not here (packaging/setup.sh installs it)"
	mkdir -p "$here"
	exec {kept}>"$here/lock"
	flock "$kept"
	if ! cmp -s "$from/package-lock.json" "$here/installed"; then
		cp "$from/package.json" "$from/package-lock.json" "$here/"
		timeout 120 npm ci --prefix "$here" --ignore-scripts --no-audit --no-fund >"$TMP/npm.log" 2>&1 ||
			skip "npm cannot get the packages of tests/e2e: $(grep -m 1 'npm error\|ERR' "$TMP/npm.log")"
		cp "$from/package-lock.json" "$here/installed"
	fi
	exec {kept}>&-
	MODULES=$here/node_modules
	export MODULES
}
