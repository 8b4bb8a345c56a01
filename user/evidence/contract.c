// SPDX-License-Identifier: GPL-2.0-only
/* Schemas from the tables. Members that are not listed are allowed: fields are added under the same
 * schema_version. */
#include "user/evidence/contract.h"

#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/flow/sample.h"

const struct wv_record_type wv_record_types[] = {
#define WV_RECORD_TYPE(name, members, doc) {name, members, doc},
#include "waveos/events.def"
};
const size_t wv_record_types_count = ARRAY_SIZE(wv_record_types);

#define RUN 1
#define BARE 0
const struct wv_contract wv_contracts[] = {
#define WV_CONTRACT(id, versions, head, title, doc) {#id, versions, head, title, doc},
#include "waveos/contracts.def"
};
const size_t wv_contracts_count = ARRAY_SIZE(wv_contracts);

static const struct member {
	const char *contract, *path, *kind, *doc;
} members[] = {
#define WV_MEMBER(id, path, kind, doc) {#id, path, kind, doc},
#include "waveos/contracts.def"
};

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *new_schema(const char *id, const char *version, const char *title,
				      const char *doc)
{
	struct json_object *o = json_object_new_object();
	char urn[80];

	snprintf(urn, sizeof(urn), "urn:waveos:schema:%s:%s", id, version);
	add_text(o, "$schema", "https://json-schema.org/draft/2020-12/schema");
	add_text(o, "$id", urn);
	add_text(o, "title", title);
	add_text(o, "description", doc);
	return o;
}

/* The last of "1|2": what is written now. */
static const char *current(const char *versions)
{
	const char *bar = strrchr(versions, '|');

	return bar ? bar + 1 : versions;
}

static struct json_object *version_schema(const char *versions)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (const char *p = versions; *p; p += *p == '|') {
		char *end;

		json_object_array_add(list, json_object_new_int64(strtol(p, &end, 10)));
		p = end;
	}
	json_object_object_add(o, "enum", list);
	return o;
}

static const struct {
	char kind;
	const char *type, *pattern;
	int64_t minimum; /* -1: none */
} kinds[] = {
	{'s', "string", NULL, -1},
	{'u', "integer", NULL, 0},
	{'i', "integer", NULL, -1},
	{'n', "number", NULL, -1},
	{'b', "boolean", NULL, -1},
	{'a', "array", NULL, -1},
	{'S', "array", NULL, -1},
	{'D', "array", NULL, -1},
	{'o', "object", NULL, -1},
	{'h', "string", "^[0-9a-f]{64}$", -1},
	{'H', "string", "^([0-9a-f]{64})?$", -1},
	{'v', "string", "^[0-9]+\\.[0-9]+\\.[0-9]+([-+].*)?$", -1},
	{'p', "string", "^.+@[0-9a-f]{12}$", -1},
};

static struct json_object *decision_schema(void);

static struct json_object *kind_schema(const char *kind, const char *doc)
{
	struct json_object *o = json_object_new_object();

	if (doc)
		add_text(o, "description", doc);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct json_object *types;

		if (kinds[i].kind != kind[0])
			continue;
		types = json_object_new_string(kinds[i].type);
		if (strchr(kind, '0')) {
			struct json_object *both = json_object_new_array();

			json_object_array_add(both, types);
			json_object_array_add(both, json_object_new_string("null"));
			types = both;
		}
		json_object_object_add(o, "type", types);
		if (kinds[i].pattern)
			add_text(o, "pattern", kinds[i].pattern);
		if (kinds[i].minimum >= 0)
			json_object_object_add(o, "minimum",
					       json_object_new_int64(kinds[i].minimum));
	}
	if (kind[0] == 'S')
		json_object_object_add(o, "items", json_tokener_parse("{\"type\":\"string\"}"));
	if (kind[0] == 'D')
		json_object_object_add(o, "items", decision_schema());
	return o;
}

/* Member `key` of a schema's object or array of that name, made if need be. */
static struct json_object *get_or_add(struct json_object *o, const char *key, bool list)
{
	struct json_object *v;

