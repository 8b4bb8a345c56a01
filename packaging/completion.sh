#!/bin/sh
# completion.sh BINARY PREFIX: installs what the agent prints for each shell, where it has that verb.
set -eu
bin=$1 prefix=$2
"$bin" completion bash >/dev/null 2>&1 || exit 0
put() {
	mkdir -p "$(dirname "$prefix/$2")"
	"$bin" completion "$1" >"$prefix/$2"
	chmod 0644 "$prefix/$2"
}
put bash share/bash-completion/completions/waveos-bpf
put zsh share/zsh/vendor-completions/_waveos-bpf
put fish share/fish/vendor_completions.d/waveos-bpf.fish
