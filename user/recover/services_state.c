// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/paths.h"
#include "user/recover/act.h"
#include "user/recover/services.h"

#define SCHEMA_VERSION 1
#define FILE_MAX_BYTES (1 << 20)
#define STOP_MS 2000

void wv_services_put(struct wv_service_list *l, const struct wv_service_process *p)
{
	wv_services_drop(l, p->name);
	if (l->n < WV_SERVICES_MAX)
		l->list[l->n++] = *p;
}

void wv_services_drop(struct wv_service_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->list[i].name, name) != 0)
			continue;
		memmove(&l->list[i], &l->list[i + 1], (l->n - i - 1) * sizeof(l->list[0]));
		l->n--;
		return;
	}
}

int wv_service_open(const struct wv_service_process *p)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);

	/* looked at while the descriptor is held: the number cannot go to another one meanwhile */
	if (fd < 0 || wv_process_start_ns(p->pid) != p->start_ns)
		return -ESRCH;
	return TAKE_FD(fd);
}

static const char *get_str(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) ?: "" : "";
}

static uint64_t get_u64(struct json_object *o, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(o, name, &v) ? json_object_get_uint64(v) : 0;
}

int wv_services_load(struct wv_service_list *l, const struct wv_io *io, int dir,
		     const char *boot_id)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o, *list;
	int r = wv_io_read_file(io, dir, WV_SERVICES_FILE, FILE_MAX_BYTES, &text, NULL);

	l->n = 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	o = json_tokener_parse(text);
	if (!o || get_u64(o, "schema_version") != SCHEMA_VERSION ||
	    !json_object_object_get_ex(o, "services", &list) ||
	    !json_object_is_type(list, json_type_array)) {
		json_object_put(o);
		return -EBADMSG;
	}
	for (size_t i = 0; strcmp(get_str(o, "boot_id"), boot_id) == 0 &&
			   i < json_object_array_length(list) && i < WV_SERVICES_MAX;
	     i++) {
		struct json_object *s = json_object_array_get_idx(list, i);
		struct wv_service_process *p = &l->list[l->n++];

		*p = (struct wv_service_process){.pid = (pid_t)get_u64(s, "pid"),
						 .start_ns = get_u64(s, "start_ns")};
		snprintf(p->name, sizeof(p->name), "%s", get_str(s, "name"));
		snprintf(p->cgroup, sizeof(p->cgroup), "%s", get_str(s, "cgroup"));
	}
	json_object_put(o);
	return 0;
}

static int write_file(const struct wv_io *io, int dir, const char *text)
{
	int fd = io->open(io->ctx, dir, "." WV_SERVICES_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC,
			  0640);
	int r, closed;

	if (fd < 0)
		return fd;
	r = wv_io_write_all(io, fd, text, strlen(text));
	closed = io->close(io->ctx, fd);
	r = r ?: closed;
	return r ?: io->rename(io->ctx, dir, "." WV_SERVICES_FILE ".tmp", WV_SERVICES_FILE);
}

int wv_services_save(const struct wv_service_list *l, const struct wv_io *io, int dir,
		     const char *boot_id)
{
	struct json_object *o, *list;
	int r;

	if (!l->n) { /* the next agent needs no worker to find out */
		r = io->unlink(io->ctx, dir, WV_SERVICES_FILE);
		return r == -ENOENT ? 0 : r;
	}
	o = json_object_new_object();
	list = json_object_new_array();
	json_object_object_add(o, "schema_version", json_object_new_int(SCHEMA_VERSION));
	json_object_object_add(o, "boot_id", json_object_new_string(boot_id));
	for (size_t i = 0; i < l->n; i++) {
		struct json_object *s = json_object_new_object();

		json_object_object_add(s, "name", json_object_new_string(l->list[i].name));
		json_object_object_add(s, "cgroup", json_object_new_string(l->list[i].cgroup));
		json_object_object_add(s, "pid", json_object_new_int(l->list[i].pid));
		json_object_object_add(s, "start_ns", json_object_new_uint64(l->list[i].start_ns));
		json_object_array_add(list, s);
	}
	json_object_object_add(o, "services", list);
	r = write_file(io, dir,
		       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return r;
}

static bool all_before(const struct wv_service *s, const uint32_t *order, size_t n)
{
	for (size_t a = 0; a < s->after.n; a++) {
		bool found = false;

		for (size_t i = 0; i < n && !found; i++)
			found = order[i] == s->after_index[a];
		if (!found)
			return false;
	}
	return true;
}

static bool is_in(uint32_t index, const uint32_t *order, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (order[i] == index)
			return true;
	return false;
}

void wv_services_order(const struct wv_service *services, size_t n, uint32_t *order)
{
	size_t done = 0, before;

	do {
		before = done;
		for (uint32_t i = 0; i < n; i++)
			if (!is_in(i, order, done) && all_before(&services[i], order, done))
				order[done++] = i;
	} while (done > before);
	for (uint32_t i = 0; done < n && i < n; i++)
		if (!is_in(i, order, done))
			order[done++] = i;
}

uint64_t wv_service_backoff(const struct wv_service *s, unsigned in_a_row, uint64_t random)
{
	uint64_t max = s->backoff_max_ns > s->backoff_ns ? s->backoff_max_ns : s->backoff_ns;
	uint64_t pause = s->backoff_ns;

	if (in_a_row < 2)
		return 0;
	for (unsigned i = 2; i < in_a_row && pause && pause < max; i++)
		pause = pause > max / 2 ? max : pause * 2;
	return pause + (pause >= 5 ? random % (pause / 5) : 0);
}

int wv_services_stop_all(const struct wv_paths *paths, const struct wv_host *host, FILE *report)
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ struct wv_service_list *l = calloc(1, sizeof(*l));
	int n = 0, r;

	if (dir < 0 || !l)
		return dir < 0 ? 0 : -ENOMEM;
	r = wv_services_load(l, &wv_io_system, dir, host->boot_id);
	if (r < 0)
		return r;
	for (size_t i = l->n; i-- > 0;) {
		_cleanup_close_ int pidfd = wv_service_open(&l->list[i]);

		if (pidfd < 0)
			continue;
		wv_service_end(pidfd, host->cgroup2, l->list[i].cgroup, STOP_MS);
		if (report)
			fprintf(report, "stopped service %s (pid %d)\n", l->list[i].name,
				l->list[i].pid);
		n++;
	}
	(void)unlinkat(dir, WV_SERVICES_FILE, 0);
	return n;
}