	if (json_object_object_get_ex(o, key, &v))
		return v;
	v = list ? json_object_new_array() : json_object_new_object();
	json_object_object_add(o, key, v);
	return v;
}

static void add_member(struct json_object *object, const char *name, const char *kind,
		       const char *doc)
{
	json_object_object_add(get_or_add(object, "properties", false), name,
			       kind_schema(kind, doc));
	if (!strchr(kind, '?'))
		json_object_array_add(get_or_add(object, "required", true),
				      json_object_new_string(name));
}

/* Walks "a.b[].c" down the schema and adds the last part. */
static void add_path(struct json_object *root, const char *path, const char *kind, const char *doc)
{
	_cleanup_free_ char *copy = strdup(path);
	struct json_object *at = root;
	char *part = copy, *dot;

	while (part && (dot = strchr(part, '.'))) {
		bool list = dot - part > 2 && dot[-1] == ']';

		*dot = '\0';
		if (list)
			dot[-2] = '\0';
		at = get_or_add(get_or_add(at, "properties", false), part, false);
		if (list) {
			at = get_or_add(at, "items", false);
			add_text(at, "type", "object");
		}
		part = dot + 1;
	}
	if (part)
		add_member(at, part, kind, doc);
}

/* "cgroup:s held_back:s?" into an object's schema. */
static void add_members(struct json_object *object, const char *text)
{
	char name[64], kind[8];
	int n;

	for (; sscanf(text, " %63[^:]:%7s%n", name, kind, &n) == 2; text += n)
		add_member(object, name, kind, NULL);
}

static struct json_object *decision_schema(void)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "type", "object");
	for (size_t i = 0; i < wv_record_types_count; i++)
		if (strcmp(wv_record_types[i].name, "decision") == 0)
			add_members(o, wv_record_types[i].members);
	return o;
}

