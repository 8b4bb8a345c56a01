// SPDX-License-Identifier: GPL-2.0-only
/* JSON schemas (draft 7) of the configuration and of policies, for editors and for checks before a
 * rollout. */
#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/fields.h"
#include "user/flow/sample.h"
#include "user/policy/policy.h"

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

/* type: ["a", "b"], or just "a" */
static void add_types(struct json_object *o, const char *a, const char *b)
{
	struct json_object *types = json_object_new_array();

	json_object_array_add(types, json_object_new_string(a));
	json_object_array_add(types, json_object_new_string(b));
	json_object_object_add(o, "type", types);
}

static void add_bounds(struct json_object *o, const char *min, const char *max)
{
	if (*min)
		json_object_object_add(o, "minimum", json_object_new_int64(atoll(min)));
	if (*max)
		json_object_object_add(o, "maximum", json_object_new_int64(atoll(max)));
}

static struct json_object *choices(const char *list)
{
	struct json_object *values = json_object_new_array();
	char buf[128];
	const char *words[16];
	size_t n = wv_choices(list, buf, sizeof(buf), words, ARRAY_SIZE(words));

	for (size_t i = 0; i < n; i++)
		json_object_array_add(values, json_object_new_string(words[i]));
	return values;
}

static struct json_object *signal_names(void)
{
	struct json_object *values = json_object_new_array();

	for (int i = 0; i < WV_SIG_N; i++)
		json_object_array_add(values, json_object_new_string(wv_signals[i].name));
	return values;
}

static bool is_text(enum wv_setting_type type)
{
	return type == WV_STRING || type == WV_SECRET || type == WV_CGROUP || type == WV_PATTERN ||
	       type == WV_PATH || type == WV_DEVICE;
}

/* Ranges of sizes and durations cannot be said in a schema: the description does, the agent checks.
 */
static struct json_object *value_schema(enum wv_setting_type type, const char *min, const char *max,
					size_t size, const char *doc)
{
	struct json_object *o = json_object_new_object();
	const char *pattern = wv_value_pattern(type);
	char text[400];

	snprintf(text, sizeof(text), "%s%s%s%s%s", doc, pattern && *min ? "; from " : "",
		 pattern ? min : "", pattern && *min ? " to " : "", pattern ? max : "");
	add_text(o, "description", text);
	switch (type) {
	case WV_BOOL:
		add_text(o, "type", "boolean");
		return o;
	case WV_STRINGS:
		add_types(o, "array", "string");
		json_object_object_add(o, "items", json_tokener_parse("{\"type\":\"string\"}"));
		json_object_object_add(o, "maxItems", json_object_new_int64(atol(max)));
		return o;
	case WV_INT:
	case WV_UINT:
		add_text(o, "type", "integer");
		add_bounds(o, min, max);
		return o;
	case WV_UINT_SHARE:
		add_types(o, "integer", "string");
		add_bounds(o, min, max);
		break;
	case WV_CHOICE:
		json_object_object_add(o, "enum", choices(min));
		return o;
	case WV_SIGNAL_NAME:
		json_object_object_add(o, "enum", signal_names());
		return o;
	case WV_BYTES:
	case WV_BYTES_SHARE:
	case WV_POW2:
		add_types(o, "string", "integer");
		json_object_object_add(o, "minimum", json_object_new_int64(0));
		break;
	case WV_LEVEL:
		add_types(o, "string", "number");
		json_object_object_add(o, "minimum", json_object_new_int64(0));
		break;
	default:
		add_text(o, "type", "string");
		if (is_text(type))
			json_object_object_add(o, "maxLength",
					       json_object_new_int64((int64_t)size - 1));
		break;
	}
	if (pattern)
		add_text(o, "pattern", pattern);
	return o;
}

static struct json_object *object_schema(struct json_object **ret_properties)
{
	struct json_object *o = json_object_new_object();

	*ret_properties = json_object_new_object();
	add_text(o, "type", "object");
	json_object_object_add(o, "additionalProperties", json_object_new_boolean(false));
	json_object_object_add(o, "properties", *ret_properties);
	return o;
}

static struct json_object *group_schema(const char *list, const char *group,
					struct json_object **ret_properties)
{
	struct json_object *required = json_object_new_array(), *properties;
	struct json_object *o = object_schema(&properties);

