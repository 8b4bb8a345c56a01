# The agent on this kernel: everything that it has loads, figures come, SIGKILL leaves it counting, a new
# agent adopts, and no program is near the verifier's limit.
# limit: 120
. /payload/case.sh

root=$CASE_DIR/root
mkdir -p "$root"
top() { "$BIN" top --once --json --root "$root"; }
status() { "$BIN" status --json --root "$root"; }
# number NAME FILE: the first number after "NAME": in a line of JSON
number() { grep -o "\"$1\":[0-9]*" "$2" | head -n 1 | cut -d: -f2; }

"$BIN" doctor --root "$root" >"$CASE_DIR/doctor" || fail "doctor"
"$BIN" attach --root "$root" --set metrics.listen= --set agent.log_format=text 2>"$CASE_DIR/log" &
agent=$!
wait_for 60 grep -q 'first figures' "$CASE_DIR/log" || { cat "$CASE_DIR/log"; fail "no figures"; }
if grep -q 'left out' "$CASE_DIR/log"; then
	cat "$CASE_DIR/log"
	fail "an object was refused"
fi

dir=$(new_cgroup attach)
# $dir is expanded here on purpose
in_cgroup "$dir" sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done'
kernel_us=$(awk '/^usage_usec/ {print $2}' "$dir/cpu.stat")
row() { top | tr '{' '\n' | grep -A1 "\"cgroup\":\"${dir#/sys/fs/cgroup}\",\"hierarchy\"" >"$CASE_DIR/row"; }
seen() { row && [ "$(number cpu_usage_ns "$CASE_DIR/row")" -ge $((kernel_us * 900)) ]; }
wait_for 30 seen || { cat "$CASE_DIR/row"; fail "CPU time of a cgroup: kernel $kernel_us us"; }
got_us=$(($(number cpu_usage_ns "$CASE_DIR/row") / 1000))
[ "$got_us" -le $((kernel_us * 110 / 100 + 20000)) ] || fail "cpu $got_us us, kernel $kernel_us us"

status >"$CASE_DIR/status"
grep -q '"losses":\[\]' "$CASE_DIR/status" || echo "losses: $(cat "$CASE_DIR/status")"

kill -9 $agent
wait_for 10 sh -c "! kill -0 $agent 2>/dev/null"
in_cgroup "$dir" sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done'
"$BIN" attach --root "$root" --set metrics.listen= --set agent.log_format=text 2>"$CASE_DIR/log2" &
wait_for 60 grep -q 'first figures' "$CASE_DIR/log2" || { cat "$CASE_DIR/log2"; fail "no figures after SIGKILL"; }
grep -q 'adopted running' "$CASE_DIR/log2" || { cat "$CASE_DIR/log2"; fail "not adopted"; }
kernel_us=$(awk '/^usage_usec/ {print $2}' "$dir/cpu.stat")
wait_for 30 seen || { cat "$CASE_DIR/row"; fail "CPU time while no agent ran is missing: kernel $kernel_us us"; }
"$BIN" detach --root "$root" || fail "detach"
[ ! -e "$root/sys/fs/bpf/waveos" ] || fail "pins remain"
cat "$CASE_DIR/doctor"
