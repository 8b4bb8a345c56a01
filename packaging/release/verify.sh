#!/bin/bash
# verify.sh DIR [--minisign-pub FILE] [--dsse-pub FILE] [--cosign-pub FILE]: checks a release that was downloaded into DIR:
# the signature of SHA256SUMS, every file by it, the signed provenance, the signature of the image. What is asked for and
# is not there is an error. The commands are those of docs/release.md, which can be run by hand as well.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || {
	echo "usage: verify.sh DIR [--minisign-pub FILE] [--dsse-pub FILE] [--cosign-pub FILE]" >&2
	exit 2
}
dir=$1 minisign='' dsse='' cosign=''
shift
while [ $# -gt 0 ]; do
	case $1 in
	--minisign-pub) minisign=$(realpath "$2") ;;
	--dsse-pub) dsse=$(realpath "$2") ;;
	--cosign-pub) cosign=$(realpath "$2") ;;
	*)
		echo "verify.sh: unknown option $1" >&2
		exit 2
		;;
	esac
	shift 2
done
cd "$dir"
[ -z "$minisign" ] || minisign -V -q -p "$minisign" -m SHA256SUMS -x SHA256SUMS.minisig
sha256sum --check --strict --quiet SHA256SUMS
if [ -n "$dsse" ]; then
	for f in *.intoto.json; do "$here/provenance.py" verify --key "$dsse" --input "$f" .; done
fi
if [ -n "$cosign" ]; then
	for f in *.oci.tar; do
		cosign verify-blob --insecure-ignore-tlog --key "$cosign" --signature "$f.sig" "$f"
	done
fi
[ -n "$minisign" ] || echo "only sums were compared: without --minisign-pub nothing says whose they are"
echo "$(wc -l <SHA256SUMS) files are as released"
