// SPDX-License-Identifier: GPL-2.0-only
/* detach: stops the agent and leaves the machine as it was before the first attach. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/agent/supervisor.h"
#include "user/cmd/cmd.h"
#include "user/core/bpf.h"
#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/core/io.h"
#include "user/core/log.h"
#include "user/enforce/enforce.h"
#include "user/proxy/proxy.h"
#include "user/recover/recover.h"
#include "user/recover/services.h"

/* How long the agent may take to end; its workers have 5 s to flush. */
#define WAIT_TRIES 1000
static const struct timespec wait_step = {.tv_nsec = 10000000};

/* Asks the agent that holds the lock to detach, and waits until the lock is free. */
static int stop_agent(const struct wv_paths *paths, int *ret_lock, int *ret_pid)
{
	int asked = 0, pid = 0, r;

	for (int i = 0; i < WAIT_TRIES; i++) {
		r = wv_agent_lock(paths, ret_lock, &pid);
		if (r != -EBUSY)
			return r;
		if (pid > 0 && asked != pid) {
			if (kill(pid, SIGUSR2) < 0)
				return -errno;
			*ret_pid = asked = pid;
		}
		(void)nanosleep(&wait_step, NULL);
	}
	return -ETIMEDOUT;
}

static int no_option(void *ctx _unused_, const struct wv_option *o _unused_,
		     const char *value _unused_)
{
	return WV_EXIT_USAGE;
}

int wv_cmd_detach(struct wv_cli *cli, int argc, char **argv)
{
	_cleanup_close_ int lock = -1;
	struct wv_host host;
	int r, pid = 0, reverted;

	r = wv_cli_parse(cli, argc, argv, "detach", "  waveos-bpf detach\n", NULL, no_option, NULL);
	if (r < 0)
		return -r;
	if (access(cli->paths.runtime, F_OK) < 0 && access(cli->paths.pins, F_OK) < 0) {
		printf("nothing to detach: no agent ever ran here (%s)\n", cli->paths.runtime);
		return WV_EXIT_OK;
	}
	r = stop_agent(&cli->paths, &lock, &pid);
	if (r < 0 && r != -ENOENT) {
		fprintf(stderr, "waveos-bpf detach: %s\n",
			r == -ETIMEDOUT
				? "the agent did not end within 10 s; kill it and call detach again"
				: strerror(-r));
		return r == -EPERM || r == -EACCES ? WV_EXIT_DENIED : WV_EXIT_INTERNAL;
	}
	wv_host_probe(&host);
	(void)wv_services_stop_all(&cli->paths, &host, stdout);
	if (wv_proxy_end(&cli->paths) > 0)
		printf("stopped the proxies\n");
	reverted = wv_recover_revert_all(&cli->paths, &host, &wv_io_system, stdout);
	r = wv_enforce_revert_all(&cli->paths, &host, &wv_io_system, stdout);
	reverted = r < 0 ? r : reverted;
	r = wv_bpf_unpin_all(&cli->paths);
	if (pid)
		printf("stopped agent %d\n", pid);
	if (reverted < 0)
		fprintf(stderr, "waveos-bpf detach: not everything could be restored: %s\n",
			strerror(-reverted));
	if (r < 0)
		fprintf(stderr, "waveos-bpf detach: pins below %s remain: %s\n", cli->paths.pins,
			strerror(-r));
	if (reverted < 0 || r < 0)
		return WV_EXIT_INTERNAL;
	printf("detached: no program, map or limit of the agent is left\n");
	return WV_EXIT_OK;
}
