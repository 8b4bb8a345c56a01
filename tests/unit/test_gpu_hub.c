// SPDX-License-Identifier: GPL-2.0-only
/* What the hub makes of rings, and what it makes of those that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>

#include "gpu/reduce.h"
#include "gpu/ring.h"
#include "user/core/cleanup.h"
#include "user/gpu/hub_internal.h"

#define MS 1000000ULL

static uint64_t random_state = 88172645463325252ULL;

static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

/* --- join ------------------------------------------------------------------------------------ */

/* Half of what is asked is input, of which a third is fetching; the rest is the host's. */
static void planted(void *ctx _unused_, uint32_t tid _unused_, uint64_t begin, uint64_t end,
		    struct wv_chain_split *ret)
{
	uint64_t ns = end - begin;

	*ret = (struct wv_chain_split){0};
	ret->cause_ns[WV_GPU_CAUSE_INPUT] = ns / 2;
	ret->cause_ns[WV_GPU_CAUSE_HOST] = ns - ns / 2;
	ret->input_ns[WV_GPU_INPUT_FETCH] = ns / 6;
	ret->input_ns[WV_GPU_INPUT_PREP] = ns / 2 - ns / 6;
}

static const struct wv_gpu_waits waits = {NULL, planted};

/* A window in which kernels run as given, made by the reducer itself. */
static void make_window(struct wv_gpu_window *ret, const uint64_t spans[][2], unsigned n,
			enum wv_gpu_class class)
{
	struct wv_gpu_reducer *r = malloc(sizeof(*r));
	const struct wv_gpu_window *w;

	assert_non_null(r);
	wv_gpu_reduce_init(r, 0, 0);
	wv_gpu_reduce_start(r, 1000 * WV_GPU_WINDOW_NS);
	for (unsigned i = 0; i < n; i++)
		wv_gpu_reduce_add(
			r, &(struct wv_gpu_activity){.class = class,
						     .begin = 1000 * WV_GPU_WINDOW_NS + spans[i][0],
						     .end = 1000 * WV_GPU_WINDOW_NS + spans[i][1],
						     .name = "k"});
	assert_true(wv_gpu_reduce_tell(r, 1001 * WV_GPU_WINDOW_NS, &w));
	*ret = *w;
	free(r);
	assert_true(wv_gpu_window_valid(ret, 1, UINT64_MAX));
}

static void assert_sums(const struct wv_gpu_told *t)
{
	const struct wv_gpu_shares *s = &t->sums.shares;
	uint64_t causes = 0, inputs = 0;

	for (unsigned i = 0; i < WV_GPU_CAUSE_N; i++)
		causes += t->sums.cause_ns[i];
	for (unsigned i = 0; i < WV_GPU_INPUT_N; i++)
		inputs += t->sums.input_ns[i];
	assert_int_equal(s->kernel + s->exposed + s->memory + s->idle, s->window);
	assert_int_equal(causes, s->idle);
	assert_int_equal(inputs, t->sums.cause_ns[WV_GPU_CAUSE_INPUT]);
}

static void join_two_processes_busy_at_once_count_once(void **state _unused_)
{
	static const uint64_t a[][2] = {{0, 40 * MS}}, b[][2] = {{20 * MS, 60 * MS}};
	struct wv_gpu_window w[2];
	struct wv_gpu_told told;

	make_window(&w[0], a, 1, WV_GPU_KERNEL);
	make_window(&w[1], b, 1, WV_GPU_COMMS);
	wv_gpu_join((struct wv_gpu_part[]){{&w[0], 1}, {&w[1], 2}}, 2, 0, &waits, &told);
	assert_int_equal(told.sums.shares.kernel, 40 * MS);
	assert_int_equal(told.sums.shares.comms, 40 * MS);
	assert_int_equal(told.sums.shares.overlapped, 20 * MS);
	assert_int_equal(told.sums.shares.exposed, 20 * MS);
	assert_int_equal(told.sums.shares.idle, 40 * MS);
	assert_int_equal(told.gaps, 1);
	assert_int_equal(told.names, 1); /* both are called the same */
	assert_sums(&told);
}

static void join_gap_is_the_hosts_until_the_launch(void **state _unused_)
{
	static const uint64_t a[][2] = {{0, 50 * MS}, {80 * MS, 100 * MS}};
	struct wv_gpu_window w;
	struct wv_gpu_told told;

	make_window(&w, a, 2, WV_GPU_KERNEL);
	w.gap[0].launch = w.begin + 70 * MS;
	w.gap[0].launch_tid = 7;
	wv_gpu_join(&(struct wv_gpu_part){&w, 1}, 1, 0, &waits, &told);
	assert_int_equal(told.sums.cause_ns[WV_GPU_CAUSE_LAUNCH], 10 * MS);
	assert_int_equal(told.sums.cause_ns[WV_GPU_CAUSE_INPUT], 10 * MS);
	assert_int_equal(told.sums.cause_ns[WV_GPU_CAUSE_HOST], 10 * MS);
	assert_sums(&told);
	/* launched before the gap: it waited on the device */
	w.gap[0].launch = w.begin + 10 * MS;
	wv_gpu_join(&(struct wv_gpu_part){&w, 1}, 1, 0, &waits, &told);
	assert_int_equal(told.sums.cause_ns[WV_GPU_CAUSE_LAUNCH], 30 * MS);
	assert_sums(&told);
}

