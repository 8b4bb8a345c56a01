// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer target: any bytes as the open segment of the device's log. It is refused, or it opens
 * with whole lines only: then a record can be added, and all of them read back in order.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/tlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct wv_io io;
static char state[64], folder[80];

static int no_sync(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static int forget(void *userdata, const char *name)
{
	return unlinkat(*(int *)userdata, name, 0) < 0;
}

/* At exit; a crash leaves it. */
static void tidy(void)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0) {
		(void)io.list(io.ctx, dir, forget, &dir);
		close(dir);
	}
	(void)rmdir(folder);
	(void)rmdir(state);
}

static void start(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	io = wv_io_system;
	io.fsync = no_sync; /* nothing here outlives the process */
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	snprintf(state, sizeof(state), "%s/wv-fuzz-log.XXXXXX", base);
	if (!mkdtemp(state))
		abort();
	snprintf(folder, sizeof(folder), "%s/log", state);
	(void)atexit(tidy);
}

static void put(const uint8_t *bytes, size_t len)
{
	int dir, fd;

	if (mkdir(folder, 0700) < 0) {
		dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0 || io.list(io.ctx, dir, forget, &dir) != 0)
			abort();
		close(dir);
	}
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dir, "events.jsonl", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
	close(dir);
}

static ssize_t compose(void *ctx, uint64_t seq, char *buf, size_t room)
{
	(void)ctx;
	return snprintf(buf, room, "{\"boot_id\":\"b\",\"seq\":%llu}", (unsigned long long)seq);
}

static void read_back(uint64_t size)
{
	struct wv_tlog_reader *r = NULL;
	uint64_t seq, want = 1;
	const char *line;
	size_t n;
	int got;

	if (wv_tlog_read_open(&r, &io, state, 1) < 0)
		abort();
	while ((got = wv_tlog_read(r, &seq, &line, &n)) == 1) {
		if (seq != want++ || strlen(line) != n || memchr(line, '\n', n))
			abort();
	}
	if (got == 0 && want != size + 1)
		abort();
	wv_tlog_read_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct wv_tlog_options options = {.name = "fuzz"};
	struct wv_tlog *l = NULL;
	uint64_t cut = 0, size, seq;

	if (!*state)
		start();
	put(bytes, len);
	if (wv_tlog_open(&l, &io, state, &options, &cut) < 0)
		return 0;
	size = wv_tlog_size(l);
	if (cut > len || wv_tlog_append(l, compose, NULL, &seq) < 0 || seq != size + 1 ||
	    wv_tlog_commit(l) < 0 || wv_tlog_size(l) != size + 1)
		abort();
	wv_tlog_close(l);
	read_back(size + 1);
	return 0;
}
