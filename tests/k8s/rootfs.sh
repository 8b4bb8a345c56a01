#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Lays out the root folder of an image of the agent: the binary, the libraries that it needs, and those that it loads
# when it needs them (libmicrohttpd for its server, libcurl for the API server of Kubernetes).
#   rootfs.sh BINARY FOLDER
set -euo pipefail

binary=$1 folder=$2
install -D -m 0755 "$binary" "$folder/usr/sbin/waveos-bpf"
strip "$folder/usr/sbin/waveos-bpf"
mkdir -p "$folder"/{etc/waveos,run/waveos,var/lib/waveos,sys/fs/bpf,tmp,proc,dev}

library() { ldconfig -p | awk -v n="$1" '$1 == n && /x86-64|AArch64/ && !found {print $NF; found = 1}'; }
needs() { ldd "$1" | awk '$2 == "=>" {print $3} $1 ~ /^\// {print $1}'; }
copy() {
	local to=$folder$1
	[ -e "$to" ] || install -D -m 0755 "$(realpath "$1")" "$to"
}
loaded=()
for so in libmicrohttpd.so.12 libcurl.so.4; do
	path=$(library $so)
	[ -n "$path" ] && loaded+=("$path")
done
for f in "$binary" "${loaded[@]}"; do
	for so in $(needs "$f"); do copy "$so"; done
done
for so in "${loaded[@]}"; do copy "$so"; done
