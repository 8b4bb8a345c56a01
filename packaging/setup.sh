#!/bin/sh
# Installs what building, testing and running waveos-bpf need, and nothing that is there already.
#   setup.sh          install what is missing (root, apt)
#   setup.sh --check  only say what is missing for the build; exit 1 if anything is
set -eu

build="gcc clang llvm make pkg-config bpftool libbpf-dev libelf-dev zlib1g-dev libjson-c-dev libsystemd-dev
libssl-dev libyaml-dev libmicrohttpd-dev libncurses-dev libseccomp-dev libcap-ng-dev libzstd-dev
libcurl4-openssl-dev libarchive-dev libtss2-dev zstd"
test="libcmocka-dev clang-format clang-tidy clang-tools cppcheck shellcheck libclang-rt-14-dev python3 python3-jsonschema python3-yaml
stress-ng iperf3 fio iproute2 procps util-linux curl jq man-db ca-certificates xz-utils cpio e2fsprogs busybox-static
kmod strace tmux spin swtpm swtpm-tools tpm2-tools minisign openssl podman runc haproxy nbdkit rsyslog rsyslog-gnutls chromium fonts-dejavu-core"

# npm comes with some packages of node, beside Debian's
command -v npm >/dev/null || test="$test nodejs npm"

missing() {
	for p in "$@"; do
		dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || printf '%s ' "$p"
	done
}

case "${1:-}" in
--check)
	# shellcheck disable=SC2086 # lists of words on purpose
	m=$(missing $build)
	[ -z "$m" ] && exit 0
	echo "missing packages: $m" >&2
	echo "run: make setup    (or: apt-get install $m)" >&2
	exit 1
	;;
"") ;;
*)
	echo "usage: setup.sh [--check]" >&2
	exit 2
	;;
esac

# shellcheck disable=SC2086
m=$(missing $build $test)
[ -z "$m" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages: $m" >&2
	echo "run as root: apt-get install --no-install-recommends $m" >&2
	exit 1
fi
echo "installing: $m"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $m >/dev/null
