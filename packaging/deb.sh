#!/bin/bash
# deb.sh VERSION BINARY OUT: builds the Debian package of that executable from a copy of this tree. SOURCE_DATE_EPOCH is the
# time of everything in it. Without BINARY ("") the package builds its own.
set -euo pipefail
[ $# -eq 3 ] || {
	echo "usage: deb.sh VERSION BINARY OUT" >&2
	exit 2
}
version=$1 binary=$2 out=$3
cd "$(dirname "$0")/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
# the paths, masks and words of whoever builds are not to be seen in the result
umask 022
export LC_ALL=C.UTF-8 TZ=UTC
[ -z "$binary" ] || binary=$(realpath "$binary")
mkdir -p "$out"
out=$(realpath "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/waveos-bpf-$version
mkdir "$tree"
if [ -n "$binary" ]; then
	cp -r --parents Makefile mk packaging docs/man gpu/python CHANGELOG.md "$tree"
else
	git ls-files -z | xargs -0 cp --parents -t "$tree"
fi
cp -r packaging/debian "$tree/debian"
cat >"$tree/debian/changelog" <<C
waveos-bpf ($version) unstable; urgency=medium

  * See /usr/share/doc/waveos-bpf/changelog.gz for what changed.

 -- WaveOS Maintainers <maintainers@waveos.invalid>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
C
# timestamps of a copy are the build's own
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(
	cd "$tree"
	# -d where the packages are there, but not by dpkg's own account (a container of a CI system)
	WAVEOS_BINARY=$binary dpkg-buildpackage ${binary:+-d} -b -us -uc >"$work/log" 2>&1
) || {
	tail -n 40 "$work/log" >&2
	exit 1
}
install -m 0644 "$work"/waveos-bpf_*.deb "$out/"
for f in "$work"/waveos-bpf-dbgsym_*.deb; do
	[ ! -e "$f" ] || install -m 0644 "$f" "$out/"
done
