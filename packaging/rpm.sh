#!/bin/bash
# rpm.sh VERSION BINARY OUT: builds the RPM package of that executable. SOURCE_DATE_EPOCH is the time of everything in it.
set -euo pipefail
[ $# -eq 3 ] || {
	echo "usage: rpm.sh VERSION BINARY OUT" >&2
	exit 2
}
version=$1 binary=$(realpath "$2") out=$3
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
umask 022
export LC_ALL=C.UTF-8 TZ=UTC
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# a hyphen is not of a version here, and a tilde sorts before a release as semver has it
rpmbuild -bb --define "_topdir $work" --define "_rpmdir $work/out" --define "_tmppath $work" \
	--define "waveos_version ${version/-/~}" --define "waveos_binary $binary" --define "waveos_tree $PWD" \
	--define "_source_payload w9.gzdio" --define "_binary_payload w19.zstdio" --define "_dbpath $work/db" \
	packaging/rpm/waveos-bpf.spec >"$work/log" 2>&1 || {
	tail -n 40 "$work/log" >&2
	exit 1
}
install -m 0644 "$work"/out/*/*.rpm "$out/"
