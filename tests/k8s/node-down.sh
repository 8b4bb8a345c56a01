#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Ends the node of node-up.sh and removes what it left: processes with their namespaces, cgroups, the folder.
#   tests/k8s/node-down.sh FOLDER [--keep-logs]
set -uo pipefail

folder=$(realpath -m "${1:?folder}")
[ -e "$folder/unshare.pid" ] || exit 0
for f in init.pid unshare.pid; do
	[ -s "$folder/$f" ] && kill -KILL "$(cat "$folder/$f")" 2>/dev/null
done
name=waveos-k8s-$(basename "$folder")
left() { find /sys/fs/cgroup -mindepth 2 -type d -path "*/$name*" 2>/dev/null; }
for _ in $(seq 100); do
	left | sort -r | while read -r d; do rmdir "$d" 2>/dev/null; done
	[ -z "$(left)" ] && break
	sleep 0.1
done
if [ -n "$(left)" ]; then
	echo "node-down: cgroups are left:" >&2
	left >&2
	exit 1
fi
if [ "${2:-}" = --keep-logs ]; then
	find "$folder" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
else
	rm -rf "$folder"
fi
