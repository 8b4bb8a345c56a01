// SPDX-License-Identifier: GPL-2.0-only
/* The library's entries and its one thread. See cupti.h for what it may and may not do. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu/cupti/cupti.h"
#include "gpu/governor.h"

#define EXPORT __attribute__((visibility("default")))

#define TICK_NS 100000000ULL
#define FLUSH_TICKS 2	       /* between flushes that take what is complete */
#define SLACK_NS 500000000     /* records come about so late; it grows where they come later */
#define BURST_NS 2000000000ULL /* of L3 */
#define EXIT_WAIT_NS 300000000 /* longest that exit() waits for the last flush */
#define TAKEN_NS 5000000000ULL /* steps go on so long, and no record comes: somebody took them */
#define STEPS 256
#define STACK (512U << 10)

EXPORT int InitializeInjection(void);
EXPORT int waveos_gpu_start(void);
EXPORT void waveos_gpu_step(uint64_t number);
EXPORT int waveos_gpu_level(int level);

static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t steps_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t wake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake, done;

static struct {
	pid_t owner; /* 0: not started */
	bool injected, has_cupti, stopping, ended;
	char socket[108];
	/* under control */
	struct wv_cupti cupti;
	uint32_t version;
	int level, wanted, before_burst;
	unsigned degraded;
	uint64_t burst_end;
	struct wv_governor governor;
	uint64_t governor_after_ns; /* 0: its own choice; UINT64_MAX: never */
	/* under lock */
	struct wv_link link;
	struct wv_sink sink;
	struct wv_gpu_hello hello;
	bool hello_told, level_told;
	uint64_t own_ns, own_told_ns, dropped, last_record, last_step;
	/* under steps_lock */
	struct wv_gpu_step step[STEPS];
	unsigned steps;
	uint64_t step_begin;
} me = {.link = {.fd = -1}};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t wv_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static bool mine(void)
{
	return me.owner && me.owner == getpid();
}

static void push(const struct wv_gpu_frame *f)
{
	if (me.link.ring)
		wv_gpu_ring_push(me.link.ring, f);
}

/* --- CUPTI ----------------------------------------------------------------------------------- */

static void on_complete(void *context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
	int kept_errno = errno;
	uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	(void)context, (void)stream, (void)size;
	if (!buffer || !mine() || !wv_buffers_ours(buffer))
		return;
	if (valid > WV_BUFFER_BYTES)
		valid = 0;
	pthread_mutex_lock(&lock);
	if (!me.ended && valid) {
		wv_recording_add(me.cupti.next, buffer, valid);
		wv_records_take(&me.sink, me.cupti.next, buffer, valid);
		me.last_record = wv_now();
	}
	me.own_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
	pthread_mutex_unlock(&lock);
	wv_buffers_give_back(buffer);
	errno = kept_errno;
}

/* Loads CUPTI and gives it our callbacks, once. */
static unsigned prepare(void)
{
	unsigned r;

	if (me.has_cupti)
		return WV_GPU_AS_ASKED;
	if (wv_buffers_init() < 0)
		return WV_GPU_NO_CUPTI;
	r = wv_cupti_find(&me.cupti, &me.version);
	if (r)
		return r;
	/* before anything is enabled, else records have two clocks */
	if (me.cupti.register_time(wv_now) ||
	    me.cupti.register_callbacks(wv_buffers_request, on_complete))
		return WV_GPU_REFUSED;
	if (me.cupti.thread_id_type)
		me.cupti.thread_id_type(WV_THREAD_ID_SYSTEM);
	me.has_cupti = true;
	return WV_GPU_AS_ASKED;
}

/* What a device does while nothing is recorded is not idleness. */
static void blind(uint64_t begin, uint64_t end)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++)
		if (me.sink.device[i])
			wv_gpu_reduce_blind(me.sink.device[i], begin, end);
	me.level_told = false;
	pthread_mutex_unlock(&lock);
}

