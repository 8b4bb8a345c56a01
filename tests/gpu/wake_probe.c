// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command, watches what its threads wait for, and prints one JSON line for each span that it
 * told: wake_probe SPANS COMMAND... . The command appends lines "tid begin end name"
 * (CLOCK_MONOTONIC, ns) to the file SPANS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/gpu/wake.h"

static void print_shares(const char *name, const char *const *names, const uint64_t *ns, unsigned n)
{
	printf(",\"%s\":{", name);
	for (unsigned i = 0; i < n; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", names[i], ns[i]);
	printf("}");
}

/* Spans that ended before everything up to `known` was taken in. */
static void tell(struct wv_wake *w, FILE *spans)
{
	uint64_t begin, end;
	char name[32];
	long at = ftell(spans);
	int tid;

	while (fscanf(spans, "%d %" SCNu64 " %" SCNu64 " %31[^\n]\n", &tid, &begin, &end, name) ==
	       4) {
		struct wv_chain_split s;

		if (end > wv_wake_known(w))
			break;
		at = ftell(spans);
		wv_wake_split(w, tid, begin, end, &s);
		printf("{\"name\":\"%s\",\"begin\":%" PRIu64 ",\"end\":%" PRIu64, name, begin, end);
		print_shares("cause", wv_gpu_cause_names, s.cause_ns, WV_GPU_CAUSE_N);
		print_shares("input", wv_gpu_input_names, s.input_ns, WV_GPU_INPUT_N);
		printf("}\n");
	}
	clearerr(spans);
	fseek(spans, at, SEEK_SET);
}

static pid_t start(struct wv_wake *w, char **argv)
{
	int go[2], r;
	char c;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (read(go[0], &c, 1) == 1)
			execvp(argv[0], argv);
		_exit(127);
	}
	r = pid > 0 ? wv_wake_watch(w, pid) : -errno;
	if (r < 0)
		fprintf(stderr, "wake_probe: cannot watch: %s\n", strerror(-r));
	else if (write(go[1], "g", 1) != 1)
		r = -errno;
	close(go[0]);
	close(go[1]);
	return r < 0 ? -1 : pid;
}

int main(int argc, char **argv)
{
	struct wv_wake *w = NULL;
	_cleanup_fclose_ FILE *spans = NULL;
	int r, status = 0;
	bool ended = false;
	pid_t pid;

	if (argc < 3)
		return 2;
	r = wv_wake_open(&w);
	if (r < 0) {
		fprintf(stderr, "wake_probe: %s\n", strerror(-r));
		return 77;
	}
	spans = fopen(argv[1], "w+e");
	pid = spans ? start(w, argv + 2) : -1;
	while (pid > 0 && !ended) {
		ended = waitpid(pid, &status, WNOHANG) == pid;
		poll(NULL, 0, 50);
		wv_wake_drain(w);
		tell(w, spans);
	}
	fprintf(stderr, "dropped %" PRIu64 "\n", wv_wake_dropped(w));
	wv_wake_close(w);
	return pid < 0 ? 1 : WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