	for (size_t i = 0; i < wv_fields_count; i++) {
		const struct wv_field *f = &wv_fields[i];

		if (!wv_field_is_of(f, list) || strcmp(f->group, group) != 0)
			continue;
		json_object_object_add(properties, f->key,
				       value_schema(f->type, f->min, f->max, f->size, f->doc));
		if (wv_field_is_required(f))
			json_object_array_add(required, json_object_new_string(f->key));
	}
	if (json_object_array_length(required))
		json_object_object_add(o, "required", required);
	else
		json_object_put(required);
	*ret_properties = properties;
	return o;
}

static struct json_object *list_schema(const char *name, const char *doc)
{
	struct json_object *o = json_object_new_object(), *item, *properties, *ignored;
	const char *groups[WV_GROUPS_MAX];
	size_t n = wv_field_groups(name, groups);

	item = group_schema(name, "", &properties);
	for (size_t i = 1; i < n; i++)
		json_object_object_add(properties, groups[i],
				       group_schema(name, groups[i], &ignored));
	add_text(o, "description", doc);
	add_types(o, "array", "null");
	json_object_object_add(o, "maxItems", json_object_new_int64(WV_LIST_ITEMS_MAX));
	json_object_object_add(o, "items", item);
	return o;
}

static void print_schema(FILE *f, struct json_object *root)
{
	fprintf(f, "%s\n",
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_SPACED |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

void wv_config_print_schema(FILE *f)
{
	struct json_object *properties, *section = NULL, *keys = NULL;
	struct json_object *root = object_schema(&properties);

	add_text(root, "$schema", "http://json-schema.org/draft-07/schema#");
	add_text(root, "title", "waveos-bpf configuration");
	add_types(root, "object", "null");
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];

		if (!json_object_object_get_ex(properties, s->section, NULL)) {
			section = object_schema(&keys);
			/* a section whose keys are all commented out */
			add_types(section, "object", "null");
			json_object_object_add(properties, s->section, section);
		}
		json_object_object_add(keys, s->key,
				       value_schema(s->type, s->min, s->max, 256, s->doc));
	}
	for (size_t i = 0; i < wv_lists_count; i++)
		json_object_object_add(properties, wv_lists[i].name,
				       list_schema(wv_lists[i].name, wv_lists[i].doc));
	print_schema(f, root);
}

static struct json_object *features_schema(void)
{
	static const char *const docs[WV_FEATURE_N] = {
#define X(id, key, def, doc) doc " (default " #def ")",
		WV_FEATURES(X)
#undef X
	};
	struct json_object *properties, *o = object_schema(&properties);

	add_types(o, "object", "null");
	add_text(o, "description", "Classes of action that the agent may take at all");
	for (int i = 0; i < WV_FEATURE_N; i++)
		json_object_object_add(properties, wv_feature_names[i],
				       value_schema(WV_BOOL, "", "", 0, docs[i]));
	return o;
}

void wv_policy_print_schema(FILE *f)
{
	struct json_object *properties, *root = object_schema(&properties), *o;

	add_text(root, "$schema", "http://json-schema.org/draft-07/schema#");
	add_text(root, "title", "waveos-bpf policy");
	json_object_object_add(root, "required",
			       json_tokener_parse("[\"schema_version\", \"name\"]"));
	o = json_object_new_object();
	json_object_object_add(o, "const", json_object_new_int64(WV_POLICY_SCHEMA_VERSION));
	json_object_object_add(properties, "schema_version", o);
	o = value_schema(WV_STRING, "", "", WV_POLICY_NAME, "Name of the policy");
	add_text(o, "pattern", "^[a-z0-9-]+$");
	json_object_object_add(properties, "name", o);
	json_object_object_add(properties, "description",
			       value_schema(WV_STRING, "", "", 256, "What it is for"));
	json_object_object_add(properties, "features", features_schema());
	for (size_t i = 0; i < wv_policy_lists_count; i++)
		json_object_object_add(
			properties, wv_policy_lists[i].name,
			list_schema(wv_policy_lists[i].rows, wv_policy_lists[i].doc));
	print_schema(f, root);
}
