/* SPDX-License-Identifier: GPL-2.0-only */
/* The object of an event as text: what was refused. Pure. */
#ifndef WV_ENFORCE_GATE_OBJECT_H
#define WV_ENFORCE_GATE_OBJECT_H

#include <stddef.h>

#include "waveos/gate.h"

#define WV_GATE_OBJECT_MAX 320

/*
 * exec: the path; connect, bind: "tcp 10.0.0.1:443", "udp [::1]:53"; device: "c 1:3 rw"; sysctl:
 * its name; module, mount: what is known of it, or ""; ptrace: "comm (pid)"; priority: "nice -5,
 * cap 0".
 */
void wv_gate_object_text(const struct wv_event_gate *ev, char *buf, size_t size);

#endif
