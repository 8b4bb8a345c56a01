// SPDX-License-Identifier: GPL-2.0-only
#include "user/proxy/stats.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/io.h"

#define COLUMNS_MAX 256

const char *const wv_stats_columns[] = {
#define X(name) #name,
	WV_STATS_COLUMNS(X)
#undef X
};

/* Where the columns stand that are wanted; -1: this HAProxy has none such. */
struct layout {
	int proxy, server, status, check, figures[WV_STATS_N];
};

/* One cell; quotes are taken off. Returns what follows its comma, or NULL at the line's end. */
static const char *cell(const char *p, char *buf, size_t size)
{
	bool quoted = *p == '"';
	size_t len = 0;

	for (p += quoted; *p && *p != '\n' && (quoted || *p != ','); p++) {
		if (quoted && *p == '"') {
			quoted = p[1] == '"';
			if (!quoted)
				continue;
			p++;
		}
		if (len + 1 < size)
			buf[len++] = *p;
	}
	buf[len] = '\0';
	return *p == ',' ? p + 1 : NULL;
}

static void read_header(const char *line, struct layout *l)
{
	char name[64];

	*l = (struct layout){-1, -1, -1, -1, {0}};
	for (int i = 0; i < WV_STATS_N; i++)
		l->figures[i] = -1;
	for (int i = 0; line && i < COLUMNS_MAX; i++) {
		line = cell(line, name, sizeof(name));
		if (strcmp(name, "pxname") == 0)
			l->proxy = i;
		else if (strcmp(name, "svname") == 0)
			l->server = i;
		else if (strcmp(name, "status") == 0)
			l->status = i;
		else if (strcmp(name, "check_status") == 0)
			l->check = i;
		for (int k = 0; k < WV_STATS_N; k++)
			if (strcmp(name, wv_stats_columns[k]) == 0)
				l->figures[k] = i;
	}
}

static void take(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	wv_make_printable(to);
}

static bool read_row(const char *line, const struct layout *l, struct wv_stats_row *row)
{
	char value[64];

	*row = (struct wv_stats_row){.proxy = ""};
	for (int i = 0; line && i < COLUMNS_MAX; i++) {
		line = cell(line, value, sizeof(value));
		if (i == l->proxy)
			take(row->proxy, sizeof(row->proxy), value);
		else if (i == l->server)
			take(row->server, sizeof(row->server), value);
		else if (i == l->status)
			take(row->status, sizeof(row->status), value);
		else if (i == l->check)
			take(row->check, sizeof(row->check), value);
		for (int k = 0; k < WV_STATS_N; k++)
			if (i == l->figures[k])
				(void)wv_parse_uint(value, &row->figures[k]);
	}
	return *row->proxy && *row->server;
}

int wv_stats_parse(const char *text, void (*each)(void *ctx, const struct wv_stats_row *row),
		   void *ctx)
{
	const char *p = strstr(text, "# pxname,");
	struct wv_stats_row row;
	struct layout l;
	int n = 0;

	if (!p)
		return -EPROTO;
	read_header(p + 2, &l);
	if (l.proxy < 0 || l.server < 0)
		return -EPROTO;
	while ((p = strchr(p, '\n'))) {
		p++;
		/* a row that was cut off has no end */
		if (*p && *p != '\n' && strchr(p, '\n') && read_row(p, &l, &row)) {
			each(ctx, &row);
			n++;
		}
	}
	return n;
}

pid_t wv_stats_pid(const char *text)
{
	const char *p = strncmp(text, "Pid: ", 5) == 0 ? text : strstr(text, "\nPid: ");
	char *end;
	long pid;

	if (!p)
		return -ENOENT;
	p = strchr(p, ' ') + 1;
	pid = strtol(p, &end, 10);
	return end != p && *end == '\n' && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : -ENOENT;
}

static int connect_to(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	/* EAGAIN: it does not accept any more, and its queue is full */
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : TAKE_FD(fd);
}

int wv_stats_ask(const char *socket, const char *command, int timeout_ms, char **ret)
{
	uint64_t end = wv_io_system.mono_ns(wv_io_system.ctx) + (uint64_t)timeout_ms * 1000000;
	_cleanup_close_ int fd = connect_to(socket);
	_cleanup_free_ char *text = NULL;
	size_t len = 0, room = 0;

	if (fd < 0)
		return fd;
	if (send(fd, command, strlen(command), MSG_NOSIGNAL) != (ssize_t)strlen(command))
		return -EIO;
	for (;;) {
		uint64_t now = wv_io_system.mono_ns(wv_io_system.ctx);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (len + 1 >= room) {
			char *more =
				room < WV_STATS_ANSWER_MAX ? realloc(text, room + 65536) : NULL;

			if (!more)
				return room < WV_STATS_ANSWER_MAX ? -ENOMEM : -EMSGSIZE;
			text = more;
			room += 65536;
		}
		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) < 0 && errno != EINTR)
			return -errno;
		n = recv(fd, text + len, room - 1 - len, 0);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	/* a NUL among the bytes ends what is looked at */
	text[len] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}
