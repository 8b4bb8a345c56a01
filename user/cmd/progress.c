// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/progress.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"

#define FIRST_NS 500000000L
#define EVERY_NS 200000000L

/* nftw() has no context */
static uint64_t counted;

static int count(const char *path _unused_, const struct stat *st, int type,
		 struct FTW *ftw _unused_)
{
	if (type == FTW_F)
		counted += (uint64_t)st->st_size;
	return 0;
}

static uint64_t size_of(const char *path)
{
	counted = 0;
	if (path)
		(void)nftw(path, count, 16, FTW_PHYS);
	return counted;
}

static uint64_t read_by(pid_t pid)
{
	unsigned long long bytes = 0;
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[64];

	snprintf(path, sizeof(path), "/proc/%d/io", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "rchar: %llu", &bytes) == 1)
			break;
	return bytes;
}

const char *wv_progress_line(char buf[WV_PROGRESS_LINE], const char *what, uint64_t done_bytes,
			     uint64_t total_bytes, uint64_t elapsed_ns)
{
	double seconds = (double)elapsed_ns / 1e9;
	double rate = seconds > 0 ? (double)done_bytes / seconds : 0;
	char done[WV_WORD], all[WV_WORD], speed[WV_WORD], left[WV_WORD];
	int n;

	n = snprintf(buf, WV_PROGRESS_LINE, "%s: %s", what,
		     wv_word_bytes(done, (double)done_bytes));
	if (done_bytes <= total_bytes && n < WV_PROGRESS_LINE)
		n += snprintf(buf + n, WV_PROGRESS_LINE - (size_t)n, " of %s",
			      wv_word_bytes(all, (double)total_bytes));
	if (n < WV_PROGRESS_LINE)
		n += snprintf(buf + n, WV_PROGRESS_LINE - (size_t)n, " read, %s/s",
			      wv_word_bytes(speed, rate));
	/* what is read more than once, or was not counted, leaves nothing to foretell */
	if (rate > 0 && done_bytes < total_bytes && n < WV_PROGRESS_LINE)
		snprintf(buf + n, WV_PROGRESS_LINE - (size_t)n, ", about %s left",
			 wv_word_span(left,
				      (uint64_t)((double)(total_bytes - done_bytes) / rate * 1e9)));
	return buf;
}

static void show(const char *what, const char *path, pid_t pid)
{
	const struct timespec every = {.tv_nsec = EVERY_NS}, first = {.tv_nsec = FIRST_NS};
	uint64_t began = wv_view_mono_ns(), before = read_by(pid), total;
	char line[WV_PROGRESS_LINE];

	(void)nanosleep(&first, NULL);
	total = size_of(path);
	while (getppid() == pid) {
		uint64_t now = read_by(pid);

		fprintf(stderr, "\r\033[K%s",
			wv_progress_line(line, what, now > before ? now - before : 0, total,
					 wv_view_mono_ns() - began));
		(void)nanosleep(&every, NULL);
	}
}

struct wv_progress wv_progress_begin(const char *what, const char *path)
{
	const char *term = getenv("TERM");
	struct wv_progress p = {.pid = 0};
	pid_t self = getpid();

	if (!isatty(STDERR_FILENO) || !term || strcmp(term, "dumb") == 0)
		return p;
	p.pid = fork();
	if (p.pid != 0)
		return p;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	show(what, path, self);
	_exit(EXIT_SUCCESS);
}

void wv_progress_end(struct wv_progress *p)
{
	if (p->pid <= 0)
		return;
	(void)kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	fputs("\r\033[K", stderr);
	p->pid = 0;
}
