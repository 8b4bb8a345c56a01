// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hub's doors: connections, rings, frames. A process that connects sends its ring, a sealed
 * memfd; what it writes there is judged before it is used, and who lies is let go of.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/gpu/hub_internal.h"

/* Frames that are taken of one process in a turn: others wait for theirs. */
#define FRAMES_A_TURN 256

static void split(void *ctx, uint32_t tid, uint64_t begin, uint64_t end, struct wv_chain_split *ret)
{
	const struct wv_gpu_hub *h = ctx;

	wv_wake_split(h->wake, (pid_t)tid, begin, end, ret);
}

static int open_socket(struct wv_gpu_hub *h, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	h->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (h->socket < 0)
		return -errno;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (bind(h->socket, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	h->path = strdup(path);
	/* a connection gives nothing away: it only tells */
	if (!h->path || chmod(path, 0666) < 0 || listen(h->socket, 64) < 0)
		return -errno;
	return 0;
}

static int watch_fd(const struct wv_gpu_hub *h, int fd, uint32_t number)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = number};

	return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int wv_gpu_hub_open(const struct wv_gpu_hub_options *options,
		    const struct wv_gpu_hub_listener *listener, struct wv_gpu_hub **ret)
{
	struct wv_gpu_hub *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->listener = *listener;
	h->waits = (struct wv_gpu_waits){h, split};
	h->socket = -1;
	for (unsigned i = 0; i < HUB_PROCESSES; i++)
		h->process[i].fd = -1;
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = h->epoll < 0 ? -errno : open_socket(h, options->socket);
	if (r == 0)
		r = watch_fd(h, h->socket, HUB_PROCESSES);
	if (r < 0) {
		wv_gpu_hub_close(h);
		return r;
	}
	if (options->wakes && wv_wake_open(&h->wake) < 0)
		h->wake = NULL;
	if (options->nvml && wv_meter_open(&wv_meter_usual, &h->meter) < 0)
		h->meter = NULL;
	*ret = h;
	return 0;
}

static void release(struct wv_gpu_hub *h, struct hub_process *p)
{
	if (p->memory)
		munmap(p->memory, p->size);
	if (h->wake && p->watched)
		wv_wake_forget(h->wake, p->pid);
	free(p->busy);
	close(p->fd);
	*p = (struct hub_process){.fd = -1};
}

void wv_gpu_hub_close(struct wv_gpu_hub *h)
{
	if (!h)
		return;
	for (unsigned i = 0; i < HUB_PROCESSES; i++)
		if (h->process[i].fd >= 0)
			release(h, &h->process[i]);
	for (unsigned i = 0; i < h->devices; i++)
		for (unsigned k = 0; k < HUB_PENDING; k++)
			for (unsigned n = 0; n < h->device[i].pending[k].n; n++)
				free(h->device[i].pending[k].window[n]);
	wv_wake_close(h->wake);
	wv_meter_close(h->meter);
	if (h->path)
		unlink(h->path);
	free(h->path);
	if (h->socket >= 0)
		close(h->socket);
	if (h->epoll >= 0)
		close(h->epoll);
	free(h);
}

int wv_gpu_hub_fd(const struct wv_gpu_hub *h)
{
	return h->epoll;
}

int wv_gpu_hub_watch(struct wv_gpu_hub *h, pid_t pid)
{
	int r = h->wake ? wv_wake_watch(h->wake, pid) : -EOPNOTSUPP;

	if (r == 0 && h->n_watched < ARRAY_SIZE(h->watched))
		h->watched[h->n_watched++] = pid;
	return r;
}

uint64_t wv_gpu_hub_known(const struct wv_gpu_hub *h)
{
	return h->wake ? wv_wake_known(h->wake) : 0;
}

void wv_gpu_hub_split(const struct wv_gpu_hub *h, pid_t tid, uint64_t begin, uint64_t end,
		      struct wv_chain_split *ret)
{
	if (h->wake) {
		wv_wake_split(h->wake, tid, begin, end, ret);
		return;
	}
	*ret = (struct wv_chain_split){0};
	ret->cause_ns[WV_GPU_CAUSE_UNKNOWN] = end - begin;
}

/* --- processes ------------------------------------------------------------------------------- */

static void read_comm(struct hub_process *p)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", p->pid);
	f = fopen(path, "re");
	if (f && fgets(p->comm, sizeof(p->comm), f))
		p->comm[strcspn(p->comm, "\n")] = '\0';
}

static void accept_one(struct wv_gpu_hub *h)
{
	_cleanup_close_ int fd = accept4(h->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	struct hub_process *p = NULL;

	if (fd < 0)
		return;
	for (unsigned i = 0; i < HUB_PROCESSES && !p; i++)
		if (h->process[i].fd < 0)
			p = &h->process[i];
	if (!p || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.pid <= 0 ||
	    watch_fd(h, fd, (uint32_t)(p - h->process)) < 0) {
		h->refused++;
		return;
	}
	*p = (struct hub_process){.fd = TAKE_FD(fd), .pid = who.pid};
	read_comm(p);
	for (unsigned i = 0; i < h->n_watched; i++)
		p->watched |= h->watched[i] == p->pid;
	if (p->watched) /* it stays watched by whoever asked for it */
		p->watched = false;
	else if (h->wake)
		p->watched = wv_wake_watch(h->wake, p->pid) == 0;
}

/* Its memory cannot shrink under us: reading what is gone would be the agent's death. */
static int take_ring(struct hub_process *p, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	int r;

	if (p->memory || seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
	    st.st_size < (off_t)WV_GPU_RING_SIZE)
		return -EPROTO;
	p->size = WV_GPU_RING_SIZE;
	p->memory = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p->memory == MAP_FAILED) {
		p->memory = NULL;
		return -errno;
	}
	r = wv_gpu_reader_init(&p->reader, p->memory, p->size);
	if (r < 0) {
		munmap(p->memory, p->size);
		p->memory = NULL;
	}
	return r;
}

