#!/bin/bash
# The first seconds of attach, as a person at a terminal has them: a pre-flight, who hurts whom, where to look, how to
# end it. Without rights: what exactly is missing, and exit 4. No colours where they are not wanted.
. "$(dirname "$0")/lib.sh"
command -v script >/dev/null || skip "script(1) is not here: there is no terminal to try it on"
mkdir -p "$ROOT"

# terminal FILE OPTIONS...: attach under a pty, everything that it shows in FILE
terminal() {
	local file=$1
	shift
	script -qefc "$(printf '%q ' env -u NOTIFY_SOCKET -u JOURNAL_STREAM "$BIN" attach --root "$ROOT" \
		--set metrics.listen=127.0.0.1:0 "$@")" /dev/null <"/dev/null" >"$file" 2>&1
}
number() { sed -n "s/$1/\\1/p" "$2" | head -n 1 | tr -d '\r'; }

# a culprit with four busy loops a CPU, and a victim that wants half of one; each a session of its own, for the scheduler
# may be fair to sessions (autogroup)
hog=$(cgroup_make "wvtest-hog-$$")
at_exit cgroup_remove "$hog"
web=$(cgroup_make "wvtest-web-$$")
at_exit cgroup_remove "$web"
for ((i = 0; i < 4 * $(nproc); i++)); do
	cgroup_run "$hog" setsid timeout 60 sh -c 'while :; do :; done' &
	disown
done
cgroup_run "$web" setsid timeout 60 python3 -c '
import time
while True:
    end = time.process_time() + 0.005
    while time.process_time() < end:
        pass
    time.sleep(0.005)' &
disown

took=() told=()
for try in 1 2 3; do
	terminal "$TMP/shown.$try" --for 3s || fail "attach ended with status $?: $(cat "$TMP/shown.$try")"
	took+=("$(number '^Pre-flight (\([0-9]*\) ms):.*' "$TMP/shown.$try")")
	told+=("$(number '^Who hurts whom.*told after \([0-9.]*\) s.*' "$TMP/shown.$try")")
	grep -qE "^  [12]\. CPU: /wvtest-hog-$$ makes .* wait: [0-9]+ of its [0-9]+ ms a second" "$TMP/shown.$try" ||
		fail "the culprit is not named: $(cat "$TMP/shown.$try")"
done
cgroup_remove "$hog"
cgroup_remove "$web"
median=$(printf '%s\n' "${took[@]}" | sort -n | sed -n 2p)
echo "pre-flight: median $median ms of ${took[*]}; first line after ${told[*]} s, with the machine overloaded"
[ "$median" -lt 400 ] || fail "the pre-flight took $median ms"
printf '%s\n' "${told[@]}" | sort -n | sed -n 2p | awk '{exit !($1 > 0.9 && $1 < 4)}' || fail "told after ${told[*]} s"

# colours and marks only where they are wanted
shown=$TMP/color
LC_ALL=C.UTF-8 TERM=xterm terminal "$shown" --for 5s
grep -q $'\033\[3' "$shown" || fail "no colours on a terminal: $(cat "$shown")"
grep -q $'\xe2\x9c\x93' "$shown" || fail "no check mark in UTF-8"
for word in kernel BTF cgroups capabilities LSM pressure bpffs; do
	grep -qE "$word " "$shown" || fail "the pre-flight does not tell of $word: $(cat "$shown")"
done
grep -q '^Page      http://127.0.0.1:' "$shown" || fail "no page: $(cat "$shown")"
grep -q '^Metrics   http://127.0.0.1:.*/metrics' "$shown" || fail "no metrics: $(cat "$shown")"
grep -q "detach --root $ROOT from anywhere" "$shown" || fail "no word on how to end it: $(cat "$shown")"

NO_COLOR=1 TERM=xterm terminal "$TMP/plain" --for 500ms
if grep -q $'\033' "$TMP/plain"; then fail "NO_COLOR is not heard: $(cat -v "$TMP/plain")"; fi
LC_ALL=C TERM=dumb terminal "$TMP/dumb" --for 500ms
if LC_ALL=C grep -q $'[\033\x80-\xff]' "$TMP/dumb"; then fail "TERM=dumb in the C locale: $(cat -v "$TMP/dumb")"; fi
grep -q '^  ok kernel' "$TMP/dumb" || fail "no plain marks: $(cat "$TMP/dumb")"

# machines get one line of their log, and standard output stays empty
"$BIN" attach --root "$ROOT" --set metrics.listen= --for 500ms >"$TMP/out" 2>"$TMP/err"
[ ! -s "$TMP/out" ] || fail "standard output: $(cat "$TMP/out")"
jq -es '[.[] | select(.message | test("^pre-flight in [0-9]+ ms: kernel ok"))] | length == 1' "$TMP/err" >/dev/null ||
	fail "no line of the pre-flight: $(cat "$TMP/err")"
if grep -q 'Who hurts' "$TMP/err"; then fail "a log is told what people are told"; fi
NOTIFY_SOCKET=/nonexistent "$BIN" attach --root "$ROOT" --set metrics.listen= --set agent.log_format=text --for 500ms \
	2>"$TMP/err" || true
if grep -q 'Who hurts' "$TMP/err"; then fail "a service manager is told what people are told"; fi

# a limit on locked memory that cannot be raised is no reason to end
(ulimit -l 16 && "$BIN" attach --root "$ROOT" --set metrics.listen= --for 500ms 2>"$TMP/err") ||
	fail "with 16 KiB of locked memory: $(cat "$TMP/err")"

# without rights
command -v setpriv >/dev/null || skip "setpriv(1) is not here: the run without rights was not tried"
# the folder of tests is not for others to look into
open=$(mktemp -d)
at_exit rm -rf "$open"
cp "$BIN" "$open/waveos-bpf" && chmod 755 "$open" "$open/waveos-bpf"
unprivileged() { setpriv --reuid nobody --regid nogroup --clear-groups "$open/waveos-bpf" attach "$@"; }
rc=0
unprivileged --set agent.log_format=text >"$TMP/out" 2>"$TMP/err" || rc=$?
[ $rc -eq 4 ] || fail "without rights: status $rc: $(cat "$TMP/err")"
for line in "missing: CAP_BPF CAP_PERFMON" "sudo $open/waveos-bpf attach" \
	"sudo setcap cap_bpf,cap_perfmon,cap_net_admin+ep $open/waveos-bpf" \
	"AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN"; do
	grep -qF -- "$line" "$TMP/err" || fail "without rights it does not say '$line': $(cat "$TMP/err")"
done
rc=0
unprivileged --set agent.log_format=json 2>"$TMP/err" || rc=$?
[ $rc -eq 4 ] || fail "without rights, JSON: status $rc"
jq -es 'any(.[]; .message | contains("AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN"))' "$TMP/err" >/dev/null ||
	fail "without rights, JSON: $(cat "$TMP/err")"

# and what it said is enough, is: the capabilities that it names, as setcap gives them
if command -v setcap >/dev/null && setcap cap_bpf,cap_perfmon,cap_net_admin+ep "$open/waveos-bpf" 2>/dev/null; then
	install -d -o nobody -m 700 "$open/own"
	unprivileged --root "$open/own" --set metrics.listen= --set agent.log_format=text --for 2s 2>"$TMP/err" ||
		fail "with the capabilities that it named: status $?: $(cat "$TMP/err")"
	grep -q 'loaded BPF programs' "$TMP/err" || fail "with the capabilities that it named: $(cat "$TMP/err")"
else
	echo "setcap is not possible here: the advice was not tried"
fi
