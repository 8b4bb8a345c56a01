// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/resource.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/log.h"

/* This application's own id of the machine (machine-id(5) itself is not to be shown around). */
#define APP_ID SD_ID128_MAKE(6e, 4b, 1f, 52, 0c, 8d, 4a, 7e, 9b, 32, d1, 57, 84, 3a, 60, cf)

static void put(struct json_object *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_object_add(o, key, json_object_new_string(value));
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		char hex[3] = {s[1], s[1] ? s[2] : '\0', '\0'};

		if (*s == '%' && isxdigit((unsigned char)hex[0]) &&
		    isxdigit((unsigned char)hex[1])) {
			*to++ = (char)strtoul(hex, NULL, 16);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

unsigned wv_otlp_add_attributes(struct json_object *o, const char *list)
{
	_cleanup_free_ char *copy = strdup(list);
	char *rest = copy, *pair;
	unsigned bad = 0;

	while (rest && (pair = strsep(&rest, ","))) {
		char *value = strchr(pair, '='), *key;

		if (!*trim(pair))
			continue;
		if (value)
			*value++ = '\0';
		key = trim(pair);
		if (!value || !*key) {
			bad++;
			continue;
		}
		value = trim(value);
		unescape(value);
		put(o, key, value);
	}
	return bad;
}

struct json_object *wv_otlp_resource_attributes(const struct wv_config *config, const char *run_id)
{
	struct json_object *o = json_object_new_object();
	char host[256] = "", instance[SD_ID128_UUID_STRING_MAX] = "";
	const char *environment = getenv("OTEL_RESOURCE_ATTRIBUTES");
	sd_id128_t id;
	unsigned bad;

	if (!o)
		return NULL;
	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	if (sd_id128_get_machine_app_specific(APP_ID, &id) >= 0)
		(void)sd_id128_to_uuid_string(id, instance);
	put(o, "service.name", config->otlp_service_name);
	put(o, "service.version", WV_VERSION);
	put(o, "service.instance.id", instance[0] ? instance : host);
	put(o, "host.name", host);
	put(o, "os.type", "linux");
	bad = environment ? wv_otlp_add_attributes(o, environment) : 0;
	bad += wv_otlp_add_attributes(o, config->otlp_attributes);
	put(o, "waveos.run_id", run_id);
	if (bad)
		(void)wv_log_warn(0, "otlp",
				  "%u of the resource attributes are no key=value and are left out",
				  bad);
	return o;
}
