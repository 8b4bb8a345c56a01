// SPDX-License-Identifier: GPL-2.0-only
#include "user/enforce/netlimit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "user/core/cleanup.h"
#include "user/enforce/pinned.h"

/*
 * Default depth of a bucket, in time at its rate. Policing has to bridge the pause of a sender that
 * lost its last packets: TCP tries again after at least 200 ms (RTO minimum), and a bucket that is
 * full before that wastes the rest. Where a queue paces there is no loss and no pause.
 */
#define POLICED_MS 250
#define PACED_MS 20
#define MIN_BURST_BITS (64 * 1024 * 8) /* one segment as large as they come */
#define MIN_BURST_PACKETS 64
/* Connects: what one second admits */
#define CONNECT_MS 1000
/* Longest delay that pacing makes; fq itself drops what departs later than 10 s. */
#define HORIZON_NS 2000000000ULL

static const struct {
	const char *name, *prog;
	enum bpf_attach_type type;
} hooks[WV_HOOK_N] = {
	[WV_HOOK_EGRESS] = {"egress", "limit_egress", BPF_CGROUP_INET_EGRESS},
	[WV_HOOK_SOCKET] = {"socket", "limit_socket", BPF_CGROUP_INET_SOCK_CREATE},
	[WV_HOOK_INGRESS] = {"ingress", "limit_ingress", BPF_CGROUP_INET_INGRESS},
	[WV_HOOK_CONNECT4] = {"connect4", "limit_connect4", BPF_CGROUP_INET4_CONNECT},
	[WV_HOOK_CONNECT6] = {"connect6", "limit_connect6", BPF_CGROUP_INET6_CONNECT},
};

int wv_netlimit_init(struct wv_netlimit *n, const struct wv_bpf *bpf, const struct wv_paths *paths,
		     const struct wv_host *host)
{
	*n = (struct wv_netlimit){
		.host = host,
		.paths = paths,
		.rates_fd = wv_bpf_map_fd(bpf, "limit_rates"),
		.state_fd = wv_bpf_map_fd(bpf, "limit_state"),
		.pacers_fd = wv_bpf_map_fd(bpf, "limit_pacers"),
	};
	if (n->rates_fd < 0 || n->state_fd < 0 || n->pacers_fd < 0)
		return -ENOENT;
	for (int i = 0; i < WV_HOOK_N; i++) {
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		n->prog_fd[i] = wv_bpf_prog_fd(bpf, hooks[i].prog);
		if (n->prog_fd[i] < 0)
			return -ENOENT;
		if (bpf_obj_get_info_by_fd(n->prog_fd[i], &info, &len) < 0)
			return -errno;
		n->prog_id[i] = info.id;
	}
	return 0;
}

static uint64_t depth_ns(const struct wv_want *w, enum wv_limit limit, unsigned default_ms,
			 uint64_t least)
{
	uint64_t rate = w->net[limit], units = w->burst[limit];

	if (rate == WV_UNSET)
		return 0;
	if (units == WV_UNSET) {
		units = (uint64_t)((unsigned __int128)rate * default_ms / 1000);
		units = units < least ? least : units;
	}
	return wv_bucket_burst_ns(rate, units);
}

void wv_netlimit_rates(const struct wv_want *w, struct wv_limit_rates *ret)
{
	static const struct {
		unsigned policed_ms;
		uint64_t least;
	} depth[WV_LIMIT_N] = {
		[WV_LIMIT_EGRESS_BITS] = {POLICED_MS, MIN_BURST_BITS},
		[WV_LIMIT_EGRESS_PACKETS] = {POLICED_MS, MIN_BURST_PACKETS},
		[WV_LIMIT_INGRESS_BITS] = {POLICED_MS, MIN_BURST_BITS},
		[WV_LIMIT_INGRESS_PACKETS] = {POLICED_MS, MIN_BURST_PACKETS},
		[WV_LIMIT_CONNECTS] = {CONNECT_MS, 1},
	};

	*ret = (struct wv_limit_rates){.horizon_ns = HORIZON_NS};
	for (enum wv_limit i = 0; i < WV_LIMIT_N; i++) {
		if (w->net[i] == WV_UNSET)
			continue;
		ret->rate[i].per_second = w->net[i] ?: 1;
		ret->rate[i].burst_ns = depth_ns(w, i, depth[i].policed_ms, depth[i].least);
		if (i <= WV_LIMIT_EGRESS_PACKETS)
			ret->paced_burst_ns[i] = depth_ns(w, i, PACED_MS, depth[i].least);
	}
}

static void pin_path(char *buf, size_t size, const struct wv_paths *paths, uint64_t key,
		     enum wv_hook hook, const char *suffix)
{
	snprintf(buf, size, "%s/" WV_LIMIT_PINS "/%016" PRIx64 "-%s%s", paths->pins, key,
		 hooks[hook].name, suffix);
}

/* Whether the pinned link is alive and runs the program of the set in use. */
static bool link_is_current(const struct wv_netlimit *n, const char *path, enum wv_hook hook)
{
	_cleanup_close_ int fd = bpf_obj_get(path);
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
	       info.prog_id == n->prog_id[hook] && info.cgroup.cgroup_id != 0;
}

/* Tells the cgroup's storage which rates are its own; from then on packets are counted and limited.
 */
static int bind_state(const struct wv_netlimit *n, uint64_t key)
{
	struct wv_limit_state state;

	if (bpf_map_lookup_elem_flags(n->state_fd, &key, &state, BPF_F_LOCK) < 0)
		return -errno;
	if (state.cgroup == key)
		return 0;
	state = (struct wv_limit_state){.cgroup = key};
	return bpf_map_update_elem(n->state_fd, &key, &state, BPF_F_LOCK) < 0 ? -errno : 1;
}

