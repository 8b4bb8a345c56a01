# shellcheck shell=bash disable=SC2153 # WORK, TOOLS are set in lib.sh
# --- gpu: what the profiler library and the wake chains cost, without a GPU

row_gpu() {
	local i cupti
	for ((i = 0; i < 9; i++)); do
		wait_quiet
		"$TOOLS/gpu_record" || die "gpu_record failed"
	done | sed 's/.*"ns_per_record":\([0-9.]*\).*/\1/' | keep_spread gpu_record %.1f
	# with NVIDIA's own parser, where it lies about
	cupti=$(ldconfig -p | awk '/libcupti\.so/ { print $NF; exit }')
	[ -n "$cupti" ] || cupti=$(compgen -G '/usr/local/cuda/lib64/libcupti.so.*' | head -n 1 || true)
	if [ -n "$cupti" ]; then
		for ((i = 0; i < 9; i++)); do
			wait_quiet
			"$TOOLS/gpu_record" "$cupti" || die "gpu_record failed"
		done | sed 's/.*"ns_per_record":\([0-9.]*\).*/\1/' | keep_spread gpu_record_cupti %.1f
	fi
	for ((i = 0; i < 5; i++)); do
		wait_quiet
		"$TOOLS/wake_cost" 100 || die "wake_cost failed"
	done >"$WORK/wake"
	awk '/^another/ { print $NF + 0 }' "$WORK/wake" | keep_spread gpu_wake_other %.0f
	awk '/^watched/ { print $NF + 0 }' "$WORK/wake" | keep_spread gpu_wake_watched %.0f
}
