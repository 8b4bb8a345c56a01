// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/gate_object.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void address_text(const struct wv_event_gate *ev, char *buf, size_t size)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const char *protocol = ev->v[1] == IPPROTO_TCP	 ? "tcp"
			       : ev->v[1] == IPPROTO_UDP ? "udp"
							 : "ip";
	char address[INET6_ADDRSTRLEN];

	if (memcmp(ev->address, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, ev->address + 12, address, sizeof(address));
		snprintf(buf, size, "%s %s:%u", protocol, address, ev->v[2]);
	} else {
		inet_ntop(AF_INET6, ev->address, address, sizeof(address));
		snprintf(buf, size, "%s [%s]:%u", protocol, address, ev->v[2]);
	}
}

static void device_text(const struct wv_event_gate *ev, char *buf, size_t size)
{
	snprintf(buf, size, "%c %u:%u %s%s%s", ev->v[0] == 1 ? 'b' : 'c', ev->v[1], ev->v[2],
		 ev->v[3] & 2 ? "r" : "", ev->v[3] & 4 ? "w" : "", ev->v[3] & 1 ? "m" : "");
}

static void priority_text(const struct wv_event_gate *ev, char *buf, size_t size)
{
	const char *what = ev->op == WV_GATE_OP_NICE	   ? "nice"
			   : ev->op == WV_GATE_OP_REALTIME ? "real-time priority"
							   : "I/O class";

	snprintf(buf, size, "%s %d, cap %d", what, (int)ev->v[0], (int)ev->v[1]);
}

/* Dots for slashes and the other way round, as sysctl(8) writes names. */
static void sysctl_text(const struct wv_event_gate *ev, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)strnlen(ev->text, sizeof(ev->text)), ev->text);
	for (char *c = buf; *c; c++)
		*c = (char)(*c == '/' ? '.' : *c == '.' ? '/' : *c);
}

void wv_gate_object_text(const struct wv_event_gate *ev, char *buf, size_t size)
{
	int len = (int)strnlen(ev->text, sizeof(ev->text));

	switch (ev->kind) {
	case WV_GATED_CONNECT:
	case WV_GATED_BIND:
		address_text(ev, buf, size);
		break;
	case WV_GATED_DEVICE:
		device_text(ev, buf, size);
		break;
	case WV_GATED_SYSCTL:
		sysctl_text(ev, buf, size);
		break;
	case WV_GATED_PTRACE:
		snprintf(buf, size, "%.*s (%u)", len, ev->text, ev->v[0]);
		break;
	case WV_GATED_PRIORITY:
		priority_text(ev, buf, size);
		break;
	default:
		snprintf(buf, size, "%.*s", len, ev->text);
	}
}
