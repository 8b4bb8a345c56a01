#!/bin/bash
# Documents that are generated from the tables are current: `make docs` would change nothing.
set -euo pipefail
: "${BIN:?}"
status=0
while read -r file option; do
	[ -e "$file" ] && "$BIN" modules --"$option" | diff -u "$file" - >/dev/null && continue
	echo "$file is out of date: make docs"
	status=1
done < <(grep -oE '^docs_[a-z-]+ := .*' mk/docs.mk | sed 's/^docs_\([a-z-]*\) := \(.*\)/\2 \1/')
exit $status
