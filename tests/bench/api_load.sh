#!/bin/bash
# Requests a second of the web worker beside slow clients, and what that does to core's ticks.
#   tests/bench/api_load.sh BINARY [SECONDS]     prints one JSON line; exit 1 if a bound is missed (see below)
# Bounds: WV_API_RPS requests a second (5000) of PATH (default /healthz), and no tick later than WV_TICK_LATE_MS (10 ms) than ticks
# are without load. A tick's delay is how much the time between two ticks is over the interval.
set -euo pipefail
BIN=${1:?path of waveos-bpf}
SECONDS_EACH=${2:-10}
URL_PATH=${URL_PATH:-/healthz}
for program in wrk jq curl python3; do command -v "$program" >/dev/null || { echo "$program is not installed"; exit 77; }; done
[ "$(id -u)" -eq 0 ] || { echo "not root"; exit 77; }
W=$(mktemp -d /tmp/wv-load.XXXXXX)
agent=
pids=()
end() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	if [ -n "$agent" ]; then
		kill -TERM "$agent" 2>/dev/null || true
		wait "$agent" 2>/dev/null || true
	fi
	"$BIN" detach --root "$W/root" >/dev/null 2>&1 || true
	rm -rf "$W"
}
trap end EXIT
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$BIN" attach --root "$W/root" --set metrics.listen="127.0.0.1:$port" --set agent.tick=100ms --set agent.log_format=text 2>"$W/log" &
agent=$!
for _ in $(seq 200); do grep -qs 'first figures' "$W/log" && break; read -rt 0.1 <> <(:) || true; done
grep -qs 'first figures' "$W/log" || { cat "$W/log"; exit 1; }
# mono_ns of each tick, from /healthz of the UNIX socket would load what is measured; the snapshot file does not
ticks() { # SECONDS: latest tick in ms over the interval, and how many were seen
	python3 - "$W/root/run/waveos/snapshot" "$1" <<'PY'
import mmap, os, struct, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
fd = os.open(path, os.O_RDONLY)
m = mmap.mmap(fd, 65536, prot=mmap.PROT_READ)
# the words of the head in which a tick's number and its time stand side by side: found by watching them
def words():
    return struct.unpack_from("<1024Q", m, 0)
a = words(); time.sleep(0.35); b = words()
now = time.monotonic_ns()
at = [i for i in range(1000) if 0 < b[i] - a[i] < 20 and 0 <= now - b[i + 1] < 2e9 and 0 < b[i + 1] - a[i + 1] < 1e9]
if not at:
    sys.exit("no tick found in the snapshot")
i = at[0]
seen = {}
end = time.monotonic() + seconds
while time.monotonic() < end:
    tick, mono = struct.unpack_from("<2Q", m, 8 * i)
    seen[tick] = mono
    time.sleep(0.005)
t = sorted(seen.items())
late = [(y[1] - x[1]) / 1e6 - 100.0 * (y[0] - x[0]) for x, y in zip(t, t[1:])]
late.sort()
print(f"{late[-1]:.2f} {late[int(len(late) * 0.99)]:.2f} {len(t)}")
PY
}
read -r idle_max idle_p99 _ < <(ticks "$SECONDS_EACH")
python3 - "$port" "$((SECONDS_EACH + 5))" <<'PY' &
import socket, sys, time
# as many slow clients as an address may have beside wrk's
port, seconds = int(sys.argv[1]), float(sys.argv[2])
slow = []
for _ in range(6):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-")
    slow.append(s)
end = time.monotonic() + seconds
while time.monotonic() < end:
    for s in slow:
        try:
            s.send(b"a")
        except OSError:
            pass
    time.sleep(0.5)
PY
pids+=($!)
wrk -t1 -c8 -d"${SECONDS_EACH}s" "http://127.0.0.1:$port$URL_PATH" >"$W/wrk" &
load=$!
read -r max p99 n < <(ticks "$((SECONDS_EACH - 1))")
wait "$load"
rps=$(awk '/^Requests\/sec/ {printf "%d", $2}' "$W/wrk")
failed=$(awk '/Non-2xx/ {print $NF}' "$W/wrk")
jq -cn --arg path "$URL_PATH" --argjson rps "$rps" --argjson failed "${failed:-0}" --argjson idle_max_ms "$idle_max" --argjson idle_p99_ms "$idle_p99" \
	--argjson max_ms "$max" --argjson p99_ms "$p99" --argjson ticks "$n" \
	'{path: $path, requests_per_s: $rps, failed: $failed, ticks: $ticks, tick_late_idle_max_ms: $idle_max_ms, tick_late_idle_p99_ms: $idle_p99_ms, tick_late_max_ms: $max_ms, tick_late_p99_ms: $p99_ms}'
awk -v r="$rps" -v want="${WV_API_RPS:-5000}" -v m="$max" -v i="$idle_max" -v late="${WV_TICK_LATE_MS:-10}" \
	'BEGIN { exit !(r >= want && (m <= late || m <= i + late)) }' || { echo "a bound is missed: ${WV_API_RPS:-5000} requests/s, ${WV_TICK_LATE_MS:-10} ms" >&2; exit 1; }