static void print(FILE *f, struct json_object *o)
{
	fprintf(f, "%s\n",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							  JSON_C_TO_STRING_SPACED |
							  JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static struct json_object *contract_schema(const struct wv_contract *c)
{
	static const char run_head[] =
		"waveos_version:v policy_version:p bundle_id:H run_id:s boot_id:s";
	struct json_object *o = new_schema(c->id, current(c->versions), c->title, c->doc);

	add_text(o, "type", "object");
	add_member(o, "schema_version", "u", NULL);
	json_object_object_add(get_or_add(o, "properties", false), "schema_version",
			       version_schema(c->versions));
	if (c->run)
		add_members(o, run_head);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (strcmp(members[i].contract, c->id) == 0)
			add_path(o, members[i].path, members[i].kind, members[i].doc);
	return o;
}

void wv_contract_print(FILE *f, const char *id)
{
	for (size_t i = 0; i < wv_contracts_count; i++)
		if (strcmp(wv_contracts[i].id, id) == 0)
			print(f, contract_schema(&wv_contracts[i]));
}

/* {"if": type is this, "then": its members} */
static struct json_object *type_rule(const struct wv_record_type *t)
{
	struct json_object *rule = json_object_new_object(), *condition = json_object_new_object();
	struct json_object *props = json_object_new_object(), *type = json_object_new_object();
	struct json_object *then = json_object_new_object();

	add_text(type, "const", t->name);
	json_object_object_add(props, "type", type);
	json_object_object_add(condition, "properties", props);
	add_text(then, "description", t->doc);
	add_members(then, t->members);
	json_object_object_add(rule, "if", condition);
	json_object_object_add(rule, "then", then);
	return rule;
}

void wv_contract_print_event(FILE *f)
{
	struct json_object *o = new_schema("event", current(WV_EVENT_VERSIONS),
					   "A record of the log", "One line of events.jsonl");
	struct json_object *rules = json_object_new_array();
	struct json_object *props;

	add_text(o, "type", "object");
	add_members(o, "schema_version:u seq:u boot_id:s run_id:s mono_ns:u wall_ns:u type:s");
	props = json_object_object_get(o, "properties");
	json_object_object_add(props, "schema_version", version_schema(WV_EVENT_VERSIONS));
	json_object_object_add(json_object_object_get(props, "seq"), "minimum",
			       json_object_new_int(1));
	for (size_t i = 0; i < wv_record_types_count; i++) {
		json_object_array_add(rules, type_rule(&wv_record_types[i]));
	}
	/* `evidence append` takes types of others: what they mean is theirs to say */
	add_text(json_object_object_get(props, "type"), "pattern", "^[a-z0-9-]{1,64}$");
	json_object_object_add(o, "allOf", rules);
	print(f, o);
}

static void add_field(struct json_object *list, const char *name, const char *type, const char *doc)
{
	struct json_object *o = json_object_new_object(), *c = json_object_new_object();

	add_text(o, "name", name);
	add_text(o, "type", type);
	if (*doc)
		add_text(o, "description", doc);
	json_object_object_add(c, "required", json_object_new_boolean(true));
	if (strcmp(type, "integer") == 0)
		json_object_object_add(c, "minimum", json_object_new_int(0));
	json_object_object_add(o, "constraints", c);
	json_object_array_add(list, o);
}

void wv_contract_print_metrics(FILE *f)
{
	static const char *const parts[] = {"count", "sum_ns", "p50_ns", "p99_ns"};
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	add_text(o, "$id", "urn:waveos:schema:metrics:1");
	add_text(o, "title", "metrics.csv");
	add_text(o, "description", "Table Schema of metrics.csv: RFC 4180, UTF-8, header first");
	add_field(list, "schema_version", "integer", "1");
	add_field(list, "seq", "integer",
		  "Number of the tick; rows with the same one are one sample");
	add_field(list, "mono_ns", "integer", "When it was taken, monotonic");
	add_field(list, "wall_ns", "integer", "... since 1970");
	add_field(list, "cgroup", "string", "Path below the root of its hierarchy, or `other`");
	add_field(list, "key", "integer", "Id of the cgroup, 0 for `other`");
	for (int i = 0; i < WV_SIG_N; i++)
		add_field(list, wv_signals[i].name, "integer", wv_signals[i].help);
	for (int i = 0; i < WV_HIST_N; i++)
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
			char name[96];

			snprintf(name, sizeof(name), "%s_%s", wv_hists[i].name, parts[k]);
			add_field(list, name, "integer", k ? "" : wv_hists[i].help);
		}
	json_object_object_add(o, "fields", list);
	print(f, o);
}

static const char *kind_word(const char *kind)
{
	static const struct {
		char kind;
		const char *word;
	} words[] = {{'u', "integer from 0"},
		     {'x', "any"},
		     {'S', "list of texts"},
		     {'h', "SHA-256"},
		     {'H', "SHA-256 or empty"},
		     {'a', "list"},
		     {'v', "version"},
		     {'p', "policy version"},
		     {'s', "text"},
		     {'i', "integer"},
		     {'n', "number"},
		     {'b', "boolean"},
		     {'o', "object"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].kind == kind[0])
			return words[i].word;
	return "";
}

void wv_contract_print_events_doc(FILE *f)
{
	fprintf(f, "# Types of records\n\nGenerated from `include/waveos/events.def`; do not edit. "
		   "Schema: docs/schemas/event.schema.json.\n\n"
		   "Every record also has `schema_version`, `seq`, `boot_id`, `run_id`, `mono_ns`, "
		   "`wall_ns` and `type` (docs/artifacts.md). `?`: not always there.\n");
	for (size_t i = 0; i < wv_record_types_count; i++) {
		const struct wv_record_type *t = &wv_record_types[i];
		const char *text = t->members;
		char name[64], kind[8];
		int n;

		fprintf(f, "\n## %s\n\n%s.\n\n| member | value |\n| --- | --- |\n", t->name,
			t->doc);
		for (; sscanf(text, " %63[^:]:%7s%n", name, kind, &n) == 2; text += n)
			fprintf(f, "| `%s`%s | %s |\n", name, strchr(kind, '?') ? " ?" : "",
				kind_word(kind));
	}
}
