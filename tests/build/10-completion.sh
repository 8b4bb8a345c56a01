#!/bin/bash
# The completion scripts really complete, in bash, zsh and fish: verbs, subverbs, options, settings, files.
set -euo pipefail
: "${BIN:?}"
TMP=${TMP:-$(mktemp -d)}
server=wvtest-completion-$$
trap 'tmux -L "$server" kill-server 2>/dev/null || true' EXIT
fail() {
	echo "FAIL: $*"
	exit 1
}
for shell in bash zsh fish; do
	"$BIN" completion $shell >"$TMP/waveos-bpf.$shell" || fail "completion $shell: exit $?"
done
touch "$TMP/some-file.yaml"
mkdir -p "$TMP/some-folder"
rc=0
"$BIN" completion tcsh 2>/dev/null || rc=$?
[ $rc -eq 2 ] || fail "an unknown shell: status $rc"

# bash: what its completion would offer for these words
offers() {
	bash -c '
		source "$1"
		complete -p waveos-bpf >/dev/null || exit 3
		shift
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=$((${#COMP_LINE}))
		_waveos_bpf
		printf "%s\n" "${COMPREPLY[@]}"' bash "$TMP/waveos-bpf.bash" waveos-bpf "$@"
}
expect() { # EXPECTED WORDS...
	local want=$1 got
	shift
	got=$(offers "$@" | sort | tr '\n' ' ')
	[ "$got" = "$want" ] || fail "bash, '$*': offers '$got', not '$want'"
}
expect 'evidence ' evi
expect 'init pin rotate show update ' bundle root ''
expect '--set --settings ' attach --set
expect 'agent.log_format= agent.log_level= ' attach --set agent.log
expect "$TMP/some-file.yaml $TMP/some-folder " attach --config "$TMP/some"
expect "$TMP/some-folder " status --root "$TMP/some"
expect 'bash fish zsh ' completion ''
expect '--help --json --root ' status -
# every verb, subverb and option that there is, and no more
while read -r verb; do
	read -ra words <<<"$verb"
	last=${words[-1]}
	offers "${words[@]:0:${#words[@]}-1}" "$last" | grep -xF -- "$last" >/dev/null || fail "bash does not offer '$verb'"
	"$BIN" "${words[@]}" --help | grep -oE '^  (-.,|   ) --[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+' | sort -u >"$TMP/want" || true
	[ ! -s "$TMP/want" ] || offers "${words[@]}" - | sort -u | diff "$TMP/want" - || fail "options of '$verb'"
done < <("$BIN" modules --verbs)

if command -v fish >/dev/null; then
	fish_offers() { HOME=$TMP fish --no-config -c "source $TMP/waveos-bpf.fish; complete -C '$1'" | cut -f 1 | sort | tr '\n' ' '; }
	for case in 'waveos-bpf evi=evidence ' 'waveos-bpf bundle root =init pin rotate show update ' \
		'waveos-bpf attach --set agent.log=agent.log_format= agent.log_level= '; do
		got=$(fish_offers "${case%%=*}")
		[ "$got" = "${case#*=}" ] || fail "fish, '${case%%=*}': offers '$got'"
	done
else
	echo "fish is not here"
fi

# zsh completes in its line editor only: in a terminal
if command -v zsh >/dev/null && command -v tmux >/dev/null; then
	t=(tmux -L "$server" -f /dev/null)
	shows() {
		local deadline=$((SECONDS + 10))
		until "${t[@]}" capture-pane -p | grep -qF -- "$1"; do
			[ $SECONDS -lt $deadline ] || fail "zsh does not show '$1': $("${t[@]}" capture-pane -p)"
			read -rt 0.05 <> <(:) || true
		done
	}
	HOME=$TMP "${t[@]}" new-session -d -x 160 -y 40 "zsh -f"
	"${t[@]}" send-keys "PS1='ready> '; autoload -U compinit; compinit -u -D; source $TMP/waveos-bpf.zsh; clear" Enter
	shows 'ready> '
	"${t[@]}" send-keys 'waveos-bpf evid' Tab
	shows 'ready> waveos-bpf evidence'
	"${t[@]}" send-keys C-u 'waveos-bpf bundle root rot' Tab
	shows 'waveos-bpf bundle root rotate'
	"${t[@]}" send-keys C-u 'waveos-bpf attach --set metrics.max' Tab
	shows 'waveos-bpf attach --set metrics.max_series='
	"${t[@]}" send-keys C-u 'waveos-bpf attach --dry' Tab
	shows 'waveos-bpf attach --dry-run'
else
	echo "zsh or tmux is not here"
fi
