// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that wait for the api worker. Each is suspended in the library meanwhile, so that one
 * thread serves all; its answer is found by an id that says which run of this worker it was for,
 * which slot, and which use of that slot.
 */
#include "user/export/web_wait.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "user/core/cleanup.h"

static uint64_t id_of(const struct wv_web_api *api, unsigned slot)
{
	return (uint64_t)api->epoch << 32 | (uint64_t)(api->slots[slot].use & 0xffffff) << 8 | slot;
}

/* Slots --------------------------------------------------------------------------------------- */

static void arm(struct wv_web_api *api)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < WV_WEB_ASKED_MAX; i++)
		if (api->slots[i].asked && api->slots[i].deadline_ns < next)
			next = api->slots[i].deadline_ns;
	if (next == UINT64_MAX) {
		(void)sd_event_source_set_enabled(api->deadline, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time(api->deadline, next / 1000 + 1);
	(void)sd_event_source_set_enabled(api->deadline, SD_EVENT_ONESHOT);
}

void wv_web_wait_leave(struct wv_web_asked *q)
{
	struct wv_web_api *api = q->api;

	if (q->slot == WV_WEB_NO_SLOT)
		return;
	api->slots[q->slot].asked = NULL;
	api->slots[q->slot].use++;
	q->slot = WV_WEB_NO_SLOT;
	arm(api);
}

/* It has its answer: the library calls its route again. */
static void finish(struct wv_web_asked *q)
{
	wv_web_wait_leave(q);
	q->answered = true;
	q->api->web->mhd.resume_connection(q->c);
}

static void fail(struct wv_web_asked *q, unsigned status, const char *why)
{
	q->refused = status;
	q->why = why;
	finish(q);
}

static int on_deadline(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata)
{
	struct wv_web_api *api = userdata;
	uint64_t now = wv_web_mono_ns();

	for (unsigned i = 0; i < WV_WEB_ASKED_MAX; i++)
		if (api->slots[i].asked && api->slots[i].deadline_ns <= now)
			fail(api->slots[i].asked, MHD_HTTP_GATEWAY_TIMEOUT,
			     "the api worker did not answer in time");
	arm(api);
	api->resumed(api->ctx);
	return 0;
}

/* Answers of the api worker ------------------------------------------------------------------- */

static int take_body(struct wv_web_asked *q, const struct wv_api_answer *a, int fd)
{
	uint64_t bytes;

	if (!a->fd_bytes) {
		q->data = a->body_len ? malloc(a->body_len) : NULL;
		if (a->body_len && !q->data)
			return -ENOMEM;
		if (a->body_len)
			memcpy(q->data, a->body, a->body_len);
		return 0;
	}
	/* sealed: it can become neither shorter nor another one while it is sent */
	if (fd < 0 || wv_api_body_check(fd, WV_API_DOWNLOAD_MAX, &bytes) < 0 ||
	    bytes != a->fd_bytes)
		return -EPROTO;
	q->data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (q->data == MAP_FAILED) {
		q->data = NULL;
		return -errno;
	}
	q->mapped = bytes;
	return 0;
}

static void deliver(struct wv_web_api *api, const struct wv_api_answer *a, int fd)
{
	unsigned slot = (unsigned)(a->id & 0xff);
	struct wv_web_asked *q = slot < WV_WEB_ASKED_MAX ? api->slots[slot].asked : NULL;

	/* too late, or for a worker before this one */
	if (!q || a->id != id_of(api, slot))
		return;
	q->answer = *a;
	if (take_body(q, a, fd) < 0)
		fail(q, MHD_HTTP_BAD_GATEWAY, "the answer could not be read");
	else
		finish(q);
}

static void take_message(struct wv_web_api *api, const char *message, size_t len, int fd)
{
	struct wv_api_answer a;

	if (wv_api_answer_decode(message, len, &a) < 0)
		return;
	if (a.kind == WV_API_ANSWER)
		deliver(api, &a, fd);
	else if (a.kind == WV_API_FORGET)
		memset(api->known, 0, sizeof(api->known));
	else
		api->reload(api->ctx);
}

static int on_answer(sd_event_source *s, int fd, uint32_t events _unused_, void *userdata)
{
	static char message[WV_API_MESSAGE_MAX];
	struct wv_web_api *api = userdata;
	int fds[WV_API_FDS_MAX];

	for (;;) {
		ssize_t n = wv_api_receive(fd, message, sizeof(message), fds);

		if (n == -EPROTO)
			continue;
		if (n == 0) /* the supervisor is gone; on_control ends this worker */
			return sd_event_source_set_enabled(s, SD_EVENT_OFF);
		if (n < 0)
			break;
		take_message(api, message, (size_t)n, fds[0]);
		for (size_t i = 0; i < WV_API_FDS_MAX; i++)
			wv_closep(&fds[i]);
	}
	api->resumed(api->ctx);
	return 0;
}

int wv_web_wait_enter(struct wv_web_asked *q, uint64_t deadline_ns, uint64_t *ret_id)
{
	struct wv_web_api *api = q->api;

	for (unsigned i = 0; i < WV_WEB_ASKED_MAX; i++)
		if (!api->slots[i].asked) {
			api->slots[i].asked = q;
			api->slots[i].deadline_ns = deadline_ns;
			q->slot = i;
			*ret_id = id_of(api, i);
			arm(api);
			return 0;
		}
	return -EBUSY;
}

/* Life ---------------------------------------------------------------------------------------- */

int wv_web_api_open(struct wv_web_api **ret, struct wv_web *web, sd_event *loop, int fd,
		    void (*resumed)(void *ctx), void (*reload)(void *ctx), void *ctx)
{
	struct wv_web_api *api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return -ENOMEM;
	*api = (struct wv_web_api){.web = web,
				   .loop = loop,
				   .fd = fd,
				   .resumed = resumed,
				   .reload = reload,
				   .ctx = ctx};
	if (getrandom(&api->epoch, sizeof(api->epoch), 0) != sizeof(api->epoch))
		r = -EIO;
	else
		r = sd_event_add_io(loop, &api->io, fd, EPOLLIN, on_answer, api);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &api->deadline, CLOCK_MONOTONIC, 0, 1000,
					       on_deadline, api);
	if (r >= 0)
		r = sd_event_source_set_enabled(api->deadline, SD_EVENT_OFF);
	if (r < 0) {
		wv_web_api_close(api);
		return r;
	}
	*ret = api;
	return 0;
}

void wv_web_api_cancel(struct wv_web_api *api)
{
	for (unsigned i = 0; api && i < WV_WEB_ASKED_MAX; i++)
		if (api->slots[i].asked)
			fail(api->slots[i].asked, MHD_HTTP_SERVICE_UNAVAILABLE,
			     "the web worker is ending");
}

void wv_web_api_close(struct wv_web_api *api)
{
	if (!api)
		return;
	sd_event_source_disable_unref(api->io);
	sd_event_source_disable_unref(api->deadline);
	free(api);
}