/* Goes to a level as far as it can. With control held. */
static void apply(int level)
{
	unsigned r = WV_GPU_AS_ASKED;
	int had = me.level;

	if (level > WV_GPU_L0 && me.injected)
		r = prepare();
	else if (level > WV_GPU_L0)
		r = WV_GPU_NO_CUPTI; /* no driver in this process */
	while (!r && me.level < level) {
		r = wv_level_rise(&me.cupti, me.level + 1);
		if (!r)
			me.level++;
	}
	while (me.level > level)
		wv_level_fall(&me.cupti, me.level--);
	me.degraded = r;
	if (had && !me.level)
		blind(wv_now(), UINT64_MAX);
	else if (!had && me.level)
		blind(0, wv_now() + WV_GPU_WINDOW_NS);
	else
		blind(0, 0);
}

static void set_level(int level)
{
	if (level == WV_GPU_L3) {
		me.before_burst = me.wanted < WV_GPU_L3 ? me.wanted : WV_GPU_L2;
		me.burst_end = wv_now() + BURST_NS;
	}
	me.wanted = level;
	wv_governor_init(&me.governor, level, wv_now());
	if (me.governor_after_ns)
		me.governor.until = wv_now() + me.governor_after_ns;
	apply(level);
}

/* --- the thread ------------------------------------------------------------------------------ */

/* Field 22 of /proc/self/stat, in nanoseconds since boot. */
static uint64_t process_start(void)
{
	char text[1024];
	char *at;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	at = strrchr(text, ')'); /* the name before it may hold spaces */
	for (unsigned i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK))
		  : 0;
}

static void tell_level(void)
{
	struct wv_gpu_level_frame f = {
		.frame = {.bytes = sizeof(f), .type = WV_GPU_LEVEL},
		.level = (uint32_t)me.level,
		.degraded = me.degraded,
		.at = wv_now(),
	};

	f.on_ns = me.governor.on_ns;
	f.off_ns = me.governor.off_ns;
	if (!me.degraded && me.governor.level < me.governor.wanted)
		f.degraded = WV_GPU_TOO_COSTLY;
	if (!f.degraded && me.dropped)
		f.degraded = WV_GPU_LOSING;
	push(&f.frame);
	me.level_told = true;
}

static void tell_hello(void)
{
	struct wv_gpu_hello *h = &me.hello;

	h->frame = (struct wv_gpu_frame){.bytes = sizeof(*h), .type = WV_GPU_HELLO};
	h->pid = (uint32_t)getpid();
	h->cupti_version = me.version;
	h->level = (uint32_t)me.level;
	if (!h->start_ns)
		h->start_ns = process_start();
	push(&h->frame);
	me.hello_told = true;
}

static void tell_windows(uint64_t now)
{
	const struct wv_gpu_window *w;
	struct wv_gpu_window out;

	for (unsigned i = 0; i < WV_GPU_DEVICES; i++) {
		while (me.sink.device[i] && wv_gpu_reduce_tell(me.sink.device[i], now, &w)) {
			out = *w;
			out.own_ns = me.own_ns - me.own_told_ns;
			out.dropped += me.dropped;
			me.own_told_ns = me.own_ns;
			me.dropped = 0;
			push(&out.frame);
		}
	}
}

static void tell_steps(void)
{
	pthread_mutex_lock(&steps_lock);
	for (unsigned i = 0; i < me.steps; i++)
		push(&me.step[i].frame);
	me.steps = 0;
	pthread_mutex_unlock(&steps_lock);
}

/* What CUPTI has complete, and how much it lost. With control held, without lock. */
static void collect(void)
{
	size_t lost = 0;

	if (!me.level)
		return;
	me.cupti.flush(0);
	if (me.cupti.dropped(NULL, 0, &lost) == WV_CUPTI_SUCCESS && lost) {
		pthread_mutex_lock(&lock);
		me.dropped += lost;
		tell_level();
		pthread_mutex_unlock(&lock);
	}
}

/* Steps go on, and records have stopped: another profiler has our callbacks now. */
static bool was_taken(uint64_t now)
{
	return me.level && me.last_record && now - me.last_record > TAKEN_NS &&
	       me.last_step > me.last_record + TAKEN_NS / 2;
}

