#!/bin/sh
# Installs what building, testing and running waveos-bpf need, and nothing that is there already.
#   setup.sh          install what is missing (root, apt)
#   setup.sh --check  only say what is missing for the build; exit 1 if anything is
set -eu

build="gcc clang llvm make pkg-config bpftool libbpf-dev libelf-dev zlib1g-dev libjson-c-dev libsystemd-dev
libssl-dev libyaml-dev libmicrohttpd-dev libncurses-dev libseccomp-dev libcap-ng-dev libzstd-dev
libcurl4-openssl-dev libarchive-dev libtss2-dev zstd"
# what the tests use: compilers and checks; load and tools; firmware, logs, proxies; containers; PyTorch and
# its data loader; what watches; browser; shells
test="libcmocka-dev clang-format clang-tidy clang-tools cppcheck shellcheck libclang-rt-14-dev python3 python3-jsonschema python3-yaml spin
stress-ng iperf3 fio iproute2 procps util-linux curl jq man-db ca-certificates xz-utils cpio e2fsprogs busybox-static kmod strace tmux
swtpm swtpm-tools tpm2-tools minisign openssl nbdkit rsyslog rsyslog-gnutls haproxy
podman runc buildah debhelper dpkg-dev lintian rpm
python3-torch python3-pil
prometheus prometheus-alertmanager python3-aiosmtpd wrk
chromium fonts-dejavu-core
zsh fish"

# whoever has npm from elsewhere keeps it
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

# One package that only bookworm-backports has: the official definitions of OTLP, files only. Fetched by a list of
# sources of its own, so that the machine's sources, and what else it would install from them, stay as they are.
backport=opentelemetry-proto
fetch_backport() {
	d=$(mktemp -d)
	mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 2>/dev/null | head -n 1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} bookworm-backports main" >"$d/sources.list"
	set -- -qq -o Dir::Etc::SourceList="$d/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$d/lists" -o Dir::Cache="$d/cache" -o APT::Sandbox::User=root
	(cd "$d" && apt-get "$@" update && apt-get "$@" download "$backport" && dpkg -i "$backport"_*.deb >/dev/null)
	status=$?
	rm -rf "$d"
	# tests that need it are skipped and say so
	[ $status -eq 0 ] || echo "not installed: $backport (bookworm-backports cannot be reached)" >&2
}

# shellcheck disable=SC2086
m=$(missing $build $test)
if [ -n "$m" ]; then
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
fi
[ "$(id -u)" -ne 0 ] || [ -z "$(missing $backport)" ] || fetch_backport
