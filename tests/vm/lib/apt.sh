# shellcheck shell=bash
# A private apt: own package lists, own suites, the machine's mirrors and keys. The machine's apt state stays
# untouched, and packages are only downloaded and unpacked, never installed. Needs lib/common.sh.

APT_DIR=$VM_CACHE/apt
APT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
APT_SUITES_MAIN="bullseye bookworm bookworm-backports trixie trixie-backports sid"
APT_SUITES_SECURITY="bullseye-security bookworm-security trixie-security"

# One "suite origin site" line a package index that the machine's apt knows. Without downloaded lists
# the origin is unknown ("-"), the configured suites still are.
apt_known_sites() {
	# apt expands $(RELEASE) and the others, not the shell.
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(ORIGIN) $(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u
	# shellcheck disable=SC2016
	apt-get indextargets --no-release-info --format '$(RELEASE) - $(SITE)' 'Created-By: Packages' 2>/dev/null |
		sort -u
}

# apt_site main|security: the mirror that serves Debian's main or security archive.
apt_site() {
	apt_known_sites | awk -v kind="$1" '
		$2 != "Debian" && $2 != "-" { next }
		$1 !~ /^(bullseye|bookworm|trixie|forky|sid|stable|oldstable|oldoldstable|testing|unstable)/ { next }
		(kind == "security") == ($1 ~ /-security$/) { print $3; exit }'
}

apt_write_sources() {
	local arches=$1 main security suite host
	host=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-bookworm}")
	main=$(apt_site main)
	security=$(apt_site security)
	[[ -n $main ]] || return 1
	: >"$APT_DIR/all.list"
	for suite in $APT_SUITES_MAIN; do
		printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arches" "$APT_KEYRING" "$main" "$suite"
	done >>"$APT_DIR/all.list"
	for suite in $APT_SUITES_SECURITY; do
		[[ -n $security ]] || break
		printf 'deb [arch=%s signed-by=%s] %s %s main\n' "$arches" "$APT_KEYRING" "$security" "$suite"
	done >>"$APT_DIR/all.list"
	# Programs that run on this machine must fit its libraries: only its own release and backports.
	grep -E " $host(-security|-backports)? main\$" "$APT_DIR/all.list" >"$APT_DIR/host.list" || :
}

apt_write_config() {
	local arches=$1 arch
	{
		printf 'Dir::State "%s";\nDir::State::lists "%s/lists";\n' "$APT_DIR" "$APT_DIR"
		printf 'Dir::State::status "/var/lib/dpkg/status";\nDir::Cache "%s/cache";\n' "$APT_DIR"
		printf 'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::preferences "/dev/null";\n'
		printf 'Dir::Etc::preferencesparts "/dev/null";\n'
		# host.list and all.list share one lists folder; cleaning would drop what the other one needs.
		printf 'APT::Get::List-Cleanup "false";\nAcquire::Languages "none";\n'
		printf 'Acquire::Retries "2";\nAcquire::http::Timeout "30";\nAcquire::https::Timeout "30";\n'
		# The cache may lie below a home folder which the _apt user cannot enter.
		printf 'APT::Sandbox::User "root";\n#clear APT::Architectures;\n'
		for arch in ${arches//,/ }; do
			printf 'APT::Architectures:: "%s";\n' "$arch"
		done
	} >"$APT_DIR/conf"
}

# apt_setup ARCHES (comma separated): writes the configuration and downloads the lists. Signatures are
# checked as apt always does. A suite that cannot be had is reported and left out.
apt_setup() {
	local arches=$1 suite
	mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial"
	apt_write_config "$arches"
	apt_write_sources "$arches" || { log "no Debian mirror in this machine's apt configuration"; return 1; }
	log "reading package lists (a private copy)"
	apt_private all update -q >"$APT_DIR/update.log" 2>&1 || :
	for suite in $APT_SUITES_MAIN $APT_SUITES_SECURITY; do
		compgen -G "$APT_DIR/lists/*_dists_${suite}_*Release" >/dev/null ||
			log "suite $suite: not available from this machine's mirror"
	done
	compgen -G "$APT_DIR/lists/*_Packages*" >/dev/null || return 1
	# Asked many times below, and a question to apt costs seconds: it maps all lists anew.
	apt_private_cache all pkgnames linux- >"$APT_DIR/linux-names"
}

# apt_private all|host ARGS...: apt-get with the private state and that list of sources.
apt_private() {
	local list=$1
	shift
	apt-get -c "$APT_DIR/conf" -o "Dir::Etc::sourcelist=$APT_DIR/$list.list" "$@"
}

apt_private_cache() {
	local list=$1
	shift
	apt-cache -c "$APT_DIR/conf" -o "Dir::Etc::sourcelist=$APT_DIR/$list.list" "$@"
}

# apt_kernels REGEX: the packages whose whole name matches, newest first.
apt_kernels() { grep -Ex -- "$1" "$APT_DIR/linux-names" | sort -Vr; }

apt_kernel_exists() { grep -qFx -- "$1" "$APT_DIR/linux-names"; }

# apt_version LIST PACKAGE: the highest version.
apt_version() {
	apt_private_cache "$1" madison "$2" | awk -F' *[|] *' '{ print $2 }' | sort -Vr | head -n 1
}

# apt_fetch LIST FOLDER PACKAGE...: the .deb files land in FOLDER.
apt_fetch() {
	local list=$1 folder=$2
	shift 2
	(cd "$folder" && apt_private "$list" -q download "$@" >fetch.log 2>&1) || {
		tail -n 3 "$folder/fetch.log" >&2
		return 1
	}
}

# unpack_debs FROM TO: every package in FROM into the tree TO.
unpack_debs() {
	local deb
	for deb in "$1"/*.deb; do
		[[ -e $deb ]] || return 1
		dpkg-deb -x "$deb" "$2"
	done
}