/* The hub, its orders, the levels. */
static void tick_control(unsigned n)
{
	uint64_t now = wv_now();
	uint32_t devices = me.hello.devices;
	int order = -1;

	pthread_mutex_lock(&lock);
	if (me.link.fd >= 0 && !wv_link_alive(&me.link, &order))
		wv_link_close(&me.link);
	if (me.link.fd < 0 && n % 10 == 0 && wv_link_open(&me.link, me.socket) == 0)
		me.hello_told = me.level_told = false;
	pthread_mutex_unlock(&lock);
	if (me.injected && !devices)
		devices = wv_devices_query(&me.hello);
	pthread_mutex_lock(&control);
	if (order >= 0)
		set_level(order);
	else if (me.level == WV_GPU_L3 && now > me.burst_end)
		set_level(me.before_burst);
	if (was_taken(now)) {
		/* nothing is switched off: these switches are the other's now */
		me.level = me.wanted = WV_GPU_L0;
		me.degraded = WV_GPU_CONFLICT;
		me.injected = false;
		blind(me.last_record, UINT64_MAX);
	}
	if (n % FLUSH_TICKS == 0)
		collect();
	pthread_mutex_unlock(&control);
	pthread_mutex_lock(&lock);
	if (devices != me.hello.devices)
		me.hello_told = false;
	me.hello.devices = devices;
	pthread_mutex_unlock(&lock);
}

static void tick(unsigned n)
{
	uint64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	tick_control(n);
	pthread_mutex_lock(&lock);
	if (!me.hello_told)
		tell_hello();
	if (!me.level_told)
		tell_level();
	tell_steps();
	tell_windows(wv_now());
	me.own_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
	pthread_mutex_unlock(&lock);
}

/* What exit() leaves time for. */
static void last_words(void)
{
	struct wv_gpu_frame bye = {.bytes = sizeof(bye), .type = WV_GPU_BYE};

	pthread_mutex_lock(&control);
	collect();
	pthread_mutex_unlock(&control);
	pthread_mutex_lock(&lock);
	tell_steps();
	for (unsigned i = 0; i < WV_GPU_DEVICES; i++) {
		struct wv_gpu_reducer *r = me.sink.device[i];

		if (r)
			r->slack_ns = r->least_slack_ns = r->late_from = 0;
	}
	tell_windows(wv_now());
	push(&bye);
	me.ended = true;
	pthread_mutex_unlock(&lock);
}

static void after(struct timespec *t, uint64_t ns)
{
	uint64_t at = wv_now() + ns;

	t->tv_sec = (time_t)(at / 1000000000ULL);
	t->tv_nsec = (long)(at % 1000000000ULL);
}

static void *work(void *arg)
{
	struct timespec t;
	bool stop = false;

	(void)arg;
	for (unsigned n = 0; !stop; n++) {
		tick(n);
		after(&t, TICK_NS);
		pthread_mutex_lock(&wake_lock);
		if (!me.stopping)
			pthread_cond_timedwait(&wake, &wake_lock, &t);
		stop = me.stopping;
		pthread_mutex_unlock(&wake_lock);
	}
	last_words();
	pthread_mutex_lock(&wake_lock);
	pthread_cond_signal(&done);
	pthread_mutex_unlock(&wake_lock);
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_exit_of_program(void)
{
	struct timespec t;

	if (!mine())
		return;
	after(&t, EXIT_WAIT_NS);
	/* the thread's own flush may hang in the driver: this waits for it, but not for ever */
	pthread_mutex_lock(&wake_lock);
	me.stopping = true;
	pthread_cond_signal(&wake);
	while (!me.ended && pthread_cond_timedwait(&done, &wake_lock, &t) == 0)
		;
	pthread_mutex_unlock(&wake_lock);
}

static void conditions(void)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&wake, &a);
	pthread_cond_init(&done, &a);
	pthread_condattr_destroy(&a);
}

/* Another thread may have held any lock: they are made anew, and all is forgotten. */
static void in_child(void)
{
	int kept_errno = errno;

	if (!me.owner)
		return;
	control = lock = steps_lock = wake_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	wv_link_forget(&me.link);
	wv_buffers_forget();
	wv_recording_forget();
	wv_sink_forget(&me.sink);
	memset(&me, 0, sizeof(me));
	me.link.fd = -1;
	errno = kept_errno;
}

