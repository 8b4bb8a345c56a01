/* SPDX-License-Identifier: GPL-2.0-only */
/* What the spool worker keeps of its rights. */
#ifndef WV_SPOOL_RIGHTS_H
#define WV_SPOOL_RIGHTS_H

#include <stdbool.h>

/* The user that a worker started by root becomes; without it, nobody. */
#define WV_SPOOL_USER "waveos-spool"

/* Gives a folder and the files in it to that user. 0 or -errno; nothing if we are not root. */
int wv_spool_give(int dirfd);
/*
 * For good, before the first thread: that user if it was root, no capability but (reads_files)
 * CAP_DAC_READ_SEARCH, no new privileges, no core dumps, and of the system calls those that work on
 * files, sockets, time and memory: no exec, mount, ptrace, bpf, module or key call. What is refused
 * fails with EPERM. with_parent: the process ends with the one that forked it. 0 or -errno of a
 * step that did not take.
 */
int wv_spool_drop_rights(bool reads_files, bool with_parent);
/*
 * The same for a worker that goes on writing what its user owns: it stays that user, without any
 * capability, and may open no sockets but local ones. 0 or -errno of a step that did not take.
 */
int wv_spool_drop_powers(bool with_parent);
/* The same, but it may talk to other machines. */
int wv_spool_drop_powers_online(bool with_parent);

#endif
