#!/bin/bash
# release.sh VERSION BINARY OUT: all that a release consists of, from one executable. Its settings are variables:
#   SOURCE_DATE_EPOCH   time in everything (default: of the last commit)   REVISION  commit (default: HEAD)
#   MINISIGN_KEY        signs SHA256SUMS (minisign -G)                     DSSE_KEY  signs the provenance (Ed25519, PEM)
#   COSIGN_KEY          signs the image archive, where cosign is           PARTS     of: deb rpm tar image (default all)
#   SOURCE_URI, BUILDER_ID   what the provenance says of where it was built
# Without keys nothing is signed, and it says so.
set -euo pipefail
[ $# -eq 3 ] || {
	echo "usage: release.sh VERSION BINARY OUT" >&2
	exit 2
}
version=$1 binary=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")
here=$(cd "$(dirname "$0")/.." && pwd)
cd "$here/.."
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}" "${REVISION:=$(git rev-parse HEAD 2>/dev/null || echo unknown)}"
: "${PARTS:=deb rpm tar image}" "${SOURCE_URI:=git+https://waveos.invalid/waveos-bpf}" "${BUILDER_ID:=https://waveos.invalid/builder/local}"
export SOURCE_DATE_EPOCH
umask 022
export LC_ALL=C.UTF-8 TZ=UTC
arch=$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# the same bytes in every package
strip -o "$work/waveos-bpf" "$binary"
strip --strip-unneeded -o "$work/libwaveos_cupti.so" "$(dirname "$binary")/libwaveos_cupti.so"
part() { case " $PARTS " in *" $1 "*) return 0 ;; *) return 1 ;; esac }

# pack TAR DIR: sorted, of nobody, at one time
pack() {
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar -cf - -C "$2" . |
		gzip -9n >"$1"
}
if part tar; then
	make --no-print-directory -s install-files DESTDIR="$work/tree" BINARY="$work/waveos-bpf" SYSTEMD_UNITS=/usr/lib/systemd/system
	# not with the modes of whoever checked them out
	install -m 0644 LICENSE CHANGELOG.md "$work/tree/"
	pack "$out/waveos-bpf-$version-linux-$arch.tar.gz" "$work/tree"
	if [ "$REVISION" != unknown ]; then
		git archive --format=tar --prefix="waveos-bpf-$version/" "$REVISION" | gzip -9n >"$out/waveos-bpf-$version-source.tar.gz"
	fi
fi
! part deb || "$here/deb.sh" "$version" "$binary" "$out"
! part rpm || "$here/rpm.sh" "$version" "$binary" "$out"
if part image; then
	"$here/oci/rootfs.sh" "$binary" "$work/rootfs"
	"$here/oci/image.py" --rootfs "$work/rootfs" --output "$out/waveos-bpf-$version.oci.tar" --version "$version" \
		--revision "$REVISION" >"$out/image.json"
fi
loaded=$(sed -n 's/^loaded="\(.*\)"/\1/p' "$here/oci/rootfs.sh")
# shellcheck disable=SC2046,SC2086 # words on purpose
"$here/release/sbom.py" --binary "$work/waveos-bpf" --version "$version" --output "$out/waveos-bpf-$version" \
	$(printf -- '--loaded %s ' $loaded)

cd "$out"
# shellcheck disable=SC2046
"$here/release/provenance.py" make --version "$version" --revision "$REVISION" --source "$SOURCE_URI" \
	--builder "$BUILDER_ID" ${DSSE_KEY:+--key "$DSSE_KEY"} --output "waveos-bpf-$version.intoto.json" \
	$(find . -maxdepth 1 -type f \( -name '*.deb' -o -name '*.rpm' -o -name '*.tar' -o -name '*.tar.gz' -o -name '*.cdx.json' \
		-o -name '*.spdx.json' \) -printf '%f\n' | LC_ALL=C sort)
rm -f SHA256SUMS SHA256SUMS.minisig
find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' ! -name '*.sig' -printf '%f\n' | LC_ALL=C sort | xargs sha256sum >"$work/sums"
mv "$work/sums" SHA256SUMS
if [ -n "${MINISIGN_KEY:-}" ]; then
	minisign -S -s "$MINISIGN_KEY" -m SHA256SUMS -t "waveos-bpf $version" -x SHA256SUMS.minisig </dev/null >/dev/null
fi
if [ -n "${COSIGN_KEY:-}" ] && part image; then
	command -v cosign >/dev/null || { echo "no cosign here" >&2; exit 3; }
	cosign sign-blob --yes --tlog-upload=false --key "$COSIGN_KEY" --output-signature "waveos-bpf-$version.oci.tar.sig" \
		"waveos-bpf-$version.oci.tar"
fi
[ -n "${MINISIGN_KEY:-}" ] || echo "SHA256SUMS is not signed: no MINISIGN_KEY"
[ -n "${DSSE_KEY:-}" ] || echo "the provenance is not signed: no DSSE_KEY"
ls -l "$out"