static void join_random_windows_sums_are_exact(void **state _unused_)
{
	for (unsigned round = 0; round < 300; round++) {
		struct wv_gpu_window w[3];
		struct wv_gpu_part parts[3];
		struct wv_gpu_told told;
		unsigned n = 1 + pick(3);

		for (unsigned p = 0; p < n; p++) {
			uint64_t spans[200][2];
			unsigned count = pick(200);

			for (unsigned i = 0; i < count; i++) {
				spans[i][0] = pick(99 * MS);
				spans[i][1] = spans[i][0] + 1 + pick(MS);
			}
			make_window(&w[p], (const uint64_t(*)[2])spans, count, pick(3));
			parts[p] = (struct wv_gpu_part){&w[p], p};
		}
		wv_gpu_join(parts, n, 0, pick(2) ? &waits : NULL, &told);
		assert_sums(&told);
	}
}

static void window_that_does_not_add_up_is_refused(void **state _unused_)
{
	static const uint64_t a[][2] = {{0, 50 * MS}, {80 * MS, 100 * MS}};
	struct wv_gpu_window good, w;

	make_window(&good, a, 2, WV_GPU_KERNEL);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		w = good;                                                                          \
		change;                                                                            \
		assert_false(wv_gpu_window_valid(&w, 1, UINT64_MAX));                              \
	} while (0)
	REFUSED(w.idle_ns++);
	REFUSED(w.kernel_ns = UINT64_MAX);
	REFUSED(w.comms_ns = 1);
	REFUSED(w.device = 1);
	REFUSED(w.gaps = WV_GPU_GAPS + 1);
	REFUSED(w.gap[0].end = w.end + 1);
	REFUSED(w.gap[0].end = w.gap[0].begin);
	REFUSED(w.gap[0].begin = w.begin - 1);
	REFUSED(w.busy_n[0] = WV_GPU_BUSY + 1);
	REFUSED(w.busy[0][1].begin = w.busy[0][0].end - 1);
	REFUSED(w.begin++);
	assert_false(wv_gpu_window_valid(&good, 1, good.end - 1)); /* of the future */
#undef REFUSED
}

/* --- the hub, over its socket ---------------------------------------------------------------- */

struct seen {
	unsigned windows, steps;
	uint64_t last_begin;
	struct wv_gpu_told_step step;
};

static void on_window(void *ctx, const struct wv_gpu_told *w)
{
	struct seen *s = ctx;

	assert_true(w->begin > s->last_begin);
	s->last_begin = w->begin;
	s->windows++;
	assert_sums(w);
}

static void on_step(void *ctx, const struct wv_gpu_told_step *st)
{
	struct seen *s = ctx;

	s->steps++;
	s->step = *st;
}

struct client {
	int fd;
	struct wv_gpu_ring *ring;
};

static char path[64];

