/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HAProxy process. Started by root it has, from its exec on, only the capabilities to bind low
 * ports, to enter an empty root folder and to become its user; those go with the change of user. It
 * cannot write files, and memory and descriptors are bounded. It is started in the foreground, one
 * process, no master: this side is the master.
 */
#ifndef WV_PROXY_PROGRAM_H
#define WV_PROXY_PROGRAM_H

#include <sys/types.h>

#include "user/proxy/proxy.h"

/* Where everything is: <runtime>/proxy/... */
struct wv_proxy_files {
	char dir[WV_PATH_SIZE + 16];
	char config[WV_PATH_SIZE + 32], next[WV_PATH_SIZE + 32]; /* in force, and being checked */
	char socket[WV_PATH_SIZE + 32];
	char empty[WV_PATH_SIZE + 32]; /* its root */
	unsigned uid, gid;
	bool drops; /* root starts it: it becomes uid, in `empty` */
};
/* Names and, unless `dry`, makes the folders. -ENAMETOOLONG: the socket's path does not fit its
 * address (107 bytes). -ESRCH: proxy.user does not exist. */
int wv_proxy_files(struct wv_proxy_files *f, const struct wv_paths *paths,
		   const struct wv_config *config, bool dry);
/* The configuration, with these files. */
int wv_proxy_files_translate(const struct wv_proxy_files *f, const struct wv_config *config,
			     char **ret, struct wv_config_error *ret_error);

/* -ENOPKG if the program is not there, with how to get it in ret_error. */
int wv_proxy_installed(const struct wv_config *config, struct wv_config_error *ret_error);
/*
 * Writes text to `next` and lets HAProxy check it (at most 20 s). 0; -EINVAL: it said no, and the
 * first lines of why are in ret_error; other -errno.
 */
int wv_proxy_check(const struct wv_proxy_files *f, const struct wv_config *config, const char *text,
		   struct wv_config_error *ret_error);
/* Makes the checked configuration the one in force. */
int wv_proxy_accept(const struct wv_proxy_files *f);
/*
 * Starts it, and remembers it before it runs. current: a process whose listening sockets it gets,
 * so that no connection is refused meanwhile; 0: there is none. *ret_output: the read end of its
 * standard error, non-blocking. Returns its process id or -errno.
 */
pid_t wv_proxy_start(const struct wv_proxy_files *f, const struct wv_config *config, pid_t current,
		     int *ret_output);

/* The processes that run, known to whoever comes next: <runtime>/proxy/haproxy.pid. next: 0 where
 * none is being started beside the current one. */
int wv_proxy_remember(const struct wv_proxy_files *f, pid_t current, pid_t next);
void wv_proxy_forget(const struct wv_proxy_files *f);
/* pidfd of the remembered process if it is still the one that was started, or -ESRCH. */
int wv_proxy_adopt(const struct wv_proxy_files *f, bool next, pid_t *ret_pid);

#endif