/* 0: nothing now; 1: something came; -EPIPE: it is gone; other: it lies. */
static int receive(struct hub_process *p)
{
	char byte;
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c;
	int fd, r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return 1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	r = take_ring(p, fd);
	close(fd);
	return r < 0 ? r : 1;
}

uint64_t wv_gpu_hub_refused(const struct wv_gpu_hub *h)
{
	return h->refused;
}

/* --- frames ---------------------------------------------------------------------------------- */

/* The device with this identity; a new one where there is room. -1: there is none. */
static int device_of(struct wv_gpu_hub *h, const unsigned char uuid[16], const char *name)
{
	for (uint32_t i = 0; i < h->devices; i++)
		if (memcmp(h->device[i].uuid, uuid, 16) == 0)
			return (int)i;
	if (h->devices == WV_GPU_DEVICES)
		return -1;
	memcpy(h->device[h->devices].uuid, uuid, 16);
	memcpy(h->device[h->devices].name, name, strnlen(name, sizeof(h->device[0].name) - 1));
	return (int)h->devices++;
}

static int on_hello(struct wv_gpu_hub *h, struct hub_process *p, const struct wv_gpu_hello *hello)
{
	if (hello->devices > WV_GPU_DEVICES || hello->level > WV_GPU_L3)
		return -EPROTO;
	for (uint32_t i = 0; i < hello->devices; i++) {
		int index = device_of(h, hello->device[i].uuid, hello->device[i].name);

		if (index < 0)
			return -ENOSPC;
		p->device[i] = (uint8_t)index;
	}
	p->devices = hello->devices;
	p->level = hello->level;
	p->greeted = true;
	return 0;
}

static int on_frame(struct wv_gpu_hub *h, struct hub_process *p, const void *bytes)
{
	const struct wv_gpu_frame *frame = bytes;
	const struct wv_gpu_window *w = bytes;
	const struct wv_gpu_step *s = bytes;
	const struct wv_gpu_level_frame *l = bytes;
	uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);

	if (!p->greeted && frame->type != WV_GPU_HELLO)
		return -EPROTO;
	switch (frame->type) {
	case WV_GPU_HELLO:
		return on_hello(h, p, bytes);
	case WV_GPU_WINDOW:
		if (!wv_gpu_window_valid(w, p->devices, now))
			return -EPROTO;
		wv_hub_window(h, p, w);
		return 0;
	case WV_GPU_STEP:
		if (s->begin >= s->end || s->end > now || !s->tid || s->confidence_permille > 1000)
			return -EPROTO;
		wv_hub_step(h, p, s);
		return 0;
	case WV_GPU_LEVEL:
		if (l->level > WV_GPU_L3 || l->degraded > WV_GPU_LOSING)
			return -EPROTO;
		p->level = l->level;
		p->degraded = l->degraded;
		return 0;
	default:
		return 0;
	}
}

static int drain(struct wv_gpu_hub *h, struct hub_process *p)
{
	int r = 0;

	for (unsigned i = 0; p->memory && i < FRAMES_A_TURN; i++) {
		r = wv_gpu_reader_next(&p->reader, &h->frame, sizeof(h->frame));
		if (r <= 0)
			return r;
		r = on_frame(h, p, &h->frame);
		if (r < 0)
			return r;
	}
	return 0;
}

int wv_gpu_hub_turn(struct wv_gpu_hub *h)
{
	struct epoll_event ev[32];
	int n = epoll_wait(h->epoll, ev, ARRAY_SIZE(ev), 0);
	bool left[HUB_PROCESSES] = {false};

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++) {
		uint32_t number = ev[i].data.u32;
		int r;

		if (number == HUB_PROCESSES) {
			accept_one(h);
			continue;
		}
		r = receive(&h->process[number]);
		if (r < 0 && r != -EPIPE)
			h->refused++;
		left[number] = r < 0;
	}
	if (h->wake)
		wv_wake_drain(h->wake);
	if (h->meter)
		wv_meter_turn(h->meter);
	wv_hub_period_look(h);
	for (unsigned i = 0; i < HUB_PROCESSES; i++) {
		struct hub_process *p = &h->process[i];

		if (p->fd < 0)
			continue;
		if (drain(h, p) < 0) {
			h->refused++;
			left[i] = true;
		}
		if (!left[i])
			continue;
		wv_hub_left(h, p);
		release(h, p);
	}
	wv_hub_tell(h, wv_io_system.mono_ns(wv_io_system.ctx), false);
	return 0;
}

void wv_gpu_hub_flush(struct wv_gpu_hub *h)
{
	wv_gpu_hub_turn(h);
	wv_hub_tell(h, wv_io_system.mono_ns(wv_io_system.ctx), true);
}
