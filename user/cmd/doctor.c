// SPDX-License-Identifier: GPL-2.0-only
/* doctor: what this machine lets the agent measure and enforce, with what, and why not with better.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd/cmd.h"
#include "user/cmd/support.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/module.h"
#include "user/core/term.h"

static const char *const state_names[] = {"ok", "fallback", "missing"};

static const char *result(int r)
{
	return r == 0 ? "works" : strerror(-r);
}

/* The program that proxies run in (docs/proxy.md), where the settings' default has it. */
static bool has_haproxy(void)
{
	struct wv_config c;

	return wv_config_init(&c) == 0 && access(c.proxy_program, X_OK) == 0;
}

static struct json_object *host_json(const struct wv_host *h)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "kernel", json_object_new_string(h->kernel));
	json_object_object_add(o, "cpus", json_object_new_int64(h->ncpu));
	json_object_object_add(o, "btf", json_object_new_boolean(h->btf));
	json_object_object_add(o, "tp_btf", json_object_new_string(result(h->tp_btf)));
	json_object_object_add(o, "raw_tp", json_object_new_string(result(h->raw_tp)));
	json_object_object_add(o, "trampoline", json_object_new_string(result(h->trampoline)));
	json_object_object_add(o, "kprobe", json_object_new_string(result(h->kprobe)));
	json_object_object_add(o, "lsm", json_object_new_string(result(h->lsm)));
	json_object_object_add(o, "active_lsms", json_object_new_string(h->lsms));
	json_object_object_add(o, "psi", json_object_new_boolean(h->psi));
	json_object_object_add(o, "cgroup2", json_object_new_string(h->cgroup2));
	json_object_object_add(o, "haproxy", json_object_new_boolean(has_haproxy()));
	json_object_object_add(
		o, "v1_attribution",
		h->v1_ssid >= 0 ? json_object_new_string(wv_controller_names[h->v1_attribution])
				: NULL);
	return o;
}

static void print_json(const struct wv_host *h, const struct wv_capabilities *caps)
{
	struct json_object *out = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < caps->n; i++) {
		const struct wv_capability *c = &caps->list[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "module", json_object_new_string(c->module));
		json_object_object_add(o, "name", json_object_new_string(c->name));
		json_object_object_add(o, "state", json_object_new_string(state_names[c->state]));
		json_object_object_add(o, "uses", json_object_new_string(c->uses));
		json_object_object_add(o, "reason", json_object_new_string(c->reason));
		json_object_array_add(list, o);
	}
	json_object_object_add(out, "schema_version", json_object_new_int(1));
	json_object_object_add(out, "host", host_json(h));
	json_object_object_add(out, "capabilities", list);
	printf("%s\n", json_object_to_json_string_ext(out, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(out);
}

static void print_host(const struct wv_host *h)
{
	printf("Kernel %s, %u possible CPUs, BTF %s\n", h->kernel, h->ncpu,
	       h->btf ? "present" : "missing");
	printf("Hooks: BTF tracepoints %s; raw tracepoints %s; fentry %s; kprobes %s\n",
	       result(h->tp_btf), result(h->raw_tp), result(h->trampoline), result(h->kprobe));
	printf("LSM: %s (active: %s)\n",
	       h->lsm == 0 ? "BPF programs can deny" : "BPF programs would not fire",
	       h->lsms[0] ? h->lsms : "unknown, securityfs is not mounted");
	printf("cgroups: v2 %s%s", h->cgroup2[0] ? "at " : "not mounted", h->cgroup2);
	for (int c = 0; c < WV_CTRL_N; c++)
		if (h->v1[c][0])
			printf(", v1 %s", wv_controller_names[c]);
	if (h->v1_ssid >= 0)
		printf("; tasks of the v2 root are told apart by v1 %s",
		       wv_controller_names[h->v1_attribution]);
	printf("\nProxies: %s\n\n", has_haproxy()
					    ? "HAProxy is installed"
					    : "HAProxy is not installed (apt-get install haproxy)");
}

static void print_text(const struct wv_host *h, const struct wv_capabilities *caps)
{
	bool utf8 = wv_term_utf8();
	const char *module = "";

	print_host(h);
	for (size_t i = 0; i < caps->n; i++) {
		const struct wv_capability *c = &caps->list[i];

		if (strcmp(module, c->module) != 0) {
			const struct wv_module *m = wv_module_by_name(c->module);

			module = c->module;
			printf("%s: %s\n", module, m ? m->summary : "");
		}
		printf("  %s%*s %-28s %-36s %s\n", wv_mark((enum wv_mark)c->state, utf8),
		       utf8 || c->state == WV_CAP_OK ? 0 : 1, "", c->name, c->uses, c->reason);
	}
	printf("\n%s ok   %s fallback   %s missing\n", wv_mark(WV_MARK_OK, utf8),
	       wv_mark(WV_MARK_FALLBACK, utf8), wv_mark(WV_MARK_MISSING, utf8));
}

static const struct wv_option options[] = {
	{"bundle", 'b', "FILE",
	 "make a redacted support bundle (.tar.zst) instead; it must not exist"},
	{0},
};

static int set_option(void *ctx, const struct wv_option *o _unused_, const char *value)
{
	*(const char **)ctx = value;
	return 0;
}

int wv_cmd_doctor(struct wv_cli *cli, int argc, char **argv)
{
	struct wv_capabilities caps = {0};
	const char *bundle = NULL;
	struct wv_host host;
	int r;

	r = wv_cli_parse(cli, argc, argv, "doctor [--json] [--bundle FILE]",
			 "  waveos-bpf doctor\n  waveos-bpf doctor --bundle support.tar.zst\n",
			 options, set_option, &bundle);
	if (r < 0)
		return -r;
	if (bundle)
		return wv_support_make(&cli->paths, bundle, cli->json);
	wv_host_probe(&host);
	for (size_t i = 0; i < wv_modules_count; i++) {
		r = wv_modules[i]->probe(&host, NULL, &caps);
		if (r < 0) {
			fprintf(stderr, "waveos-bpf doctor: %s: %s\n", wv_modules[i]->name,
				strerror(-r));
			free(caps.list);
			return WV_EXIT_INTERNAL;
		}
	}
	if (cli->json)
		print_json(&host, &caps);
	else
		print_text(&host, &caps);
	free(caps.list);
	if (!host.bpf_syscall) {
		fprintf(stderr, "waveos-bpf doctor: the bpf system call is refused; run as root to "
				"see what works\n");
		return WV_EXIT_DENIED;
	}
	return WV_EXIT_OK;
}
