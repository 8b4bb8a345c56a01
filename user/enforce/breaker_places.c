// SPDX-License-Identifier: GPL-2.0-only
/*
 * Places of breakers in the kernel: maps and links. A place is made from its state up to its head,
 * so that the kernel never meets a head whose place is not complete, and taken away the other way
 * round.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"
#include "user/enforce/breaker_set.h"
#include "user/enforce/pinned.h"

static const struct {
	const char *name, *prog;
	enum bpf_attach_type type;
	uint32_t hook;
} links[WV_BREAKER_LINK_N] = {
	[WV_BREAKER_LINK_CONNECT4] = {"connect4", "breaker_connect4", BPF_CGROUP_INET4_CONNECT,
				      WV_BREAKER_AT_CONNECT},
	[WV_BREAKER_LINK_CONNECT6] = {"connect6", "breaker_connect6", BPF_CGROUP_INET6_CONNECT,
				      WV_BREAKER_AT_CONNECT},
	[WV_BREAKER_LINK_EGRESS] = {"egress", "breaker_egress", BPF_CGROUP_INET_EGRESS,
				    WV_BREAKER_AT_EGRESS},
	[WV_BREAKER_LINK_INGRESS] = {"ingress", "breaker_ingress", BPF_CGROUP_INET_INGRESS,
				     WV_BREAKER_AT_INGRESS},
};

#define MAX_PROG_MAPS 32

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

/* Whether a program works on this very map. */
bool wv_breaker_prog_uses(int prog_fd, int map_fd)
{
	__u32 ids[MAX_PROG_MAPS] = {0}, id = map_id(map_fd);
	struct bpf_prog_info info = {.nr_map_ids = MAX_PROG_MAPS,
				     .map_ids = (uint64_t)(uintptr_t)ids};
	__u32 len = sizeof(info);

	if (!id || bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0)
		return false;
	for (__u32 i = 0; i < info.nr_map_ids && i < MAX_PROG_MAPS; i++)
		if (ids[i] == id)
			return true;
	return false;
}

int wv_breaker_set_open(struct wv_breaker_set *s, const struct wv_bpf *bpf,
			const struct wv_paths *paths, const struct wv_host *host)
{
	int fork = wv_bpf_prog_fd(bpf, "breaker_fork");
	struct wv_breaker_ctl ctl;

	*s = (struct wv_breaker_set){
		.host = host,
		.paths = paths,
		.bpf = bpf,
		.ctl_fd = wv_bpf_map_fd(bpf, "breaker_ctl"),
		.heads_fd = wv_bpf_map_fd(bpf, "breaker_heads"),
		.configs_fd = wv_bpf_map_fd(bpf, "breaker_configs"),
		.seen_fd = wv_bpf_map_fd(bpf, "breaker_seen"),
		.binds_fd = wv_bpf_map_fd(bpf, "breaker_binds"),
		.net_fd = wv_bpf_map_fd(bpf, "breaker_net_states"),
		.task_fd = wv_bpf_map_fd(bpf, "breaker_task_states"),
		.task_flags = BPF_F_LOCK,
	};
	if (s->task_fd < 0 || (fork >= 0 && !wv_breaker_prog_uses(fork, s->task_fd))) {
		s->task_fd = wv_bpf_map_fd(bpf, "breaker_raw_states");
		s->task_flags = 0;
	}
	if (s->ctl_fd < 0 || s->heads_fd < 0 || s->configs_fd < 0 || s->seen_fd < 0 ||
	    s->binds_fd < 0 || s->net_fd < 0 || s->task_fd < 0)
		return -ENOENT;
	for (int i = 0; i < WV_BREAKER_LINK_N; i++) {
		s->prog_fd[i] = wv_bpf_prog_fd(bpf, links[i].prog);
		if (s->prog_fd[i] < 0)
			return -ENOENT;
	}
	if (wv_breaker_ctl_read(s, &ctl) == 0)
		s->last_id = ctl.last_place;
	return 0;
}

void wv_breaker_set_done(struct wv_breaker_set *s)
{
	free(s->places);
	*s = (struct wv_breaker_set){0};
}

static bool is_net(uint32_t hook)
{
	return hook == WV_BREAKER_AT_CONNECT || hook == WV_BREAKER_AT_EGRESS ||
	       hook == WV_BREAKER_AT_INGRESS;
}

int wv_breaker_ctl_read(const struct wv_breaker_set *s, struct wv_breaker_ctl *ret)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(s->ctl_fd, &zero, ret) < 0 ? -errno : 0;
}

int wv_breaker_ctl_write(const struct wv_breaker_set *s, const struct wv_breaker_ctl *ctl)
{
	__u32 zero = 0;

	return bpf_map_update_elem(s->ctl_fd, &zero, ctl, BPF_ANY) < 0 ? -errno : 0;
}

