#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Copies dashboards and rules of the mixin into the chart's folder, which Helm cannot reach beyond. Without a mixin
# the chart has neither.
#   files.sh MIXIN FILES
set -euo pipefail

mixin=$1 files=$2
mkdir -p "$files/dashboards"
rm -f "$files"/dashboards/*.json "$files/rules.yaml"
for d in "$mixin"/dashboards/*.json; do
	[ -e "$d" ] && cp "$d" "$files/dashboards/"
done
# recording rules and alerts are the groups of one PrometheusRule
rules=()
for r in "$mixin"/rules/*.y*ml; do
	[ -e "$r" ] && rules+=("$r")
done
if [ ${#rules[@]} -gt 0 ]; then
	{
		echo "groups:"
		for r in "${rules[@]}"; do sed -e '/^groups:/d' -e '/^#/d' -e '/^---/d' "$r"; done
	} >"$files/rules.yaml"
fi
