#!/bin/bash
# limit: 120
# The profiler library in a real process, on the fake driver and CUPTI: what it tells is right, and whatever happens to
# it, the process goes on as if it were not there.
. "$(dirname "$0")/lib.sh"
B=$(cd "$(dirname "$BIN")" && pwd)
make -s -C "$(dirname "$0")/../.." O="$B" gpu-fakes >"$TMP/make.log" 2>&1 || fail "fakes: $(tail -5 "$TMP/make.log")"
S=$TMP/gpu.sock
export CUDA_INJECTION64_PATH=$B/libwaveos_cupti.so WAVEOS_GPU_LIBRARY=$B/libwaveos_cupti.so WAVEOS_GPU_SOCKET=$S
export WAVEOS_GPU_LEVEL=2
RECEIVER=
receive() {
	"$B/gpu/receive" "$S" "$@" >"$TMP/frames" &
	RECEIVER=$!
	wait_until 5 test -S "$S" || fail "no socket"
}
received() {
	wait_until 10 ended || fail "the receiver still waits"
	wait "$RECEIVER" || fail "receiver: $(tail -1 "$TMP/frames")"
	rm -f "$S"
}
ended() { ! kill -0 "$RECEIVER" 2>/dev/null; }
at_exit kill_receiver
kill_receiver() { kill "$RECEIVER" 2>/dev/null || true; }
# train STATUS ARGUMENTS...: it ends as it would alone, and in time
train() {
	local want=$1 status=0
	shift
	timeout 20 "$B/gpu/fake_train" "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
	[ $status -eq "$want" ] || fail "$*: status $status, not $want: $(cat "$TMP/err")"
	[ ! -s "$TMP/err" ] || [ "$want" -gt 128 ] || fail "$*: something on stderr: $(cat "$TMP/err")"
	[ "$(cat "$TMP/out")" = "fake_train: $N steps" ] || fail "$*: its output is not its own: $(cat "$TMP/out")"
}

# what it tells
N=1500
receive
train 0 --steps $N --kernel-us 500 --gap-us 300 --nccl-us 100 --tell --forks 3
received
jq -se '
	[.[] | select(.type == "window")] as $w
	| ([.[] | select(.type == "hello")] | last | .devices == 1 and .name == "Fake GPU" and .level == 2)
	and ($w | length >= 8 and all(.[]; .kernel + .exposed + .memory + .idle == 100000000))
	and ([range(1; $w | length) | $w[.].begin == $w[. - 1].end] | all)
	# a step of 0.4375 (7 of 8 kernels, and the optimizer) + 0.0625 compute, 0.1 communication, 0.02 copy
	and ($w[2:6] | (map(.kernel) | add) as $k | (map(.exposed) | add) as $c | (map(.memory) | add) as $m
		| $c / $k > 0.195 and $c / $k < 0.205 and $m / $k > 0.038 and $m / $k < 0.042)
	and ($w[2:6] | all(.[]; .gaps | all(.[]; .[2] > 0 and .[3] > 0)))
	and ([.[] | select(.type == "step")] | length == '$N' and all(.[]; .confidence == 1000 and .end > .begin))
	and (last | .type == "end" and .lost == 0)' "$TMP/frames" >/dev/null || fail "frames: $(tail -3 "$TMP/frames" | cut -c1-600)"
echo "ok   what it tells of kernels, communication, copies, gaps and steps"

# graphs, and several devices
receive
train 0 --steps $N --graph --devices 2 --gap-us 100
received
jq -se '[.[] | select(.type == "window")] | (map(.device) | unique) == [0, 1] and (map(.graphs) | add) > 1000' \
	"$TMP/frames" >/dev/null || fail "graphs: $(head -3 "$TMP/frames")"
echo "ok   graphs, two devices"

# every way to end, and a hub in every state
N=60
for end in "return 0" "exit 0" "_exit 0" "kill 137" "abort 134" "exec 0" "segv 139"; do
	receive
	train "${end#* }" --steps $N --end "${end% *}" --forks 3
	received
done
echo "ok   return, exit, _exit, SIGKILL, abort, exec, SIGSEGV"
rm -f "$S"
train 0 --steps $N --forks 3
receive --mute
N=300 train 0 --steps 300 --tell
received
receive --leave 3
N=600
train 0 --steps $N
received
(unset WAVEOS_GPU_SOCKET; train 0 --steps $N --tell)
echo "ok   no hub, one that never reads, one that goes away, none asked for"

