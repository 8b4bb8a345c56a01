// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/packs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/evidence/pack_due.h"

/* A rule may ask at any tick; a look is one listing of a small folder. */
#define LOOK_EVERY_NS 1000000000ULL
#define CADENCE_NAME "packs/cadence"

int (*wv_packs_summary)(const char *run_dir, char **ret_html);

/* Twice forked, so that nobody has to wait for it; it holds none of the agent's maps and sockets.
 */
static void spawn(struct wv_agent *agent, const struct wv_pack_due *due)
{
	pid_t pid = fork();
	int r;

	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (pid < 0)
		(void)wv_log_warn(-errno, "pack", "fork");
	if (pid != 0)
		return;
	if (fork() != 0)
		_exit(0);
	(void)close_range(3, ~0U, 0);
	(void)signal(SIGTERM, SIG_DFL);
	(void)setpriority(PRIO_PROCESS, 0, 19);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		      IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	r = wv_pack_auto(agent->io, agent->paths, agent->config, due, agent->host->boot_id,
			 wv_packs_summary);
	_exit(r < 0);
}

/* When the next one of the cadence is due: one interval after the last, which a file tells. */
static uint64_t next_cadence(const struct wv_agent *agent, uint64_t now)
{
	_cleanup_free_ char *text = NULL;
	char path[2 * WV_PATH_SIZE];
	uint64_t last = 0;

	snprintf(path, sizeof(path), "%s/" CADENCE_NAME, agent->paths->state);
	if (wv_io_read_file(agent->io, AT_FDCWD, path, 64, &text, NULL) < 0 ||
	    wv_parse_uint(text, &last) < 0 || last > now)
		return now + agent->config->evidence_pack_every;
	return last + agent->config->evidence_pack_every;
}

static void note_cadence(const struct wv_agent *agent, uint64_t now)
{
	char path[2 * WV_PATH_SIZE], text[32];
	int dir, r;

	snprintf(path, sizeof(path), "%s/packs", agent->paths->state);
	r = wv_io_mkdirs(agent->io, path, 0750);
	dir = r < 0 ? r
		    : agent->io->open(agent->io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)now);
	if (dir >= 0) {
		r = wv_io_replace(agent->io, dir, strrchr(CADENCE_NAME, '/') + 1, text,
				  strlen(text), 0640);
		(void)agent->io->close(agent->io->ctx, dir);
	}
	if (dir < 0 || r < 0)
		(void)wv_log_full(LOG_DEBUG, r, "pack", "cadence");
}

static bool cadence_due(struct wv_packs *p, const struct wv_agent *agent)
{
	uint64_t now = agent->io->wall_ns(agent->io->ctx);

	if (!agent->config->evidence_pack_every)
		return false;
	if (!p->cadence_ns) {
		p->cadence_ns = next_cadence(agent, now);
		if (p->cadence_ns == now + agent->config->evidence_pack_every)
			note_cadence(agent, now);
	}
	/* a clock that was set back must not silence it */
	if (now < p->cadence_ns && p->cadence_ns - now <= agent->config->evidence_pack_every)
		return false;
	p->cadence_ns = now + agent->config->evidence_pack_every;
	note_cadence(agent, now);
	return true;
}

void wv_packs_tick(struct wv_packs *p, struct wv_agent *agent)
{
	uint64_t now = agent->io->mono_ns(agent->io->ctx), next;
	struct wv_pack_due due;

	if (now < p->look_ns)
		return;
	p->look_ns = now + LOOK_EVERY_NS;
	if (p->started_ns && now - p->started_ns < agent->config->evidence_pack_gap)
		return;
	if (wv_pack_due_next(agent->io, agent->paths->state, agent->host->boot_id, &due, &next) > 0)
		spawn(agent, &due);
	else if (cadence_due(p, agent))
		spawn(agent, NULL);
	else
		return;
	p->started_ns = now;
}
