# shellcheck shell=bash
# A root folder with systemd as PID 1, from this machine's own release, unpacked and never installed: no maintainer
# script runs, so the few files that those would make are made here. Needs lib/common.sh and lib/apt.sh.

SYSTEMD_PACKAGES="systemd systemd-sysv libpam-systemd dash coreutils base-files base-passwd libc-bin grep sed mawk util-linux mount procps"

# systemd_root FOLDER: the folder with everything in it; 1 when the packages cannot be had.
systemd_root() {
	local root=$1 archives=$APT_DIR/cache/systemd
	apt_setup amd64 || return 1
	rm -rf "$archives" "$root"
	mkdir -p "$archives/partial" "$root"/{usr/bin,usr/sbin,usr/lib,usr/lib64,proc,sys,dev,run,tmp,root,etc,var}
	: >"$APT_DIR/empty"
	# all that they depend on, as if nothing were installed yet
	# shellcheck disable=SC2086 # a list of names
	apt_private host -q -y --no-install-recommends --download-only -o "Dir::State::status=$APT_DIR/empty" \
		-o "Dir::Cache::archives=$archives" -o Debug::NoLocking=1 install $SYSTEMD_PACKAGES \
		>"$root.log" 2>&1 || { tail -n 3 "$root.log" >&2; return 1; }
	for dir in bin sbin lib lib64; do
		ln -s "usr/$dir" "$root/$dir"
	done
	systemd_unpack "$archives" "$root" || return 1
	systemd_files "$root"
	rm -rf "$archives" "$APT_DIR"
}

# Packages that still ship /bin or /lib go through the links.
systemd_unpack() {
	local deb
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$2" --keep-directory-symlink \
			--exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' || return 1
	done
}

systemd_files() {
	local root=$1 unit
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >"$root/etc/passwd"
	printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$root/etc/group"
	: >"$root/etc/machine-id"
	printf 'waveos-vm\n' >"$root/etc/hostname"
	ln -sfn /run "$root/var/run"
	ln -sfn dash "$root/usr/bin/sh"
	ldconfig -r "$root" 2>/dev/null || :
	mkdir -p "$root/etc/systemd/system"
	# what costs time here and nobody looks at
	for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
		systemd-logind.service systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
		systemd-timesyncd.service systemd-journal-catalog-update.service ldconfig.service \
		systemd-update-done.service getty.target; do
		ln -sfn /dev/null "$root/etc/systemd/system/$unit"
	done
}