/* Attaches and pins; a link of an older set under this name goes only when the new one is in force.
 */
static int attach(const struct wv_netlimit *n, int cgroup, uint64_t key, enum wv_hook hook)
{
	char path[WV_PATH_SIZE + 64], fresh[WV_PATH_SIZE + 64];
	_cleanup_close_ int link = -1;
	int r;

	pin_path(path, sizeof(path), n->paths, key, hook, "");
	if (link_is_current(n, path, hook))
		return 0;
	pin_path(fresh, sizeof(fresh), n->paths, key, hook, "__new");
	link = bpf_link_create(n->prog_fd[hook], cgroup, hooks[hook].type, NULL);
	if (link < 0)
		return -errno;
	/* the storage exists from here on; bound before the old link goes, so there is no gap */
	r = bind_state(n, key);
	if (r < 0)
		return r;
	(void)unlink(fresh);
	if (bpf_obj_pin(link, fresh) < 0)
		return -errno;
	if (rename(fresh, path) < 0) {
		r = -errno;
		(void)unlink(fresh);
		return r;
	}
	return 1;
}

static int detach(const struct wv_paths *paths, uint64_t key, enum wv_hook hook)
{
	char path[WV_PATH_SIZE + 64];

	pin_path(path, sizeof(path), paths, key, hook, "");
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}

static int set_rates(const struct wv_netlimit *n, uint64_t key, const struct wv_want *want)
{
	struct wv_limit_rates now, rates;

	wv_netlimit_rates(want, &rates);
	rates.pace = n->pace;
	rates.epoch = 1;
	if (bpf_map_lookup_elem(n->rates_fd, &key, &now) == 0) {
		rates.epoch = now.epoch;
		if (memcmp(&now, &rates, sizeof(now)) == 0)
			return 0;
		rates.epoch++;
	}
	return bpf_map_update_elem(n->rates_fd, &key, &rates, BPF_ANY) < 0 ? -errno : 1;
}

static bool wants_hook(const struct wv_want *w, enum wv_hook hook)
{
	switch (hook) {
	case WV_HOOK_EGRESS:
	case WV_HOOK_SOCKET:
		return w->net[WV_LIMIT_EGRESS_BITS] != WV_UNSET ||
		       w->net[WV_LIMIT_EGRESS_PACKETS] != WV_UNSET;
	case WV_HOOK_INGRESS:
		return w->net[WV_LIMIT_INGRESS_BITS] != WV_UNSET ||
		       w->net[WV_LIMIT_INGRESS_PACKETS] != WV_UNSET;
	default:
		return w->net[WV_LIMIT_CONNECTS] != WV_UNSET;
	}
}

int wv_netlimit_apply(struct wv_netlimit *n, uint64_t key, const char *path,
		      const struct wv_want *want, char *reason, size_t size)
{
	_cleanup_close_ int cgroup = wv_cgroup_open(n->host, key, path);
	bool changed;
	int r;

	if (cgroup < 0) {
		snprintf(reason, size, "open the cgroup: %s", strerror(-cgroup));
		return cgroup;
	}
	r = set_rates(n, key, want);
	if (r < 0) {
		snprintf(reason, size, "set rates: %s", strerror(-r));
		return r;
	}
	changed = r > 0;
	for (enum wv_hook i = 0; i < WV_HOOK_N; i++) {
		r = wants_hook(want, i) ? attach(n, cgroup, key, i) : detach(n->paths, key, i);
		if (r < 0) {
			snprintf(reason, size, "attach %s: %s", hooks[i].name, strerror(-r));
			return r;
		}
		changed |= r > 0;
	}
	return changed;
}

int wv_netlimit_release(struct wv_netlimit *n, uint64_t key)
{
	int r, changed = 0;

	for (enum wv_hook i = 0; i < WV_HOOK_N; i++) {
		r = detach(n->paths, key, i);
		if (r < 0)
			return r;
		changed |= r;
	}
	if (bpf_map_delete_elem(n->rates_fd, &key) < 0 && errno != ENOENT)
		return -errno;
	return changed;
}

int wv_netlimit_read(const struct wv_netlimit *n, uint64_t key, struct wv_limit_state *ret)
{
	struct wv_limit_state state;

	if (bpf_map_lookup_elem_flags(n->state_fd, &key, &state, BPF_F_LOCK) < 0)
		return -errno;
	*ret = state;
	return 0;
}

/* "<16 hex digits>-<hook>" */
static bool parse_pin(const char *name, uint64_t *ret_key, enum wv_hook *ret_hook)
{
	char *end;
	uint64_t key = strtoull(name, &end, 16);

	if (end != name + 16 || *end != '-')
		return false;
	for (enum wv_hook i = 0; i < WV_HOOK_N; i++)
		if (strcmp(end + 1, hooks[i].name) == 0) {
			*ret_key = key;
			*ret_hook = i;
			return true;
		}
	return false;
}

int wv_netlimit_each(const struct wv_paths *paths,
		     int (*fn)(void *ctx, uint64_t key, enum wv_hook hook), void *ctx)
{
	_cleanup_closedir_ DIR *d = wv_pinned_open(paths, WV_LIMIT_PINS);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		enum wv_hook hook;
		uint64_t key;
		int r;

		if (!parse_pin(e->d_name, &key, &hook))
			continue;
		r = fn(ctx, key, hook);
		if (r < 0)
			return r;
	}
	return 0;
}
