#!/bin/bash
# limit: 300, soak: 1500
# A release: two from the same executable are the same bytes, whatever the folder, umask, time zone and words of who made
# them; the SBOMs name every library; signatures and provenance verify, and no longer when one byte changes.
# SOAK: from two builds in two folders, and the image as well.
set -euo pipefail
cd "$(dirname "$0")/../.."
O=${O:-build}
for tool in dpkg-buildpackage dh rpmbuild minisign openssl python3 strip; do
	command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done
if nm -D "$O/waveos-bpf" | grep -q __asan; then echo "built with sanitizers"; exit 77; fi
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
export SOURCE_DATE_EPOCH=1700000000
export REVISION=0123456789012345678901234567890123456789
parts="deb rpm tar"
one=$(realpath "$O/waveos-bpf") two=$(realpath "$O/waveos-bpf") top=$PWD second=$PWD

# copy DIR: the working tree without what is built
copy() {
	mkdir -p "$1"
	git ls-files -coz --exclude-standard | xargs -0 cp --parents -t "$1"
}
if [ -n "${SOAK:-}" ]; then
	parts="deb rpm tar image"
	copy "$T/a"
	copy "$T/somewhere/else/b"
	(umask 022 && cd "$T/a" && make -j2 all) >/dev/null
	(umask 077 && cd "$T/somewhere/else/b" && TZ=Asia/Tokyo LC_ALL=C make -j2 O=out all) >/dev/null
	one=$T/a/build/waveos-bpf two=$T/somewhere/else/b/out/waveos-bpf top=$T/a second=$T/somewhere/else/b
	strip -o "$T/one" "$one"
	strip -o "$T/two" "$two"
	cmp "$T/one" "$T/two" || fail "two builds of the agent differ"
else
	# another folder and other modes of its files, without a build
	copy "$T/b"
	chmod -R go-rwx "$T/b"
	second=$T/b
fi

minisign -G -W -p "$T/sign.pub" -s "$T/sign.key" >/dev/null
openssl genpkey -algorithm ed25519 -out "$T/dsse.pem" 2>/dev/null
openssl pkey -in "$T/dsse.pem" -pubout -out "$T/dsse.pub.pem"
export MINISIGN_KEY=$T/sign.key DSSE_KEY=$T/dsse.pem
version=$(sed -n 's/^VERSION := //p' Makefile)
# the source archive is git's own of a commit that a copy does not have
export REVISION=unknown
(umask 022 && cd "$top" && PARTS=$parts packaging/release/release.sh "$version" "$one" "$T/r1") >"$T/log" 2>&1 || { cat "$T/log"; exit 1; }
(umask 077 && cd "$second" && TZ=Asia/Tokyo LC_ALL=C LANG=de_DE PARTS=$parts packaging/release/release.sh "$version" "$two" "$T/r2") \
	>"$T/log" 2>&1 || { cat "$T/log"; exit 1; }
# the signature has its own time; the sums last, as they say least
for f in "$T"/r1/waveos-bpf* "$T/r1/SHA256SUMS"; do
	cmp "$f" "$T/r2/${f##*/}" || fail "${f##*/} differs"
done
ls "$T"/r1/*.deb "$T"/r1/*.rpm "$T"/r1/*.tar.gz >/dev/null

# every package of a library that the agent is linked with is in both SBOMs
for lib in $(ldd "$one" | grep -oE '/[^ ]+\.so[^ ]*'); do
	p=$({ dpkg-query -S "$(realpath "$lib")" "${lib#/usr}" "/usr${lib#/usr}" 2>/dev/null || :; } | sed -n '1s/:.*//p')
	grep -q "\"name\": \"$p\"" "$T/r1/waveos-bpf-$version.cdx.json" || fail "CycloneDX lacks $p"
	grep -q "\"name\": \"$p\"" "$T/r1/waveos-bpf-$version.spdx.json" || fail "SPDX lacks $p"
done
# what the agent loads is in the image's list, or among what is left out
grep -rhoE '"lib[a-z0-9-]+\.so\.[0-9]+"' user --include='*.c' | tr -d '"' | sort -u | while read -r l; do
	grep -qE "^(loaded|left_out)=.*\b$l\b" packaging/oci/rootfs.sh || fail "$l is neither in the image nor left out of it"
done

packaging/release/verify.sh "$T/r1" --minisign-pub "$T/sign.pub" --dsse-pub "$T/dsse.pub.pem" >"$T/log" || { cat "$T/log"; exit 1; }
cat "$T/log"
bad() { ! packaging/release/verify.sh "$T/r2" --minisign-pub "$T/sign.pub" --dsse-pub "$T/dsse.pub.pem" >/dev/null 2>&1; }
deb=$(echo "$T"/r2/waveos-bpf_*.deb)
cp "$deb" "$T/kept"
printf x >>"$deb"
bad || fail "a package with one byte more verifies"
cp "$T/kept" "$deb"
sed -i 's/^\(.\)/0/; s/^0\(.\)/f\1/' "$T/r2/SHA256SUMS"
bad || fail "other sums verify"
cp "$T/r1/SHA256SUMS" "$T/r2/"
if bad; then fail "restored, it does not verify"; fi
jq -c '.payload |= (@base64d | sub("make release"; "make nothing") | @base64)' "$T/r2/waveos-bpf-$version.intoto.json" >"$T/x"
! packaging/release/provenance.py verify --key "$T/dsse.pub.pem" --input "$T/x" "$T/r2" >/dev/null 2>&1 || fail "another provenance verifies"
openssl genpkey -algorithm ed25519 2>/dev/null | openssl pkey -pubout -out "$T/other.pem"
! packaging/release/verify.sh "$T/r1" --dsse-pub "$T/other.pem" >/dev/null 2>&1 || fail "another's key verifies"

if command -v lintian >/dev/null; then
	lintian --fail-on error,warning "$T"/r1/waveos-bpf_*.deb >"$T/log" 2>&1 || { cat "$T/log"; fail "lintian"; }
fi
