#!/bin/bash
# Dashboards, rules and runbooks are what their sources say; rules are valid, and every alert fires on what it is for and
# on nothing else.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 -c 'import yaml' 2>/dev/null || {
	echo "no python3-yaml"
	exit 77
}
python3 packaging/mixin/build.py --check
python3 packaging/mixin/build_rules.py --check
python3 tests/build/check_dashboards.py
command -v promtool >/dev/null || {
	echo "no promtool (package prometheus)"
	exit 77
}
promtool check rules packaging/mixin/rules/*.yaml
cd packaging/mixin
promtool test rules rules_test.yaml
# a threshold that is wrong has to be found
broken=$(mktemp -d)
trap 'rm -rf "$broken"' EXIT
mkdir "$broken/rules"
cp rules_test.yaml "$broken/"
cp rules/waveos-records.yaml "$broken/rules/"
sed 's/ > 0\.8$/ > 0.95/' rules/waveos-alerts.yaml >"$broken/rules/waveos-alerts.yaml"
if (cd "$broken" && promtool test rules rules_test.yaml >/dev/null 2>&1); then
	echo "the tests of rules do not notice a wrong threshold" >&2
	exit 1
fi