# another hub: the ring is offered anew
receive --leave 3
"$B/gpu/fake_train" --steps 5000 >"$TMP/out" &
pid=$!
received
receive
wait_until 8 grep -q window "$TMP/frames" || fail "nothing came to the second hub"
kill -KILL $pid
wait $pid 2>/dev/null || true
received
jq -se '.[0].type == "hello" and .[0].devices == 1' "$TMP/frames" >/dev/null || fail "second hub: $(head -2 "$TMP/frames")"
echo "ok   a hub that was started anew"

# each call of CUPTI fails in turn
N=100
for call in cuptiGetVersion cuptiActivityRegisterCallbacks cuptiActivityRegisterTimestampCallback \
	cuptiActivityEnable cuptiActivityEnable/10 cuptiActivityEnable/01 cuptiActivityEnable/38 cuptiActivityDisable \
	cuptiActivityFlushAll cuptiActivityGetNextRecord cuptiActivityGetNumDroppedRecords cuptiActivityEnableRuntimeApi \
	cuptiActivityEnableDriverApi cuptiSetThreadIdType; do
	for code in 35 39 999; do
		receive
		FAKE_CUPTI_FAIL=$call=$code train 0 --steps $N --gap-us 100
		received
		jq -r 'select(.type == "level") | "\(.level) \(.degraded)"' "$TMP/frames" | tail -1 >"$TMP/level"
		case $call/$code in
		cuptiGetVersion/*) want="0 1" ;;
		cuptiActivityEnable/39 | cuptiActivityEnable/10/39) want="0 2" ;;
		cuptiActivityRegister* | cuptiActivityEnable/35 | cuptiActivityEnable/10/*) want="0 3" ;;
		*) continue ;;
		esac
		[ "$(cat "$TMP/level")" = "$want" ] || fail "$call=$code: level $(cat "$TMP/level"), not $want"
	done
done
echo "ok   every call fails in turn, and the level says why"

# versions, drops, none at all, and another profiler
level_of() { jq -r 'select(.type == "level") | "\(.level) \(.degraded)"' "$TMP/frames" | tail -1; }
N=200
receive
FAKE_CUPTI_VERSION=140000 train 0 --steps $N
received
[ "$(level_of)" = "0 1" ] || fail "another major version: $(level_of)"
receive
FAKE_CUPTI_DROP=10 train 0 --steps $N
received
[ "$(level_of)" = "2 5" ] || fail "drops: $(level_of)"
jq -se '[.[] | select(.type == "window") | .dropped] | add > 100' "$TMP/frames" >/dev/null || fail "drops are not counted"
receive
N=7000
FAKE_CUPTI_STEAL=500 train 0 --steps 7000 --kernel-us 500 --gap-us 400 --tell
received
[ "$(level_of)" = "0 2" ] || fail "taken by another profiler: $(level_of)"
echo "ok   another major version, drops, another profiler"

# the governor measures with and without, tells both, and what it does not see is not told as idleness
receive
N=2500
WAVEOS_GPU_GOVERNOR=1 train 0 --steps $N --kernel-us 500 --gap-us 300 --tell
received
jq -se '([.[] | select(.type == "level" and .on > 0)] | length > 0)
	and ([.[] | select(.type == "window")] | all(.[]; .idle < 90000000 or .begin == $first) )' \
	--argjson first "$(jq -s '[.[] | select(.type == "window")][0].begin' "$TMP/frames")" "$TMP/frames" >/dev/null ||
	fail "governor: $(grep level "$TMP/frames" | tail -3)"
echo "ok   the governor measures"

# a recording gives the same again
N=500
rm -f "$S"
WAVEOS_GPU_RECORD=$TMP/recording train 0 --steps $N
"$B/gpu/replay" "$TMP/recording" >"$TMP/replayed" || fail "replay"
[ "$(grep -c ^window "$TMP/replayed")" -ge 3 ] || fail "replay: $(tail -3 "$TMP/replayed")"
for real in /usr/local/cuda/lib/libcupti.so.13 /usr/local/cuda/extras/CUPTI/lib64/libcupti.so.13; do
	[ -e "$real" ] || continue
	"$B/gpu/replay" "$TMP/recording" "$real" >"$TMP/real" || fail "replay through NVIDIA's parser"
	cmp "$TMP/replayed" "$TMP/real" || fail "NVIDIA's parser reads other records"
	echo "ok   the same through NVIDIA's own parser"
done
echo "ok   a recording, replayed"
