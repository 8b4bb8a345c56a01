#!/bin/bash
# rootfs.sh BINARY DIR: the tree of the container image: the agent, the shared libraries that it needs, and no shell.
# Libraries, their licenses and the lines of dpkg's data base about them (for scanners) come from this Debian machine.
set -euo pipefail
[ $# -eq 2 ] || {
	echo "usage: rootfs.sh BINARY DIR" >&2
	exit 2
}
bin=$1 root=$2
here=$(cd "$(dirname "$0")" && pwd)
triplet=$(gcc -print-multiarch)
umask 022

# what the agent loads when it needs it: in the image, or not and why (docs/packaging.md)
loaded="libmicrohttpd.so.12 libgnutls.so.30 libcurl.so.4"
# shellcheck disable=SC2034 # read by tests/build/11-release.sh
left_out="libarchive.so.13 libnvidia-ml.so.1 libtss2-tctildr.so.0 libtss2-mu.so.0 libtss2-esys.so.0"

library() {
	local p
	for p in "/usr/lib/$triplet/$1" "/lib/$triplet/$1"; do
		[ ! -e "$p" ] || { echo "$p"; return 0; }
	done
	echo "no $1 on this machine: make setup" >&2
	return 1
}

# package FILE: the Debian package that owns it. Its path may be known with or without /usr.
package() {
	{ dpkg-query -S "$1" "/usr$1" "${1#/usr}" 2>/dev/null || true; } | sed -n '1s/: .*//p'
}

rm -rf "$root"
mkdir -p "$root"/usr/{sbin,lib/"$triplet",lib/ssl,lib64,share/doc,share/terminfo} \
	"$root"/{dev,proc,sys,run,tmp,var/lib/waveos,var/lib/dpkg/status.d,etc/ssl/certs,etc/waveos}
chmod 1777 "$root/tmp"
chmod 0750 "$root/var/lib/waveos"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
ln -s usr/sbin "$root/sbin"

strip -o "$root/usr/sbin/waveos-bpf" "$bin"
chmod 0755 "$root/usr/sbin/waveos-bpf"

files=$(mktemp)
packages=$(mktemp)
trap 'rm -f "$files" "$packages"' EXIT
{
	ldd "$bin"
	for l in $loaded; do
		p=$(library "$l")
		echo "$p"
		ldd "$p"
	done
} | grep -oE '/[^ ]+\.so[^ ]*' | sort -u >"$files"
while read -r f; do
	case $f in
	*/ld-linux*) to=$root/usr/lib64 ;;
	*) to=$root/usr/lib/$triplet ;;
	esac
	# by the name by which it is loaded: no links to versions
	install -m 0755 "$(readlink -f "$f")" "$to/$(basename "$f")"
	package "$(readlink -f "$f")"
done <"$files" | sort -u >"$packages"

install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
install -m 0644 /etc/ssl/openssl.cnf "$root/etc/ssl/"
ln -s ../../../etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s ../../../etc/ssl/openssl.cnf "$root/usr/lib/ssl/openssl.cnf"
for t in xterm xterm-256color linux screen screen-256color tmux-256color vt100; do
	for d in /usr/share/terminfo /lib/terminfo /etc/terminfo; do
		[ ! -e "$d/${t:0:1}/$t" ] || install -D -m 0644 "$d/${t:0:1}/$t" "$root/usr/share/terminfo/${t:0:1}/$t"
	done
done
printf 'root:x:0:0::/:/usr/sbin/nologin\nwaveos-spool:x:990:990::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n' \
	>"$root/etc/passwd"
printf 'root:x:0:\nwaveos:x:989:\nwaveos-spool:x:990:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
install -m 0644 /usr/lib/os-release "$root/etc/os-release"
install -D -m 0644 "$here/../../LICENSE" "$root/usr/share/doc/waveos-bpf/LICENSE"

echo "ca-certificates" >>"$packages"
while read -r p; do
	name=${p%%:*}
	dpkg-query -s "$p" >"$root/var/lib/dpkg/status.d/$name"
	install -D -m 0644 "$(readlink -f "/usr/share/doc/$name/copyright")" "$root/usr/share/doc/$name/copyright"
done <"$packages"
