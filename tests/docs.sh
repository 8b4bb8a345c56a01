#!/bin/bash
# Runs the commands in the documents: every fenced block whose first line is ```sh run (also: run exit=N).
#   tests/docs.sh [FILE...]   default: README.md and docs/*.md, docs/*/*.md that have one
# The blocks of a file run in their order, by one shell (set -eu), as root, in name spaces of their own: /etc, /root, /run,
# /tmp and /var are overlays that are thrown away, the network is a loopback alone, the BPF file system is empty. So they
# are run as they stand, default paths and ports included. Not isolated: cgroups; blocks touch none of the machine's.
# `sudo` is a shim that only executes; systemd is not there, so blocks with systemctl are not marked.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${O:=build}"
BIN=${BIN:-$PWD/$O/waveos-bpf}

if [ "${1:-}" = --inside ]; then
	# inside_file SCRIPT: in the name spaces
	scratch=$3
	mount -t tmpfs tmpfs "$scratch"
	for d in etc root run tmp var; do
		mkdir "$scratch/$d" "$scratch/$d.work"
		[ "$d" = tmp ] && continue
		mount -t overlay overlay -o "lowerdir=/$d,upperdir=$scratch/$d,workdir=$scratch/$d.work" "/$d"
	done
	rm -rf /etc/waveos /var/lib/waveos /run/waveos
	mount -t bpf bpf /sys/fs/bpf
	ip link set lo up
	mkdir "$scratch/bin"
	ln -s "$BIN" "$scratch/bin/waveos-bpf"
	# shellcheck disable=SC2016
	printf '#!/bin/sh\nwhile :; do case "${1:-}" in -*) shift ;; *=*) export "$1"; shift ;; *) break ;; esac; done\nexec "$@"\n' >"$scratch/bin/sudo"
	chmod +x "$scratch/bin/sudo"
	cp "$2" "$scratch/script"
	mkdir "$scratch/home"
	cd "$scratch/home"
	export PATH=$scratch/bin:$PATH HOME=/root TMPDIR=/tmp POLICIES
	exec timeout -k 5 "${DOCS_TIMEOUT:-90}" bash "$scratch/script"
fi

files=("$@")
if [ $# -eq 0 ]; then
	mapfile -t files < <(grep -lE '^```sh run( |$)' README.md docs/*.md docs/*/*.md || true)
fi
[ ${#files[@]} -gt 0 ] || {
	echo "no document has a block to run"
	exit 1
}
work=$(mktemp -d "${TMPDIR:-/tmp}/waveos-docs.XXXXXX")
trap 'rm -rf "$work"' EXIT
export POLICIES=$PWD/policies BIN

# script FILE: its blocks as one script, each with its place, and with the exit code that it is to have
script() {
	awk -v file="$1" '
		/^```sh run( |$)/ {
			in_block = 1; want = 0
			if (match($0, /exit=[0-9]+/)) want = substr($0, RSTART + 5, RLENGTH - 5)
			printf "echo \"-- %s:%d\" >&2\n", file, NR
			if (want) printf "set +e\n(set -e\n"
			n++; next
		}
		/^```/ && in_block {
			if (want) printf ")\n_got=$?\nset -e\n[ $_got -eq %d ] || { echo \"exit $_got, the document says %d\" >&2; exit 1; }\n", want, want
			in_block = 0; next
		}
		in_block { print }
		END { exit in_block || !n }' "$1"
}

failed=0 blocks=0
for f in "${files[@]}"; do
	grep -qE '^```sh run( |$)' "$f" || {
		printf '  none %s\n' "$f"
		continue
	}
	{
		# what a block leaves in the background ends with the file
		echo 'set -euo pipefail; trap '"'"'kill $(jobs -p) 2>/dev/null || true; wait'"'"' EXIT'
		script "$f"
	} >"$work/script" || {
		echo "FAIL $f: no block, or one without an end"
		failed=$((failed + 1))
		continue
	}
	n=$(grep -c '^echo "-- ' "$work/script")
	blocks=$((blocks + n))
	mkdir -p "$work/scratch"
	if unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$work/script" "$work/scratch" >"$work/log" 2>&1 </dev/null; then
		printf '  ok   %-40s %d blocks\n' "$f" "$n"
	else
		printf '  FAIL %-40s\n' "$f"
		tail -n 30 "$work/log" | sed 's/^/       /'
		failed=$((failed + 1))
	fi
done
echo "${#files[@]} documents, $blocks blocks, $failed failed"
[ $failed -eq 0 ]
