#!/bin/bash
# Instructions that the verifier looked at, in a virtual machine with another kernel.
#   vm.sh KERNEL_LABEL WORK_FOLDER
# O=build folder. Prints a line "max KERNEL HOOKS PROGRAM INSNS PROGRAMS" for each kind of hook.
# Exit: 0, 77 where the kernel is not in the cache, else failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
O=${O:-build}
label=$1 payload=$2/payload
cache=${WAVEOS_VM_CACHE:-$HOME/.cache/waveos-vm}
if [ ! -f "$cache/kernels/$label/package" ]; then
	echo "not in the cache: tests/vm/fetch.sh"
	exit 77
fi

rm -rf "$payload"
mkdir -p "$payload"/{bin,lib,lib64,objects}
cp "$O/waveos-bpf" "$O/bench/insns" "$payload/bin/"
cp "$O"/bpf/*.btf.bpf.o "$O"/bpf/*.raw.bpf.o "$payload/objects/"
ldd "$O/waveos-bpf" | while read -r name arrow path _; do
	case $arrow in
	"=>") cp -L "$path" "$payload/lib/$name" ;;
	*) if [[ $name == /* ]]; then cp -L "$name" "$payload/lib64/"; fi ;;
	esac
done
cat >"$payload/run.sh" <<'GUEST'
#!/bin/sh
for hooks in btf raw; do
	root=/tmp/$hooks
	mkdir -p $root
	waveos-bpf attach --root $root --set metrics.listen= --set agent.log_format=text --set collect.hooks=$hooks 2>/tmp/log &
	agent=$!
	n=0
	until grep -q 'first figures' /tmp/log || [ $n -ge 120 ]; do sleep 1; n=$((n + 1)); done
	grep 'left out' /tmp/log
	echo "status $(uname -r) $hooks $(waveos-bpf status --json --root $root)"
	kill -9 $agent
	waveos-bpf detach --root $root >/dev/null 2>&1
	insns /payload/objects/*.$hooks.bpf.o | sed "s/^/insns $(uname -r) $hooks /"
done
GUEST
tests/vm/boot.sh "$label" "$payload" --timeout 300 >"$2/guest.log"
cat "$2/guest.log" >&2
sed -n 's/^status //p' "$2/guest.log" | while read -r kernel hooks json; do
	# the hooks that were asked for may not work there
	line=$(jq -r '(.programs | max_by(.verified_insns)) as $m | "\(.hooks) \($m.name) \($m.verified_insns) \(.programs | length)"' <<<"$json")
	read -r used program insns count <<<"$line"
	if [ "$used" != "$hooks" ]; then continue; fi
	if [ "$insns" -eq 0 ]; then # not told before 5.16
		read -r program insns < <(awk -v h="$hooks" '$1 == "insns" && $3 == h { print $4, $5 }' "$2/guest.log" | sort -k2,2nr)
	fi
	echo "max ${kernel%%-*} $hooks ${program:--} ${insns:--} $count"
done