static struct client client_connect(unsigned seals)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct client c = {.fd = socket(AF_UNIX, SOCK_SEQPACKET, 0)};
	int memory = memfd_create("ring", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte = 'W';
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	strcpy(addr.sun_path, path);
	assert_int_equal(ftruncate(memory, WV_GPU_RING_SIZE), 0);
	c.ring = mmap(NULL, WV_GPU_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	assert_true(c.ring != MAP_FAILED);
	wv_gpu_ring_init(c.ring);
	if (seals)
		assert_int_equal(fcntl(memory, F_ADD_SEALS, seals), 0);
	assert_int_equal(connect(c.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &memory, sizeof(memory));
	assert_int_equal(sendmsg(c.fd, &m, 0), 1);
	close(memory);
	return c;
}

static void client_close(struct client *c)
{
	close(c->fd);
	munmap(c->ring, WV_GPU_RING_SIZE);
}

static void push(struct client *c, void *frame, size_t size, unsigned type)
{
	struct wv_gpu_frame *f = frame;

	*f = (struct wv_gpu_frame){.bytes = (uint32_t)size, .type = (uint16_t)type};
	assert_true(wv_gpu_ring_push(c->ring, f));
}

static void greet(struct client *c, unsigned devices)
{
	struct wv_gpu_hello hello = {.devices = devices, .level = WV_GPU_L2};

	for (unsigned i = 0; i < devices; i++) {
		hello.device[i].uuid[0] = (unsigned char)(i + 1);
		strcpy(hello.device[i].name, "planted");
	}
	push(c, &hello, sizeof(hello), WV_GPU_HELLO);
}

static struct wv_gpu_hub *hub;
static struct seen seen;

static int setup(void **state _unused_)
{
	const struct wv_gpu_hub_listener listener = {&seen, on_window, on_step};

	seen = (struct seen){0};
	snprintf(path, sizeof(path), "/tmp/test-gpu-hub-%d", getpid());
	return wv_gpu_hub_open(&(struct wv_gpu_hub_options){.socket = path}, &listener, &hub);
}

static int teardown(void **state _unused_)
{
	wv_gpu_hub_close(hub);
	return access(path, F_OK) == 0;
}

static void turns(void)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(wv_gpu_hub_turn(hub), 0);
}

static void hub_windows_wait_for_the_slower_process(void **state _unused_)
{
	static const uint64_t a[][2] = {{0, 40 * MS}};
	struct client one = client_connect(F_SEAL_SHRINK), two = client_connect(F_SEAL_SHRINK);
	uint64_t begin =
		wv_io_system.mono_ns(wv_io_system.ctx) / WV_GPU_WINDOW_NS * WV_GPU_WINDOW_NS -
		10 * WV_GPU_WINDOW_NS;
	struct wv_gpu_window w;
	int64_t shift;

	greet(&one, 1);
	greet(&two, 1);
	make_window(&w, a, 1, WV_GPU_KERNEL);
	shift = (int64_t)(begin - w.begin);
	w.gap[0].begin += (uint64_t)shift;
	w.gap[0].end += (uint64_t)shift;
	w.begin += (uint64_t)shift;
	w.end += (uint64_t)shift;
	turns();
	push(&one, &w, sizeof(w), WV_GPU_WINDOW);
	push(&two, &w, sizeof(w), WV_GPU_WINDOW);
	turns();
	assert_int_equal(seen.windows, 1);
	w.begin += WV_GPU_WINDOW_NS;
	w.end += WV_GPU_WINDOW_NS;
	w.gap[0].begin += WV_GPU_WINDOW_NS;
	w.gap[0].end += WV_GPU_WINDOW_NS;
	push(&one, &w, sizeof(w), WV_GPU_WINDOW);
	turns();
	assert_int_equal(seen.windows, 1);
	client_close(&two); /* nobody waits for the dead */
	turns();
	assert_int_equal(seen.windows, 2);
	client_close(&one);
	turns();
}

static void hub_step_is_told_and_shown(void **state _unused_)
{
	struct client c = client_connect(F_SEAL_SHRINK);
	struct wv_gpu_view *v = calloc(1, sizeof(*v));
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
	struct wv_gpu_step s = {.tid = (uint32_t)getpid(), .confidence_permille = 1000};

	assert_non_null(v);
	greet(&c, 0);
	for (unsigned i = 0; i < 200; i++) { /* more than are kept */
		s.begin = now - (300 - i) * MS;
		s.end = s.begin + MS;
		s.number = i;
		push(&c, &s, sizeof(s), WV_GPU_STEP);
	}
	turns();
	assert_int_equal(seen.steps, 200);
	assert_int_equal(seen.step.number, 199);
	assert_int_equal(seen.step.cause_ns[WV_GPU_CAUSE_UNKNOWN], MS); /* no BPF was asked for */
	wv_gpu_hub_show(hub, v);
	assert_int_equal(v->n_processes, 1);
	assert_int_equal(v->process[0].pid, getpid());
	assert_int_equal(v->process[0].steps, 200);
	assert_int_equal(v->process[0].step_ns, MS);
	free(v);
	client_close(&c);
	turns();
}

static void expect_let_go(struct client *c, uint64_t refused)
{
	char byte;

	turns();
	assert_int_equal(hub->refused, refused);
	/* the other end is closed */
	assert_int_equal(recv(c->fd, &byte, 1, MSG_DONTWAIT), 0);
	client_close(c);
}

static void hub_who_lies_is_let_go_of(void **state _unused_)
{
	struct wv_gpu_step s = {.begin = 2, .end = 1, .tid = 1};
	struct wv_gpu_hello hello = {.devices = WV_GPU_DEVICES + 1};
	struct client c = client_connect(0); /* could shrink */

	expect_let_go(&c, 1);
	c = client_connect(F_SEAL_SHRINK); /* no greeting */
	push(&c, &s, sizeof(s), WV_GPU_STEP);
	expect_let_go(&c, 2);
	c = client_connect(F_SEAL_SHRINK);
	greet(&c, 1);
	push(&c, &s, sizeof(s), WV_GPU_STEP);
	expect_let_go(&c, 3);
	c = client_connect(F_SEAL_SHRINK);
	push(&c, &hello, sizeof(hello), WV_GPU_HELLO);
	expect_let_go(&c, 4);
	c = client_connect(F_SEAL_SHRINK);
	c.ring->magic = 0;
	expect_let_go(&c, 5);
	c = client_connect(F_SEAL_SHRINK);
	turns();
	atomic_store(&c.ring->head, 12345);
	expect_let_go(&c, 6);
	c = client_connect(F_SEAL_SHRINK);
	turns();
	atomic_store(&c.ring->head, 1ULL << 60);
	expect_let_go(&c, 7);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join_two_processes_busy_at_once_count_once),
		cmocka_unit_test(join_gap_is_the_hosts_until_the_launch),
		cmocka_unit_test(join_random_windows_sums_are_exact),
		cmocka_unit_test(window_that_does_not_add_up_is_refused),
		T(hub_windows_wait_for_the_slower_process),
		T(hub_step_is_told_and_shown),
		T(hub_who_lies_is_let_go_of),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
