# shellcheck shell=bash disable=SC2153 # WORK, NAME, PINS are set in lib.sh
# Row rates: what egress and ingress limits let pass, and their bursts.

# NAME BITS PAYLOAD OFFERED DEPTH TRAIN_DEPTH: offered in bits a second; depths in bytes, the first what is the
# default (250 ms), the second one that a train of packets is faster than
RATES=(
	"1mbit 1000000 1400 10000000 65536 65536"
	"10mbit 10000000 1400 50000000 312500 65536"
	"100mbit 100000000 1400 300000000 3125000 262144"
	"1gbit 1000000000 65507 3000000000 31250000 2097152"
	"10gbit 10000000000 65507 100000000000 312500000 16777216"
)
rates_config() {
	local line name bits payload offered depth train way use
	mkdir -p "$ROOT/etc/waveos"
	echo 'budgets:' >"$ROOT/etc/waveos/waveos.yaml"
	for line in "${RATES[@]}"; do
		read -r name bits payload offered depth train <<<"$line"
		for way in egress ingress; do
			for use in long train; do
				mkdir -p "$CGROUP2/$NAME/$way-$use-$name"
				echo "  - {cgroup: /$NAME/$way-$use-$name, network: {$way: $name, burst: $([ $use = long ] && echo "$depth" || echo "$train")}}"
			done
		done
	done >>"$ROOT/etc/waveos/waveos.yaml"
}
# rate_of WAY USE BURST OFFERED AMOUNT: the tool's lines become T[key]; with what is off by from rate x time + burst,
# and how much of that the load as it was offered could not use, both in bytes
declare -A T
rate_of() {
	local key value
	"$TOOLS/limit_rate" "$1" "$CGROUP2/$NAME/$1-$2-$name" "$PINS/maps/limit_state" $((bits / 8)) "$3" "$payload" "$4" "$5" \
		>"$WORK/rate" || die "limit_rate $*"
	while read -r key value; do T[$key]=$value; done <"$WORK/rate"
	T[nominal]=$(calc "$bits / 8 * ${T[seconds]} + $3" %.0f)
	T[off]=$(calc "${T[passed]} - ${T[nominal]}" %.0f)
	T[unused]=$(calc "${T[nominal]} - ${T[exact]}" %.0f)
}
# rate_long WAY: 10 s; again, where the sender was held up so long that more than 0.5 % could not be used
rate_long() {
	local i key=rate_$1_$name
	for ((i = 0; i < ${RATE_TRIES:-3}; i++)); do
		wait_quiet
		rate_of "$1" long "$depth" $((offered / 8)) "${RATE_SECONDS:-10}"
		[ "$(calc "(${T[unused]} > 0.005 * ${T[nominal]})")" = 1 ] || break
	done
	keep "${key}_offered" "$(calc "8 * ${T[sent]} / ${T[seconds]} / $bits" %.1f)"
	keep "${key}_nominal" "${T[nominal]}"
	keep "${key}_error" "$(calc "100 * ${T[off]} / ${T[nominal]}" %+.3f)"
	keep "${key}_got_error" "$(calc "100 * (${T[got]} / ${T[nominal]} - 1)" %+.3f)"
	keep "${key}_unused" "$(calc "100 * ${T[unused]} / ${T[nominal]}" %.3f)"
	keep "${key}_lost" "${T[lost]}"
	keep "${key}_gap_ms" "${T[gap_ms]}"
	if [ "$(calc "(${R[${key}_offered]} >= 1.1 && ${R[${key}_unused]} <= 1)")" = 1 ]; then
		keep "${key}_enough" 1
		printf '%s\n' "${R[${key}_error]#[+-]}" "${R[${key}_got_error]#[+-]}" >>"$WORK/rates.errors"
	fi
}
# rate_trains WAY: the train that is furthest off, in packets, of those that were not held up
rate_trains() {
	local i off key=rate_$1_$name good=0 worst=0
	for ((i = 0; i < 3 * ${TRAINS:-5} && good < ${TRAINS:-5}; i++)); do
		nap "$(calc "1.2 * $train * 8 / $bits + 0.2" %.2f)" # idle: the bucket fills
		rate_of "$1" train "$train" 0 $((4 * train))
		# what flowed in while the train went by passes, too; when a packet met the limit is known as well as its send
		off=$(awk -v p="${T[passed]}" -v rate=$((bits / 8)) -v burst="$train" -v least="${T[least]}" -v most="${T[most]}" \
			-v packet=$((payload + 28)) 'BEGIN { low = burst + rate * least; high = burst + rate * most
				printf "%+.2f", (p < low ? p - low : p > high ? p - high : 0) / packet }')
		[ "$(calc "(${T[unused]} <= $payload + 28)")" = 1 ] || continue
		good=$((good + 1))
		[ "$(calc "(${off#[+-]} < ${worst#[+-]})")" = 1 ] || worst=$off
	done
	keep "${key}_trains" $good
	[ $good -gt 0 ] || return 0
	keep "${key}_train" "$worst"
	echo "${worst#[+-]}" >>"$WORK/rates.trains"
}
row_rates() {
	local line name bits payload offered depth train way
	rates_config
	agent_start
	wait_until 10 has_first_limit || die "no limit in force"
	: >"$RESULTS/rates.table"
	for line in "${RATES[@]}"; do
		read -r name bits payload offered depth train <<<"$line"
		for way in egress ingress; do
			rate_long $way
			rate_trains $way
			echo "$name $way $payload $depth $train" >>"$RESULTS/rates.table"
		done
	done
	keep rates_error_max "$(sort -g "$WORK/rates.errors" | tail -n 1)"
	keep rates_trains_n "${TRAINS:-5}"
	keep rates_train_max "$(sort -g "$WORK/rates.trains" | tail -n 1)"
	"$BIN" detach --root "$ROOT" >/dev/null
	agent_kill
	rm -f "$ROOT/etc/waveos/waveos.yaml"
	cgroups_remove
}
