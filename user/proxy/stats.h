/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HAProxy's statistics socket: commands and CSV. The process behind it has fewer rights than we
 * and is not trusted: answers are bounded in size and time, and any bytes may come.
 */
#ifndef WV_PROXY_STATS_H
#define WV_PROXY_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Columns that are read. Row: (HAProxy's name) */
#define WV_STATS_COLUMNS(X)                                                                        \
	X(qcur)                                                                                    \
	X(qmax)                                                                                    \
	X(scur)                                                                                    \
	X(smax)                                                                                    \
	X(stot)                                                                                    \
	X(bin)                                                                                     \
	X(bout)                                                                                    \
	X(dreq)                                                                                    \
	X(dcon)                                                                                    \
	X(dses)                                                                                    \
	X(ereq)                                                                                    \
	X(econ)                                                                                    \
	X(eresp)                                                                                   \
	X(chkfail)                                                                                 \
	X(hrsp_1xx)                                                                                \
	X(hrsp_2xx)                                                                                \
	X(hrsp_3xx)                                                                                \
	X(hrsp_4xx)                                                                                \
	X(hrsp_5xx)                                                                                \
	X(hrsp_other)
enum wv_stats_column {
#define X(name) WV_STATS_##name,
	WV_STATS_COLUMNS(X)
#undef X
		WV_STATS_N
};
extern const char *const wv_stats_columns[];

struct wv_stats_row {
	char proxy[48], server[48]; /* server: FRONTEND, BACKEND or its name */
	char status[32];	    /* "UP", "DOWN 1/2", ... */
	char check[16];		    /* of the last probe: L7OK, L4CON, ... */
	uint64_t figures[WV_STATS_N];
};

/* The CSV after the line that names the columns. Calls each for every whole row; a row that is no
 * such is left out. Returns the number of rows, or -EPROTO without a header. */
int wv_stats_parse(const char *text, void (*each)(void *ctx, const struct wv_stats_row *row),
		   void *ctx);
/* The process id that `show info` tells, or -ENOENT. */
pid_t wv_stats_pid(const char *text);

#define WV_STATS_ANSWER_MAX (1U << 20)
/* Sends a line and reads the answer to its end, at most timeout_ms. *ret is to be freed.
 * -ETIMEDOUT, -EMSGSIZE, or -errno. */
int wv_stats_ask(const char *socket, const char *command, int timeout_ms, char **ret);

#endif
