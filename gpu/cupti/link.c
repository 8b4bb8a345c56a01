// SPDX-License-Identifier: GPL-2.0-only
/*
 * To the hub: a ring in a sealed memfd, offered once over a SOCK_SEQPACKET socket. Nothing here
 * waits: a hub that is not there, is full or never reads costs frames, not time.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gpu/cupti/cupti.h"

#define FD_FROM 200 /* above what programs number their files by themselves */

static int ring_make(struct wv_gpu_ring **ret)
{
	int fd = memfd_create("waveos-gpu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = MAP_FAILED;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)WV_GPU_RING_SIZE) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		at = mmap(NULL, WV_GPU_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		int r = -errno;

		close(fd);
		return r;
	}
	wv_gpu_ring_init(at);
	*ret = at;
	return fd;
}

static int offer(int fd, int memory)
{
	struct wv_gpu_offer o = {WV_GPU_MAGIC, WV_GPU_VERSION, (uint32_t)WV_GPU_RING_SIZE};
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec io = {&o, sizeof(o)};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &memory, sizeof(memory));
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(o) ? 0 : -errno;
}

int wv_link_open(struct wv_link *l, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct wv_gpu_ring *ring = NULL;
	int low, fd, memory, r;
	struct stat st;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	low = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (low < 0)
		return -errno;
	fd = fcntl(low, F_DUPFD_CLOEXEC, FD_FROM);
	if (fd >= 0)
		close(low);
	else
		fd = low;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	memory = ring_make(&ring);
	r = memory < 0 ? memory : offer(fd, memory);
	if (memory >= 0)
		close(memory);
	if (r < 0) {
		if (ring)
			munmap(ring, WV_GPU_RING_SIZE);
		close(fd);
		return r;
	}
	*l = (struct wv_link){.fd = fd, .dev = st.st_dev, .ino = st.st_ino, .ring = ring};
	return 0;
}

/* The program may have closed it, and have another file of its own by that number now. */
static bool still_ours(const struct wv_link *l)
{
	struct stat st;

	return l->fd >= 0 && fstat(l->fd, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

void wv_link_close(struct wv_link *l)
{
	if (still_ours(l))
		close(l->fd);
	if (l->ring)
		munmap(l->ring, WV_GPU_RING_SIZE);
	*l = (struct wv_link){.fd = -1};
}

void wv_link_forget(struct wv_link *l)
{
	wv_link_close(l);
}

bool wv_link_alive(struct wv_link *l, int *level)
{
	struct wv_gpu_order o;
	ssize_t n;

	if (!still_ours(l))
		return false;
	n = recv(l->fd, &o, sizeof(o), MSG_DONTWAIT);
	if (n == (ssize_t)sizeof(o) && o.magic == WV_GPU_MAGIC && o.version == WV_GPU_VERSION &&
	    o.level <= WV_GPU_L3)
		*level = (int)o.level;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}
