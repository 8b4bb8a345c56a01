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
# a page for every verb, and none of a verb that is gone
mapfile -t verbs < <("$BIN" modules --verbs | grep -v ' ')
for verb in "${verbs[@]}"; do
	page=docs/man/waveos-bpf-$verb.8
	[ -e "$page" ] && "$BIN" modules --man-verb "$verb" | diff -u "$page" - >/dev/null && continue
	echo "$page is out of date: make docs"
	status=1
done
[ "$(find docs/man -name 'waveos-bpf-*.8' | wc -l)" -eq ${#verbs[@]} ] || {
	echo "docs/man has pages of verbs that there are not: make docs"
	status=1
}
# what man(1) has to say of them
if command -v man >/dev/null; then
	for page in docs/man/*; do
		said=$(man --warnings -l "$page" 2>&1 >/dev/null)
		[ -z "$said" ] || {
			echo "$page: $said"
			status=1
		}
	done
fi
# each verb that shows something has it in JSON, and each has help with usage and an example
while read -r verb; do
	read -ra words <<<"$verb"
	help=$("$BIN" "${words[@]}" --help) || {
		echo "$verb --help: exit $?"
		status=1
	}
	for part in '^usage: waveos-bpf' '^Examples:' 'waveos-bpf '; do
		grep -q -- "$part" <<<"$help" || {
			echo "$verb --help lacks '$part'"
			status=1
		}
	done
done < <("$BIN" modules --verbs)
exit $status
