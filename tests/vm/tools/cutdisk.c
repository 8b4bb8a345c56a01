// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk with a volatile write cache, for power cuts: serves an image by the NBD protocol (fixed
 * newstyle) on a UNIX socket, to one client at a time. What the client did not flush is lost when
 * the connection ends, but for sectors that happen to have reached the platter: any of them, in any
 * order. One line a cut goes to standard output.
 *   cutdisk SOCKET IMAGE SEED [ignore-flush]
 * ignore-flush is a planted fault: a disk that says it flushed.
 * Protocol: github.com/NetworkBlockDevice/nbd, doc/proto.md.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SECTOR 512
#define REQUEST_MAX (32U << 20)

#define MAGIC 0x4e42444d41474943ULL
#define OPTION_MAGIC 0x49484156454f5054ULL
#define REPLY_MAGIC 0x3e889045565a9ULL
enum { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7 };
enum { REP_ACK = 1, REP_INFO = 3 };
#define REP_ERR_UNSUP 0x80000001U
enum { HAS_FLAGS = 1, SEND_FLUSH = 4, SEND_FUA = 8 };
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };
enum { CMD_FLAG_FUA = 1 };

static struct disk {
	uint64_t size;
	unsigned char *durable; /* the image */
	unsigned char *view;	/* what the client sees */
	bool *dirty;		/* by sector: view is ahead */
	bool ignore_flush;
	uint64_t random;
	unsigned long writes, flushes;
} disk;

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

static uint64_t next_random(void)
{
	uint64_t z = disk.random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static bool take(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t n = read(fd, buf, len);

		if (n <= 0)
			return false;
		buf = (char *)buf + n;
		len -= (size_t)n;
	}
	return true;
}

static bool give(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		buf = (const char *)buf + n;
		len -= (size_t)n;
	}
	return true;
}

static bool give_option(int fd, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	struct {
		uint64_t magic;
		uint32_t option, type, length;
	} __attribute__((packed))
	reply = {htobe64(REPLY_MAGIC), htobe32(option), htobe32(type), htobe32(len)};

	return give(fd, &reply, sizeof(reply)) && give(fd, data, len);
}

/* True once the client has the export. */
static bool negotiate(int fd)
{
	struct {
		uint64_t magic, option_magic;
		uint16_t flags;
	} __attribute__((packed))
	hello = {htobe64(MAGIC), htobe64(OPTION_MAGIC), htobe16(FIXED_NEWSTYLE | NO_ZEROES)};
	struct {
		uint16_t type;
		uint64_t size;
		uint16_t flags;
	} __attribute__((packed))
	info = {0, htobe64(disk.size), htobe16(HAS_FLAGS | SEND_FLUSH | SEND_FUA)};
	uint32_t client;

	if (!give(fd, &hello, sizeof(hello)) || !take(fd, &client, sizeof(client)))
		return false;
	for (;;) {
		struct {
			uint64_t magic;
			uint32_t option, length;
		} __attribute__((packed)) ask;
		char data[4096];
		uint32_t option, len;

		if (!take(fd, &ask, sizeof(ask)) || be64toh(ask.magic) != OPTION_MAGIC)
			return false;
		option = be32toh(ask.option);
		len = be32toh(ask.length);
		if (len > sizeof(data) || !take(fd, data, len))
			return false;
		switch (option) {
		case OPT_EXPORT_NAME:
			return give(fd, &info.size, sizeof(info.size) + sizeof(info.flags));
		case OPT_INFO:
		case OPT_GO:
			if (!give_option(fd, option, REP_INFO, &info, sizeof(info)) ||
			    !give_option(fd, option, REP_ACK, NULL, 0))
				return false;
			if (option == OPT_GO)
				return true;
			break;
		case OPT_ABORT:
			return false;
		default:
			if (!give_option(fd, option, REP_ERR_UNSUP, NULL, 0))
				return false;
		}
	}
}