/* State --------------------------------------------------------------------------------------- */

int wv_breaker_place_write(const struct wv_breaker_set *s, uint32_t id, uint32_t hook,
			   const struct wv_breaker_machine *m)
{
	struct wv_breaker_state st = {.m = *m};

	return bpf_map_update_elem(is_net(hook) ? s->net_fd : s->task_fd, &id, &st, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

int wv_breaker_place_read(const struct wv_breaker_set *s, struct wv_breaker_place *p)
{
	bool net = is_net(p->config.hook);
	struct wv_breaker_state st;

	if (bpf_map_lookup_elem_flags(net ? s->net_fd : s->task_fd, &p->id, &st,
				      net ? BPF_F_LOCK : s->task_flags) < 0)
		return -errno;
	p->kernel = st.m;
	return 0;
}

int wv_breaker_place_save(const struct wv_breaker_set *s, const struct wv_breaker_place *p)
{
	return bpf_map_update_elem(s->seen_fd, &p->id, &p->seen, BPF_ANY) < 0 ? -errno : 0;
}

/* Heads and counts ------------------------------------------------------------------------------
 */

/* Writes which places a cgroup has, or removes its head. -E2BIG: more than fit, nothing is changed.
 */
static int sync_head(const struct wv_breaker_set *s, uint64_t cgroup)
{
	struct wv_breaker_head head = {0};
	unsigned n[WV_BREAKER_HOOK_N] = {0}, all = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct wv_breaker_place *p = &s->places[i];

		if (p->config.cgroup != cgroup)
			continue;
		if (n[p->config.hook] >= WV_BREAKERS_A_HOOK)
			return -E2BIG;
		head.place[p->config.hook][n[p->config.hook]++] = p->id;
		all++;
	}
	if (!all)
		return bpf_map_delete_elem(s->heads_fd, &cgroup) < 0 && errno != ENOENT ? -errno
											: 0;
	return bpf_map_update_elem(s->heads_fd, &cgroup, &head, BPF_ANY) < 0 ? -errno : 0;
}

static int sync_ctl(const struct wv_breaker_set *s)
{
	struct wv_breaker_ctl ctl;
	int r = wv_breaker_ctl_read(s, &ctl);

	if (r < 0)
		return r;
	memset(ctl.places, 0, sizeof(ctl.places));
	ctl.last_place = s->last_id;
	for (size_t i = 0; i < s->n; i++)
		ctl.places[s->places[i].config.hook]++;
	return wv_breaker_ctl_write(s, &ctl);
}

static bool has_hook(const struct wv_breaker_set *s, uint64_t cgroup, uint32_t hook)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->places[i].config.cgroup == cgroup && s->places[i].config.hook == hook)
			return true;
	return false;
}

/* Links ---------------------------------------------------------------------------------------- */

static void pin_path(char *buf, size_t size, const struct wv_paths *paths, uint64_t key,
		     enum wv_breaker_link link, const char *suffix)
{
	snprintf(buf, size, "%s/" WV_BREAKER_PINS "/%016" PRIx64 "-%s%s", paths->pins, key,
		 links[link].name, suffix);
}

static uint32_t prog_id(int fd)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

/*
 * Brings a pinned link to the programs of this set. An older program that works on the same maps is
 * replaced in its link, at once: nothing passes and nothing counts twice. 1: done, 0: it was so,
 * negative: there is no link to keep.
 */
static int refresh_link(const struct wv_breaker_set *s, const char *path, enum wv_breaker_link link)
{
	_cleanup_close_ int fd = bpf_obj_get(path), old = -1;
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || !info.cgroup.cgroup_id)
		return -ENOENT;
	if (info.prog_id == prog_id(s->prog_fd[link]))
		return 0;
	old = bpf_prog_get_fd_by_id(info.prog_id);
	if (old < 0 || !wv_breaker_prog_uses(old, s->binds_fd))
		return -ESTALE;
	return bpf_link_update(fd, s->prog_fd[link], NULL) < 0 ? -errno : 1;
}

static int attach(const struct wv_breaker_set *s, int cgroup, uint64_t key,
		  enum wv_breaker_link link)
{
	struct wv_breaker_bind bind = {.cgroup = key};
	char path[WV_PATH_SIZE + 64], fresh[WV_PATH_SIZE + 64];
	_cleanup_close_ int fd = -1;
	int r;

