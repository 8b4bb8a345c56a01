# shellcheck shell=bash
# A device's log below ROOT, for tests of what reads it. LOG is its folder.
# shellcheck disable=SC2034 # used by tests
LOG=$ROOT/var/lib/waveos/log

# log_tool: builds tools/log.c against the agent's objects
log_tool() {
	CC=${CC:-cc}
	command -v "$CC" >/dev/null || skip "no C compiler for tools/log.c"
	local here
	here=$(dirname "${BASH_SOURCE[0]}")
	find "$O/user" -name '*.o' ! -path "$O/user/main.o" -print0 | xargs -0 ar rcs "$TMP/agent.a"
	# shellcheck disable=SC2046 # words on purpose
	"$CC" -O1 -D_GNU_SOURCE -I"$here/../../.." -I"$here/../../../include" -o "$TMP/log" "$here/log.c" "$TMP/agent.a" \
		$(pkg-config --libs libcrypto json-c libsystemd libzstd yaml-0.1 libbpf) -lm -pthread || fail "cannot compile tools/log.c"
}

# make_log RECORDS CHECKPOINT_EVERY ROTATE_EVERY: appends
make_log() {
	"$TMP/log" "$ROOT" "$@" || fail "cannot make a log"
}
