// SPDX-License-Identifier: GPL-2.0-only
/*
 * receive SOCKET [--mute] [--leave N] [--level N]: a hub in miniature. Listens, takes one ring a
 * connection and prints every frame as a JSON line; ends when all connections have ended.
 *   --mute     never reads what is in the rings, only says "mute" when a process has ended
 *   --leave N  exits after N frames
 *   --level N  orders that level of each process that connects
 */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gpu/ring.h"

#define MOST 16

static struct client {
	int fd;
	struct wv_gpu_reader reader;
} clients[MOST];
static unsigned n, ever;
static bool mute;
static long leave = -1;
static int level = -1;

static void window(const struct wv_gpu_window *w)
{
	printf("{\"type\":\"window\",\"device\":%u,\"begin\":%" PRIu64 ",\"end\":%" PRIu64
	       ",\"kernel\":%" PRIu64 ",\"comms\":%" PRIu64 ",\"exposed\":%" PRIu64
	       ",\"overlapped\":%" PRIu64 ",\"memory\":%" PRIu64 ",\"idle\":%" PRIu64
	       ",\"late\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"records\":%" PRIu64
	       ",\"dropped\":%" PRIu64 ",\"kernels\":%" PRIu64 ",\"graphs\":%" PRIu64
	       ",\"launches\":%" PRIu64 ",\"syncs\":%" PRIu64 ",\"to_device\":%" PRIu64
	       ",\"own\":%" PRIu64 ",\"top\":\"%.63s\",\"gaps\":[",
	       w->device, w->begin, w->end, w->kernel_ns, w->comms_ns, w->exposed_ns,
	       w->overlapped_ns, w->memory_ns, w->idle_ns, w->late_ns, w->closed_ns, w->records,
	       w->dropped, w->kernels, w->graphs, w->launches, w->syncs, w->copy_bytes[0],
	       w->own_ns, w->top[0].name);
	for (unsigned i = 0; i < w->gaps && i < WV_GPU_GAPS; i++)
		printf("%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u]", i ? "," : "",
		       w->gap[i].begin, w->gap[i].end, w->gap[i].launch, w->gap[i].launch_tid,
		       w->gap[i].sync);
	printf("]}\n");
}

static void print(const struct wv_gpu_frame *f)
{
	const struct wv_gpu_hello *h = (const void *)f;
	const struct wv_gpu_step *s = (const void *)f;
	const struct wv_gpu_level_frame *l = (const void *)f;

	switch (f->type) {
	case WV_GPU_HELLO:
		printf("{\"type\":\"hello\",\"pid\":%u,\"devices\":%u,\"cupti\":%u,\"level\":%u,"
		       "\"start\":%" PRIu64 ",\"name\":\"%.47s\",\"uuid\":\"",
		       h->pid, h->devices, h->cupti_version, h->level, h->start_ns,
		       h->device[0].name);
		for (unsigned i = 0; i < 16; i++)
			printf("%02x", h->device[0].uuid[i]);
		printf("\"}\n");
		break;
	case WV_GPU_WINDOW:
		window((const void *)f);
		break;
	case WV_GPU_STEP:
		printf("{\"type\":\"step\",\"tid\":%u,\"confidence\":%u,\"begin\":%" PRIu64
		       ",\"end\":%" PRIu64 ",\"number\":%" PRIu64 "}\n",
		       s->tid, s->confidence_permille, s->begin, s->end, s->number);
		break;
	case WV_GPU_LEVEL:
		printf("{\"type\":\"level\",\"level\":%u,\"degraded\":%u,\"on\":%" PRIu64
		       ",\"off\":%" PRIu64 "}\n",
		       l->level, l->degraded, l->on_ns, l->off_ns);
		break;
	default:
		printf("{\"type\":\"bye\"}\n");
	}
	fflush(stdout);
}

static bool take(int listener)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct wv_gpu_offer offer;
	struct iovec io = {&offer, sizeof(offer)};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	struct wv_gpu_order order = {WV_GPU_MAGIC, WV_GPU_VERSION, (uint32_t)level};
	int fd = accept(listener, NULL, NULL), memory = -1;
	struct stat st;
	void *at;

	if (fd < 0 || recvmsg(fd, &m, 0) != sizeof(offer) || !CMSG_FIRSTHDR(&m) || n == MOST) {
		close(fd);
		return false;
	}
	memcpy(&memory, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(memory));
	if (fstat(memory, &st) < 0 || st.st_size != (off_t)WV_GPU_RING_SIZE)
		return false;
	at = mmap(NULL, WV_GPU_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	close(memory);
	if (at == MAP_FAILED || wv_gpu_reader_init(&clients[n].reader, at, WV_GPU_RING_SIZE) < 0)
		return false;
	clients[n++].fd = fd;
	ever++;
	if (level >= 0 && send(fd, &order, sizeof(order), MSG_NOSIGNAL) < 0)
		return false;
	return true;
}

static void drain(struct client *c)
{
	_Alignas(8) unsigned char frame[sizeof(struct wv_gpu_window)];
	int r;

	while (!mute && (r = wv_gpu_reader_next(&c->reader, frame, sizeof(frame)))) {
		if (r < 0) {
			printf("{\"type\":\"hostile\"}\n");
			exit(1);
		}
		print((const void *)frame);
		if (leave > 0 && --leave == 0)
			exit(0);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--mute") == 0)
			mute = true;
		else if (strcmp(argv[i], "--leave") == 0 && i + 1 < argc)
			leave = atol(argv[++i]);
		else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc)
			level = atoi(argv[++i]);
	}
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", argv[1]);
	unlink(argv[1]);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, MOST) < 0) {
		perror("receive");
		return 1;
	}
	while (!ever || n) {
		struct pollfd p[MOST + 1] = {{.fd = listener, .events = POLLIN}};
		unsigned had = n;

		for (unsigned i = 0; i < n; i++)
			p[i + 1] = (struct pollfd){.fd = clients[i].fd};
		poll(p, n + 1, 20);
		for (unsigned i = had; i-- > 0;) {
			drain(&clients[i]);
			if (!(p[i + 1].revents & (POLLHUP | POLLERR)))
				continue;
			drain(&clients[i]);
			printf("{\"type\":\"end\",\"lost\":%" PRIu64 "}\n",
			       wv_gpu_reader_dropped(&clients[i].reader));
			close(clients[i].fd);
			clients[i] = clients[--n];
		}
		if (p[0].revents)
			take(listener);
	}
	return 0;
}