	pin_path(path, sizeof(path), s->paths, key, link, "");
	r = refresh_link(s, path, link);
	if (r >= 0)
		return r;
	fd = bpf_link_create(s->prog_fd[link], cgroup, links[link].type, NULL);
	if (fd < 0)
		return -errno;
	/* the storage exists from here on */
	if (bpf_map_update_elem(s->binds_fd, &key, &bind, BPF_ANY) < 0)
		return -errno;
	pin_path(fresh, sizeof(fresh), s->paths, key, link, "__new");
	(void)unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		r = -errno;
		(void)unlink(fresh);
		return r;
	}
	return 1;
}

/* Makes and removes links of a cgroup as its places want. */
static int sync_links(const struct wv_breaker_set *s, uint64_t key, const char *path, char *reason,
		      size_t size)
{
	_cleanup_close_ int cgroup = -1;
	char pin[WV_PATH_SIZE + 64];
	int r, changed = 0;

	for (enum wv_breaker_link i = 0; i < WV_BREAKER_LINK_N; i++) {
		if (!has_hook(s, key, links[i].hook)) {
			pin_path(pin, sizeof(pin), s->paths, key, i, "");
			changed |= unlink(pin) == 0;
			continue;
		}
		if (cgroup < 0)
			cgroup = wv_cgroup_open(s->host, key, path);
		r = cgroup < 0 ? cgroup : attach(s, cgroup, key, i);
		if (r < 0) {
			snprintf(reason, size, "attach %s: %s", links[i].name, strerror(-r));
			return r;
		}
		changed |= r;
	}
	return changed;
}

/* Places --------------------------------------------------------------------------------------- */

struct wv_breaker_place *wv_breaker_set_find(struct wv_breaker_set *s, uint64_t cgroup,
					     uint32_t hook, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->places[i].config.cgroup == cgroup && s->places[i].config.hook == hook &&
		    strcmp(s->places[i].config.name, name) == 0)
			return &s->places[i];
	return NULL;
}

struct wv_breaker_place *wv_breaker_set_by_id(struct wv_breaker_set *s, uint32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->places[i].id == id)
			return &s->places[i];
	return NULL;
}

static struct wv_breaker_place *append(struct wv_breaker_set *s)
{
	struct wv_breaker_place *bigger;

	if (s->n >= WV_BREAKER_PLACES)
		return NULL;
	if (s->n == s->room) {
		bigger = realloc(s->places, (s->room * 2 + 16) * sizeof(*bigger));
		if (!bigger)
			return NULL;
		s->places = bigger;
		s->room = s->room * 2 + 16;
	}
	s->places[s->n] = (struct wv_breaker_place){.breaker = WV_NONE};
	return &s->places[s->n++];
}

static void forget(struct wv_breaker_set *s, struct wv_breaker_place *p)
{
	size_t i = (size_t)(p - s->places);

	memmove(p, p + 1, (s->n - i - 1) * sizeof(*p));
	s->n--;
}

/* Nothing of a place is left. */
static void clear_place(const struct wv_breaker_set *s, uint32_t id, uint32_t hook)
{
	const struct wv_breaker_machine m = {0};

	(void)bpf_map_delete_elem(s->configs_fd, &id);
	(void)bpf_map_delete_elem(s->seen_fd, &id);
	(void)wv_breaker_place_write(s, id, hook, &m);
}

uint32_t wv_breaker_set_number(struct wv_breaker_set *s)
{
	for (uint32_t i = 0; i < WV_BREAKER_PLACES; i++) {
		s->last_id = s->last_id + 1 < WV_BREAKER_PLACES ? s->last_id + 1 : 1;
		if (!wv_breaker_set_by_id(s, s->last_id))
			return s->last_id;
	}
	return 0;
}

static bool same_rate(const struct wv_breaker_rate *a, const struct wv_breaker_rate *b)
{
	struct wv_breaker_rate x = *a;

	x.epoch = b->epoch;
	return memcmp(&x, b, sizeof(x)) == 0;
}

bool wv_breaker_place_is(const struct wv_breaker_place *p, const struct wv_breaker_config *config)
{
	return same_rate(&config->rate, &p->config.rate) && config->kill == p->config.kill;
}

/* Writes a changed config; 0: it was so. */
static int update_config(const struct wv_breaker_set *s, struct wv_breaker_place *p,
			 const struct wv_breaker_config *config)
{
	struct wv_breaker_config next = *config;

	if (wv_breaker_place_is(p, config))
		return 0;
	next.rate.epoch = p->config.rate.epoch + 1;
	if (bpf_map_update_elem(s->configs_fd, &p->id, &next, BPF_ANY) < 0)
		return -errno;
	p->config = next;
	return 1;
}

static int make_place(struct wv_breaker_set *s, const struct wv_breaker_config *config,
		      struct wv_breaker_place **ret)
{
	uint32_t id = wv_breaker_set_number(s);
	struct wv_breaker_place *p = id ? append(s) : NULL;
	int r;