static void flush(void)
{
	disk.flushes++;
	if (disk.ignore_flush)
		return;
	for (uint64_t i = 0; i < disk.size / SECTOR; i++) {
		if (!disk.dirty[i])
			continue;
		memcpy(disk.durable + i * SECTOR, disk.view + i * SECTOR, SECTOR);
		disk.dirty[i] = false;
	}
}

static bool do_write(int fd, uint64_t offset, uint32_t len, bool fua)
{
	if (!take(fd, disk.view + offset, len))
		return false;
	disk.writes++;
	for (uint64_t i = offset / SECTOR; i < (offset + len + SECTOR - 1) / SECTOR; i++) {
		disk.dirty[i] = !fua || disk.ignore_flush;
		if (!disk.dirty[i])
			memcpy(disk.durable + i * SECTOR, disk.view + i * SECTOR, SECTOR);
	}
	return true;
}

/* False: the client is gone, or asks for what it must not. */
static bool serve_one(int fd)
{
	struct request r;
	struct {
		uint32_t magic, error;
		uint64_t handle;
	} __attribute__((packed)) reply = {htobe32(0x67446698), 0, 0};
	uint64_t offset;
	uint32_t len;
	uint16_t type;

	if (!take(fd, &r, sizeof(r)) || be32toh(r.magic) != 0x25609513)
		return false;
	offset = be64toh(r.offset);
	len = be32toh(r.length);
	type = be16toh(r.type);
	reply.handle = r.handle;
	if (type == CMD_DISC)
		return false;
	if (type == CMD_READ || type == CMD_WRITE) {
		if (len > REQUEST_MAX || offset > disk.size || len > disk.size - offset)
			return false;
		if (type == CMD_WRITE &&
		    !do_write(fd, offset, len, be16toh(r.flags) & CMD_FLAG_FUA))
			return false;
	} else if (type == CMD_FLUSH) {
		flush();
	} else {
		reply.error = htobe32(EINVAL);
	}
	if (!give(fd, &reply, sizeof(reply)))
		return false;
	return type != CMD_READ || give(fd, disk.view + offset, len);
}

/* Of the sectors that were not flushed some survive: none, all, or each with one chance. */
static void cut(void)
{
	static const unsigned chances[] = {0, 10, 50, 90, 100};
	unsigned chance = chances[next_random() % 5];
	unsigned long lost = 0, survived = 0;

	for (uint64_t i = 0; i < disk.size / SECTOR; i++) {
		if (!disk.dirty[i])
			continue;
		disk.dirty[i] = false;
		if (next_random() % 100 < chance) {
			memcpy(disk.durable + i * SECTOR, disk.view + i * SECTOR, SECTOR);
			survived++;
		} else {
			memcpy(disk.view + i * SECTOR, disk.durable + i * SECTOR, SECTOR);
			lost++;
		}
	}
	printf("cut writes=%lu flushes=%lu lost=%lu survived=%lu\n", disk.writes, disk.flushes,
	       lost, survived);
	fflush(stdout);
	disk.writes = disk.flushes = 0;
}

static bool open_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size % SECTOR)
		return false;
	disk.size = (uint64_t)st.st_size;
	disk.durable = mmap(NULL, disk.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	disk.view = malloc(disk.size);
	disk.dirty = calloc(disk.size / SECTOR, sizeof(*disk.dirty));
	close(fd);
	if (disk.durable == MAP_FAILED || !disk.view || !disk.dirty)
		return false;
	memcpy(disk.view, disk.durable, disk.size);
	return true;
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int listener;

	if (argc < 4 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "usage: cutdisk SOCKET IMAGE SEED [ignore-flush]\n");
		return 2;
	}
	disk.random = strtoull(argv[3], NULL, 10);
	disk.ignore_flush = argc > 4 && strcmp(argv[4], "ignore-flush") == 0;
	if (!open_image(argv[2])) {
		perror(argv[2]);
		return 1;
	}
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", argv[1]);
	unlink(argv[1]);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 1) < 0) {
		perror(argv[1]);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return 1;
		if (negotiate(fd))
			while (serve_one(fd))
				;
		close(fd);
		cut();
	}
}
