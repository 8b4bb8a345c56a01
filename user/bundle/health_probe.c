// SPDX-License-Identifier: GPL-2.0-only
/* Looks at this machine for health rules: a service, an address of this machine, a file, the agent.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/bundle/deeds.h"
#include "user/bundle/health.h"
#include "user/core/cleanup.h"
#include "user/core/dl.h"
#include "user/core/io.h"
#include "user/flow/snapshot.h"
#include "user/recover/act.h"
#include "user/recover/services.h"

/* Bounds of how long a look by HTTP may take, whatever the rule says: other rules wait for it. */
#define HTTP_MIN_MS 50
#define HTTP_MAX_MS 5000
/* So many ticks late, and the agent does not do its work. */
#define TICKS_LATE 3

static int not_well(char why[WV_HEALTH_WHY], const char *text)
{
	snprintf(why, WV_HEALTH_WHY, "%s", text);
	return 1;
}

/* The same process as at the last look: a service that is started again and again is not stable. */
static int same(struct wv_health_memory *m, uint64_t a, uint64_t b, char why[WV_HEALTH_WHY])
{
	bool changed = m->seen && (m->a != a || m->b != b);

	m->seen = true;
	m->a = a;
	m->b = b;
	return changed ? not_well(why, "it was started again") : 0;
}

static int probe_service(const struct wv_paths *paths, const char *name, struct wv_health_memory *m,
			 char why[WV_HEALTH_WHY])
{
	struct wv_service_process p;
	uint64_t since = 0;
	char state[32] = "";
	int fd, r = wv_bundle_find_service(paths, name, &p);

	if (r < 0)
		return r;
	if (r > 0) {
		fd = wv_service_open(&p);
		if (fd < 0)
			return not_well(why, "it does not run");
		close(fd);
		return same(m, (uint64_t)p.pid, p.start_ns, why);
	}
	if (!strchr(name, '.'))
		return not_well(why, "the agent runs no such service");
	r = wv_unit_state(name, state, sizeof(state), &since);
	if (r < 0)
		return r;
	if (strcmp(state, "active") != 0) {
		snprintf(why, WV_HEALTH_WHY, "systemd says it is %s", state);
		return 1;
	}
	return same(m, since, 0, why);
}

/* libcurl, loaded when a rule asks for it ------------------------------------------------------ */

static CURL *(*p_init)(void);
static CURLcode (*p_setopt)(CURL *, CURLoption, ...);
static CURLcode (*p_perform)(CURL *);
static CURLcode (*p_getinfo)(CURL *, CURLINFO, ...);
static void (*p_cleanup)(CURL *);
static const char *(*p_strerror)(CURLcode);

static int load_curl(void)
{
	static const struct wv_dl_symbol symbols[] = {{"curl_easy_init", &p_init},
						      {"curl_easy_setopt", &p_setopt},
						      {"curl_easy_perform", &p_perform},
						      {"curl_easy_getinfo", &p_getinfo},
						      {"curl_easy_cleanup", &p_cleanup},
						      {"curl_easy_strerror", &p_strerror},
						      {0}};
	static int loaded = 1;

	if (loaded == 1)
		loaded = wv_dl_load("libcurl.so.4", "libcurl4", symbols);
	return loaded;
}

static size_t drop(char *data _unused_, size_t size, size_t n, void *userdata _unused_)
{
	return size * n;
}

/* The manifest is signed, but it must not make this machine ask others. */
static bool is_local(const char *url)
{
	static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t n = strlen(hosts[i]);

		if (strncmp(url, hosts[i], n) == 0 && !strchr(url, '@') &&
		    (url[n] == ':' || url[n] == '/' || url[n] == '\0'))
			return true;
	}
	return false;
}