static int thread_start(void)
{
	sigset_t all, had;
	pthread_attr_t a;
	pthread_t t;
	int r;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, STACK);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	/* none of the program's signals is for this thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &had);
	r = pthread_create(&t, &a, work, NULL);
	pthread_sigmask(SIG_SETMASK, &had, NULL);
	pthread_attr_destroy(&a);
	return -r;
}

/* 0: it runs. With control held. */
static int start(bool injected)
{
	static bool once;
	const char *socket = getenv("WAVEOS_GPU_SOCKET"), *level = getenv("WAVEOS_GPU_LEVEL");
	const char *recording = getenv("WAVEOS_GPU_RECORD"),
		   *after_s = getenv("WAVEOS_GPU_GOVERNOR");
	bool record = recording && *recording;
	bool first = !mine();
	int r;

	if (((!socket || !*socket) && !record) || (socket && strlen(socket) >= sizeof(me.socket)))
		return -ENOTCONN;
	if (first) {
		me.wanted = level && *level >= '0' && *level <= '3' ? *level - '0' : WV_GPU_L1;
		if (socket)
			strcpy(me.socket, socket);
		me.sink.slack_ns = SLACK_NS;
		if (after_s && *after_s)
			me.governor_after_ns = strtoull(after_s, NULL, 10) * 1000000000ULL;
		if (after_s && *after_s && !me.governor_after_ns)
			me.governor_after_ns = UINT64_MAX;
		me.step_begin = wv_now();
		me.owner = getpid();
		conditions();
	}
	if (injected && !me.injected) {
		me.injected = true;
		if (record)
			wv_recording_open(recording);
		set_level(me.wanted);
	}
	if (!first)
		return 0;
	r = thread_start();
	if (r < 0) {
		apply(WV_GPU_L0);
		me.owner = 0;
		return r;
	}
	if (!once) {
		once = true;
		pthread_atfork(NULL, NULL, in_child);
		atexit(on_exit_of_program);
	}
	return 0;
}

static int start_locked(bool injected)
{
	int kept_errno = errno, r;

	pthread_mutex_lock(&control);
	r = start(injected);
	pthread_mutex_unlock(&control);
	errno = kept_errno;
	return r;
}

int InitializeInjection(void)
{
	start_locked(true);
	return 1; /* the driver goes on, whatever became of us */
}

int waveos_gpu_start(void)
{
	return start_locked(false);
}

/* Levels change between two steps, in the thread that makes them; never waited for. */
static void govern(uint64_t now, uint64_t step)
{
	bool verdict;
	int level;

	if (pthread_mutex_trylock(&control) != 0)
		return;
	if (me.governor_after_ns != UINT64_MAX && me.wanted != WV_GPU_L3 && me.injected &&
	    me.has_cupti) {
		level = wv_governor_step(&me.governor, now, step, &verdict);
		if (level != me.level && (!me.degraded || level < me.level))
			apply(level);
		if (verdict)
			blind(0, 0);
	}
	pthread_mutex_unlock(&control);
}

void waveos_gpu_step(uint64_t number)
{
	uint64_t now, begin;

	if (!mine())
		return;
	now = wv_now();
	pthread_mutex_lock(&steps_lock);
	if (me.steps < STEPS)
		me.step[me.steps++] = (struct wv_gpu_step){
			.frame = {.bytes = sizeof(struct wv_gpu_step), .type = WV_GPU_STEP},
			.tid = (uint32_t)gettid(),
			.confidence_permille = 1000,
			.begin = me.step_begin,
			.end = now,
			.number = number,
		};
	begin = me.step_begin;
	me.step_begin = now;
	me.last_step = now;
	pthread_mutex_unlock(&steps_lock);
	govern(now, now - begin);
}

int waveos_gpu_level(int level)
{
	if (level < WV_GPU_L0 || level > WV_GPU_L3)
		return -EINVAL;
	if (!mine())
		return -ENOTCONN;
	pthread_mutex_lock(&control);
	set_level(level);
	pthread_mutex_unlock(&control);
	return 0;
}
