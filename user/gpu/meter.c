// SPDX-License-Identifier: GPL-2.0-only
#include "user/gpu/meter.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/core/cleanup.h"

#define ROUNDS_BETWEEN_LISTS 30 /* devices are looked for anew: slices come, lost ones go */

const struct wv_meter_options wv_meter_usual = {
	.io = &wv_io_system,
	.every_ns = 1000000000ULL,
	.fresh_ns = 5000000000ULL,
	/* the first call may load the driver into every device, for seconds each */
	.deadline_ns = 60000000000ULL,
	.retry_ns = 10000000000ULL,
};

/* Shared by the child, who writes, and us, who read. */
struct page {
	_Atomic uint64_t seq;  /* odd: it is being written */
	_Atomic uint64_t beat; /* when a call came back, CLOCK_MONOTONIC */
	uint64_t round;	       /* when the newest round that ended was begun; 0: none */
	uint32_t n, pad;
	struct wv_meter_device device[WV_METER_DEVICES];
};

struct wv_meter {
	struct wv_meter_options o;
	struct page *page, seen;
	uint64_t seen_seq;
	pid_t child; /* 0: none */
	bool killed;
	uint64_t next; /* when a child may be started */
	unsigned failures;
	struct wv_meter_device told;
};

static uint64_t clock_of(const struct wv_meter_options *o)
{
	return o->io->mono_ns(o->io->ctx);
}

/* --- the child ------------------------------------------------------------------------------- */

struct child {
	const struct wv_meter_options *o;
	const struct wv_nvml *nvml;
	struct page *page;
	unsigned n;
	struct {
		void *handle;
		struct wv_meter_device shown;
	} device[WV_METER_DEVICES];
};

static void came_back(void *ctx)
{
	const struct child *c = ctx;

	atomic_store_explicit(&c->page->beat, clock_of(c->o), memory_order_relaxed);
}

static void begin_change(struct page *p)
{
	atomic_store_explicit(&p->seq, p->seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void end_change(struct page *p)
{
	atomic_store_explicit(&p->seq, p->seq + 1, memory_order_release);
}

static void add_device(struct child *c, void *handle, unsigned index, bool slice)
{
	struct wv_meter_device *d = &c->device[c->n].shown;

	*d = (struct wv_meter_device){.index = slice ? UINT32_MAX : index};
	if (c->nvml->uuid(handle, d->uuid, sizeof(d->uuid)))
		return;
	if (c->nvml->name && c->nvml->name(handle, d->name, sizeof(d->name)))
		d->name[0] = '\0';
	d->uuid[sizeof(d->uuid) - 1] = d->name[sizeof(d->name) - 1] = '\0';
	c->device[c->n++].handle = handle;
}

/* The slices of a device that is cut into some. */
static void add_slices(struct child *c, void *device)
{
	const struct wv_nvml *v = c->nvml;
	unsigned now = 0, later = 0, max = 0;

	if (!v->mig_mode || !v->mig_max || !v->mig_handle || v->mig_mode(device, &now, &later) ||
	    !now || v->mig_max(device, &max))
		return;
	for (unsigned i = 0; i < max && c->n < WV_METER_DEVICES; i++) {
		void *slice;

		if (v->mig_handle(device, i, &slice) == 0)
			add_device(c, slice, 0, true);
		came_back(c);
	}
}

/* What was told of it stays until it is read anew: a new list is no news. */
static void keep_meter(const struct page *p, struct wv_meter_device *d)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->device[i].uuid, d->uuid) == 0) {
			d->at = p->device[i].at;
			d->meter = p->device[i].meter;
		}
}

/* A device that is cut is there, too: its power and heat are nobody else's. */
static void list_devices(struct child *c)
{
	unsigned n = 0;

	c->n = 0;
	if (c->nvml->count(&n))
		n = 0;
	for (unsigned i = 0; i < n && c->n < WV_METER_DEVICES; i++) {
		void *device;

		if (c->nvml->handle(i, &device) == 0) {
			add_device(c, device, i, false);
			add_slices(c, device);
		}
		came_back(c);
	}
	for (unsigned i = 0; i < c->n; i++)
		keep_meter(c->page, &c->device[i].shown);
	begin_change(c->page);
	c->page->n = c->n;
	for (unsigned i = 0; i < c->n; i++)
		c->page->device[i] = c->device[i].shown;
	end_change(c->page);
}

static void read_round(struct child *c)
{
	uint64_t begin = clock_of(c->o);

	for (unsigned i = 0; i < c->n; i++) {
		struct wv_meter_device *d = &c->device[i].shown;
		uint64_t at = clock_of(c->o);

		d->at = wv_nvml_read(c->nvml, c->device[i].handle, d->index == UINT32_MAX,
				     came_back, c, &d->meter) == 0
				? at
				: 0;
		begin_change(c->page);
		c->page->device[i] = *d;
		end_change(c->page);
	}
	begin_change(c->page);
	c->page->round = begin;
	end_change(c->page);
	came_back(c);
}

/* Nothing of the parent's is kept: not its files, nor its rights, nor its terminal. */
static void leave_parent(pid_t parent)
{
	sigset_t none;
	int null;

	/* a parent that is gone before the first call is not told of */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(0);
	(void)prctl(PR_SET_NAME, "waveos-nvml");
	(void)signal(SIGINT, SIG_IGN); /* of a terminal: the parent's business */
	(void)signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);
	closefrom(3);
	(void)!chdir("/");
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
}

