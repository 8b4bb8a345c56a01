// SPDX-License-Identifier: GPL-2.0-only
/* Floods the agent's event ring: each run is one event of type TEST, through the code of every
 * event. */
#include "lib/waveos.bpf.h"

SEC("tc")
int flood(struct __sk_buff *skb)
{
	struct wv_event *ev = wv_event_reserve(WV_EV_TEST, sizeof(*ev));

	if (ev)
		wv_event_submit(ev);
	return 0;
}
