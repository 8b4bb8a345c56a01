# shellcheck shell=bash
# A disk with a root for systemd as PID 1, kept in the cache. Needs lib/common.sh, lib/apt.sh, lib/systemd.sh.

# root_disk NAME [PACKAGE...]: prints its path; PACKAGEs are in it besides systemd's. The disk is made from the folder when
# the folder is newer; guests write to a copy that qemu keeps for them.
root_disk() {
	local root=$VM_CACHE/$1 disk=$VM_CACHE/$1.img key
	shift
	SYSTEMD_PACKAGES="$SYSTEMD_PACKAGES${*:+ $*}"
	key=$({ cat "$HERE/lib/systemd.sh"; [[ $# -eq 0 ]] || echo "$SYSTEMD_PACKAGES"; } | sha256sum | cut -c1-12)
	cache_lock
	if [[ ! -f $disk || $(cat "$root.key" 2>/dev/null) != "$key" ]]; then
		log "root with systemd: packages of this machine's release"
		rm -rf "$root" "$disk"
		systemd_root "$root" || { cache_unlock; skip_all "the packages of systemd cannot be had"; }
		mke2fs -q -t ext4 -L root -d "$root" "$disk.new" 400M >/dev/null
		mv "$disk.new" "$disk"
		rm -rf "$root"
		printf '%s\n' "$key" >"$root.key"
	fi
	cache_unlock
	printf '%s\n' "$disk"
}