static _Noreturn void be_child(const struct wv_meter_options *o, struct page *page, pid_t parent)
{
	struct child *c = calloc(1, sizeof(*c));
	struct wv_nvml nvml;

	leave_parent(parent);
	if (!c || (!o->nvml && wv_nvml_load(WV_NVML_METERS, &nvml) < 0))
		_exit(1);
	c->o = o;
	c->page = page;
	c->nvml = o->nvml ? o->nvml : &nvml;
	if (c->nvml->init())
		_exit(1);
	for (unsigned round = 0;; round++) {
		const struct timespec pause = {(time_t)(o->every_ns / 1000000000ULL),
					       (long)(o->every_ns % 1000000000ULL)};

		came_back(c);
		if (round % ROUNDS_BETWEEN_LISTS == 0)
			list_devices(c);
		read_round(c);
		nanosleep(&pause, NULL);
	}
}

/* --- we -------------------------------------------------------------------------------------- */

int wv_meter_open(const struct wv_meter_options *options, struct wv_meter **ret)
{
	struct wv_meter *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->o = *options;
	m->page = mmap(NULL, sizeof(*m->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (m->page == MAP_FAILED) {
		free(m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

/* Reaps it where it has ended. */
static bool child_ended(struct wv_meter *m)
{
	if (m->child && waitpid(m->child, NULL, WNOHANG) == 0)
		return false;
	m->child = 0;
	return true;
}

void wv_meter_close(struct wv_meter *m)
{
	const struct timespec pause = {0, 1000000};

	if (!m)
		return;
	if (m->child)
		kill(m->child, SIGKILL);
	/* one that hangs in the kernel is left to init */
	for (unsigned i = 0; !child_ended(m) && i < 200; i++)
		nanosleep(&pause, NULL);
	munmap(m->page, sizeof(*m->page));
	free(m);
}

static void start_child(struct wv_meter *m, uint64_t now)
{
	uint64_t wait = m->o.retry_ns << (m->failures < 6 ? m->failures : 6);
	pid_t parent = getpid(), pid;

	/* the one before may have died in a change; nobody else writes now */
	memset(m->page, 0, sizeof(*m->page));
	m->seen = *m->page;
	m->seen_seq = 0;
	m->page->beat = now;
	m->killed = false;
	m->next = now + wait;
	m->failures++;
	pid = fork();
	if (pid == 0)
		be_child(&m->o, m->page, parent);
	m->child = pid > 0 ? pid : 0;
}

/* A copy that is not torn, or the one before: that one ages by itself. */
static void look(struct wv_meter *m)
{
	for (unsigned i = 0; i < 10; i++) {
		uint64_t seq = atomic_load_explicit(&m->page->seq, memory_order_acquire);
		struct page copy;

		if (seq == m->seen_seq)
			return;
		if (seq & 1)
			continue;
		memcpy(&copy, m->page, sizeof(copy));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&m->page->seq, memory_order_relaxed) != seq)
			continue;
		m->seen = copy;
		if (m->seen.n > WV_METER_DEVICES)
			m->seen.n = WV_METER_DEVICES;
		m->seen_seq = seq;
		return;
	}
}

void wv_meter_turn(struct wv_meter *m)
{
	uint64_t now = clock_of(&m->o), beat;

	if (child_ended(m)) {
		if (now >= m->next)
			start_child(m, now);
		return;
	}
	look(m);
	if (m->seen.round)
		m->failures = 0;
	beat = atomic_load_explicit(&m->page->beat, memory_order_relaxed);
	if (!m->killed && now > beat + m->o.deadline_ns) {
		kill(m->child, SIGKILL); /* whether and when it dies is the driver's */
		m->killed = true;
		m->next = now + m->o.retry_ns;
	}
}

bool wv_meter_answers(const struct wv_meter *m)
{
	return m->seen.round && clock_of(&m->o) <= m->seen.round + m->o.fresh_ns;
}

const struct wv_meter_device *wv_meter_get(struct wv_meter *m, unsigned i)
{
	uint64_t now = clock_of(&m->o);

	if (i >= m->seen.n)
		return NULL;
	m->told = m->seen.device[i];
	m->told.uuid[sizeof(m->told.uuid) - 1] = m->told.name[sizeof(m->told.name) - 1] = '\0';
	if (!m->told.at || now > m->told.at + m->o.fresh_ns)
		memset(&m->told.meter, 0xff, sizeof(m->told.meter));
	return &m->told;
}

pid_t wv_meter_child(const struct wv_meter *m)
{
	return m->child;
}

bool wv_meter_is(const char *uuid, const unsigned char bytes[16])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const char *at = uuid + 4;
	unsigned n = 0;

	if ((strncmp(uuid, "GPU-", 4) != 0 && strncmp(uuid, "MIG-", 4) != 0) ||
	    strlen(at) != sizeof(form) - 1)
		return false;
	for (unsigned i = 0; form[i]; i++) {
		char digits[3] = {at[i], at[i + 1], '\0'}, *end;

		if (form[i] == '-') {
			if (at[i] != '-')
				return false;
			continue;
		}
		if (strtoul(digits, &end, 16) != bytes[n++] || end != digits + 2)
			return false;
		i++;
	}
	return true;
}