static int probe_http(const char *url, uint64_t within_ns, char why[WV_HEALTH_WHY])
{
	long status = 0, ms = (long)(within_ns / 1000000);
	CURLcode code;
	CURL *c;
	int r = load_curl();

	if (r < 0)
		return r;
	ms = ms < HTTP_MIN_MS ? HTTP_MIN_MS : ms > HTTP_MAX_MS ? HTTP_MAX_MS : ms;
	c = p_init();
	if (!c)
		return -ENOMEM;
	p_setopt(c, CURLOPT_URL, url);
	p_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
	p_setopt(c, CURLOPT_PROXY, "");
	p_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	p_setopt(c, CURLOPT_NOSIGNAL, 1L);
	p_setopt(c, CURLOPT_TIMEOUT_MS, ms);
	p_setopt(c, CURLOPT_WRITEFUNCTION, drop);
	code = p_perform(c);
	if (code == CURLE_OK)
		(void)p_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	p_cleanup(c);
	if (code != CURLE_OK)
		return not_well(why, p_strerror(code));
	if (status == 200)
		return 0;
	snprintf(why, WV_HEALTH_WHY, "status %ld", status);
	return 1;
}

/* Written anew since the last look, or within within_ns: changes are seen, the clock that the file
 * has its times from is not. */
static int probe_file(const struct wv_health_rule *rule, struct wv_health_memory *m,
		      uint64_t now_ns, char why[WV_HEALTH_WHY])
{
	struct stat st;
	uint64_t stamp;

	if (stat(rule->target, &st) < 0)
		return not_well(why, strerror(errno));
	stamp = (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec;
	if (m->seen && (m->a != stamp || m->b != st.st_ino))
		m->changed_ns = now_ns;
	m->seen = true;
	m->a = stamp;
	m->b = st.st_ino;
	if (!m->changed_ns)
		return not_well(why, "it was not written since the trial began");
	return now_ns - m->changed_ns <= rule->within_ns ? 0 : not_well(why, "it is stale");
}

static int probe_agent(const struct wv_paths *paths, uint64_t within_ns, uint64_t now_ns,
		       char why[WV_HEALTH_WHY])
{
	_cleanup_close_ int dir = open(paths->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct wv_snapshot_map map = {0};
	uint64_t last, interval;
	uint32_t core;
	int r = dir < 0 ? -errno : wv_snapshot_open(&map, dir);

	if (r < 0)
		return not_well(why, "no agent runs");
	/* two loads of aligned words; a tick more or less does not matter */
	last = map.head->mono_ns;
	interval = map.head->tick_interval_ns;
	core = atomic_load(&map.head->workers[WV_WORKER_CORE].pid);
	wv_snapshot_close(&map);
	if (!core || (kill((pid_t)core, 0) < 0 && errno == ESRCH))
		return not_well(why, "its core does not run");
	return now_ns < last + TICKS_LATE * interval + within_ns
		       ? 0
		       : not_well(why, "it publishes nothing");
}

int wv_health_probe(void *ctx, const struct wv_health_rule *rule, struct wv_health_memory *memory,
		    uint64_t now_ns, char why[WV_HEALTH_WHY])
{
	const struct wv_paths *paths = ctx;

	switch (rule->kind) {
	case WV_HEALTH_SERVICE:
		return probe_service(paths, rule->target, memory, why);
	case WV_HEALTH_HTTP:
		return is_local(rule->target) ? probe_http(rule->target, rule->within_ns, why)
					      : -EPERM;
	case WV_HEALTH_FILE_FRESH:
		return probe_file(rule, memory, now_ns, why);
	case WV_HEALTH_AGENT:
		return probe_agent(paths, rule->within_ns, now_ns, why);
	}
	return -EOPNOTSUPP;
}

int wv_health_can(const struct wv_health_rule *rule, char why[WV_HEALTH_WHY])
{
	int r;

	if (rule->kind != WV_HEALTH_HTTP)
		return 0;
	if (!is_local(rule->target)) {
		snprintf(why, WV_HEALTH_WHY, "%.100s is not an address of this machine",
			 rule->target);
		return -EPERM;
	}
	r = load_curl();
	if (r < 0)
		snprintf(why, WV_HEALTH_WHY, "health rules by HTTP need the package libcurl4");
	return r;
}
