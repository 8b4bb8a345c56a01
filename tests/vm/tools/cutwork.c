// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's part of a power cut: a scenario of the crash simulator (tests/sim) on a real kernel,
 * a real file system and a disk that loses what was not flushed. Waits for one line on the control
 * port, "SCENARIO SEED PLANT MOUNT-OPTIONS", mounts the disk, checks it against what was told
 * before the cut (second disk), says "checked" or "wrong: ...", and works on until the power goes.
 * Everything that it tries and promises goes to the control port first, one line each. PLANT is a
 * planted bug: "no-sync" says of every fsync that it worked, "-" is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tests/sim/scenario.h"
#include "user/core/cleanup.h"
#include "user/core/log.h"

#define PORT "/dev/ttyS1"
#define DISK "/dev/vda"
#define FACTS "/dev/vdb"
#define FACTS_SIZE (1U << 20)
#define ROOT "/simulated-root"

static const struct wv_sim_scenario *const scenarios[] = {
#define X(name) &wv_sim_##name,
#include "tests/sim/scenarios.def"
#undef X
};

static int port = -1;

static void say(const char *text)
{
	(void)!write(port, text, strlen(text));
	/* on the wire before anything that it announces can be on the disk */
	(void)tcdrain(port);
}

static void fail(const char *what)
{
	char line[256];

	snprintf(line, sizeof(line), "broken: %s: %s\n", what, strerror(errno));
	say(line);
	for (;;)
		pause();
}

static void tell(const struct wv_sim_fact *f)
{
	char line[96];

	snprintf(line, sizeof(line), "%c %s %llu\n", f->acked ? 'A' : 'T', f->what,
		 (unsigned long long)f->n);
	say(line);
}

static void read_line(char *buf, size_t size)
{
	size_t n = 0;

	while (n + 1 < size && read(port, buf + n, 1) == 1 && buf[n] != '\n')
		n++;
	buf[n] = '\0';
}

/* The disk was written behind the kernel's back since the machine was frozen. */
static char *read_facts(void)
{
	int fd = open(FACTS, O_RDONLY | O_DIRECT | O_CLOEXEC);
	char *buf = aligned_alloc(4096, FACTS_SIZE + 4096);
	ssize_t n = fd < 0 || !buf ? -1 : read(fd, buf, FACTS_SIZE);

	if (n < 0)
		fail(FACTS);
	buf[n] = '\0';
	close(fd);
	return buf;
}

static void load_facts(struct wv_sim *s)
{
	char *text = read_facts(), *line, *rest = text;

	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned long long n;
		char kind, what[32];

		if (sscanf(line, "%c %31s %llu", &kind, what, &n) != 3)
			fail(line);
		if (kind == 'A')
			wv_sim_ack(s, wv_sim_name(what, strlen(what)), n);
		else
			wv_sim_try(s, wv_sim_name(what, strlen(what)), n);
	}
	free(text);
}

static void enter_disk(const char *options)
{
	(void)mkdir(ROOT, 0755);
	if (mount(DISK, ROOT, "ext4", 0, options) < 0)
		fail("mount");
	(void)mkdir(ROOT "/proc", 0755);
	if (mount("proc", ROOT "/proc", "proc", 0, NULL) < 0)
		fail("proc");
	if (chroot(ROOT) < 0 || chdir("/") < 0)
		fail("chroot");
}

static const struct wv_sim_scenario *find_scenario(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
	errno = ENOENT;
	fail(name);
	return NULL;
}

static int no_sync(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

int main(void)
{
	char line[256], name[32], plant[32], options[128] = "", why[300] = "wrong: ";
	const struct wv_sim_scenario *sc;
	unsigned long long seed;
	struct termios t;
	struct wv_sim s;

	port = open(PORT, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0)
		return 1;
	if (tcgetattr(port, &t) == 0) {
		cfmakeraw(&t);
		(void)tcsetattr(port, TCSANOW, &t);
	}
	wv_log_init(WV_LOG_TEXT, LOG_EMERG);
	/* loaded now, so that it is in the frozen machine */
	wv_sim_init(&s, 1);
	say("ready\n");
	read_line(line, sizeof(line));
	if (sscanf(line, "%31s %llu %31s %127s", name, &seed, plant, options) < 3) {
		errno = EINVAL;
		fail(line);
	}
	sc = find_scenario(name);
	wv_sim_free(&s);
	wv_sim_init(&s, seed);
	s.io = wv_io_system;
	if (strcmp(plant, "no-sync") == 0)
		s.io.fsync = no_sync;
	load_facts(&s);
	enter_disk(options);
	s.told = tell;
	if (!s.n_facts && sc->setup && sc->setup(&s) < 0)
		fail("setup");
	if (s.n_facts && (sc->check(&s, why + 7, sizeof(why) - 8) < 0 ||
			  (sc->audit && sc->audit(why + 7, sizeof(why) - 8) < 0))) {
		strcat(why, "\n");
		say(why);
		for (;;)
			pause();
	}
	say("checked\n");
	for (;;)
		if (sc->run(&s) < 0)
			fail("run");
}