	if (!p)
		return -ENOSPC;
	p->id = id;
	p->config = *config;
	p->config.rate.epoch = 1;
	r = wv_breaker_place_write(s, p->id, config->hook, &p->kernel);
	if (r == 0)
		r = wv_breaker_place_save(s, p);
	if (r == 0 && bpf_map_update_elem(s->configs_fd, &p->id, &p->config, BPF_ANY) < 0)
		r = -errno;
	if (r < 0) {
		clear_place(s, p->id, config->hook);
		s->n--;
		return r;
	}
	*ret = p;
	return 1;
}

int wv_breaker_set_put(struct wv_breaker_set *s, const struct wv_breaker_config *config,
		       const char *path, struct wv_breaker_place **ret, char *reason, size_t size)
{
	struct wv_breaker_place *p =
		wv_breaker_set_find(s, config->cgroup, config->hook, config->name);
	bool fresh = !p;
	int r = p ? update_config(s, p, config) : make_place(s, config, &p), changed = r;

	if (r >= 0 && fresh)
		r = sync_head(s, config->cgroup);
	if (r >= 0)
		r = sync_ctl(s);
	if (r < 0)
		snprintf(reason, size, "%s",
			 r == -E2BIG ? "more than 4 breakers of one kind at one cgroup"
				     : strerror(-r));
	if (r >= 0 && is_net(config->hook)) {
		r = sync_links(s, config->cgroup, path, reason, size);
		changed |= r;
	}
	if (r >= 0) {
		*ret = p;
		return changed > 0;
	}
	if (fresh && p)
		wv_breaker_set_remove(s, p);
	return r;
}

void wv_breaker_set_remove(struct wv_breaker_set *s, struct wv_breaker_place *p)
{
	const struct wv_breaker_config config = p->config;
	char reason[64];
	uint32_t id = p->id;

	forget(s, p);
	(void)sync_head(s, config.cgroup);
	(void)sync_ctl(s);
	if (is_net(config.hook))
		(void)sync_links(s, config.cgroup, "", reason, sizeof(reason));
	clear_place(s, id, config.hook);
}

/* Adoption ------------------------------------------------------------------------------------- */

static int adopt_places(struct wv_breaker_set *s)
{
	uint32_t id = 0, next;
	bool more = bpf_map_get_next_key(s->configs_fd, NULL, &id) == 0;

	for (; more; id = next) {
		struct wv_breaker_place *p;
		struct wv_breaker_config config;

		more = bpf_map_get_next_key(s->configs_fd, &id, &next) == 0;
		if (bpf_map_lookup_elem(s->configs_fd, &id, &config) < 0)
			continue;
		p = config.hook < WV_BREAKER_HOOK_N ? append(s) : NULL;
		if (!p)
			return -ENOSPC;
		p->id = id;
		p->config = config;
		p->config.name[sizeof(p->config.name) - 1] = '\0';
		(void)wv_breaker_place_read(s, p);
		if (bpf_map_lookup_elem(s->seen_fd, &id, &p->seen) < 0)
			p->seen = p->kernel;
	}
	return 0;
}

/* Heads of cgroups that have no place. */
static void sweep_heads(const struct wv_breaker_set *s)
{
	uint64_t key = 0, next = 0;
	bool more = bpf_map_get_next_key(s->heads_fd, NULL, &key) == 0;

	for (; more; key = next) {
		bool used = false;

		more = bpf_map_get_next_key(s->heads_fd, &key, &next) == 0;
		for (size_t i = 0; i < s->n && !used; i++)
			used = s->places[i].config.cgroup == key;
		if (!used)
			(void)bpf_map_delete_elem(s->heads_fd, &key);
	}
}

/* Links that no place wants: "<16 hex digits>-<link>". */
static void sweep_links(const struct wv_breaker_set *s)
{
	_cleanup_closedir_ DIR *d = NULL;
	char path[WV_PATH_SIZE + 16];
	struct dirent *e;

	snprintf(path, sizeof(path), "%s/" WV_BREAKER_PINS, s->paths->pins);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		bool wanted = false;
		uint64_t key = strtoull(e->d_name, NULL, 16);

		if (e->d_name[0] == '.')
			continue;
		for (int i = 0; i < WV_BREAKER_LINK_N; i++)
			wanted |= strlen(e->d_name) > 17 &&
				  strcmp(e->d_name + 17, links[i].name) == 0 &&
				  has_hook(s, key, links[i].hook);
		if (!wanted)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
}

int wv_breaker_set_adopt(struct wv_breaker_set *s)
{
	int r = adopt_places(s);
	for (size_t i = 0; r == 0 && i < s->n; i++)
		r = sync_head(s, s->places[i].config.cgroup);
	sweep_heads(s);
	sweep_links(s);
	return r < 0 ? r : sync_ctl(s);
}
