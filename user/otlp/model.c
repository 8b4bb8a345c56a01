// SPDX-License-Identifier: GPL-2.0-only
#include "user/otlp/model.h"

#include <errno.h>
#include <stdio.h>

#include "user/core/cleanup.h"

#define SCOPE "waveos-bpf"
#define KIND_INTERNAL 1
/* a value in values in values ... deeper than this goes as JSON text */
#define VALUE_DEPTH 8
/* SpanFlags: sampled, and known not to have a remote parent */
#define SPAN_FLAGS 0x101
#define LOG_FLAGS 0x01

int wv_otlp_record_parse(struct wv_otlp_record *ret, uint64_t seq, const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *o;

	if (!tokener)
		return -ENOMEM;
	o = json_tokener_parse_ex(tokener, line, (int)len + 1); /* with its NUL: the end */
	json_tokener_free(tokener);
	*ret = (struct wv_otlp_record){.seq = seq, .o = o};
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return -EBADMSG;
	}
	ret->type = wv_otlp_text(ret, "type");
	ret->boot_id = wv_otlp_text(ret, "boot_id");
	ret->run_id = wv_otlp_text(ret, "run_id");
	ret->mono_ns = wv_otlp_number(ret, "mono_ns");
	ret->wall_ns = wv_otlp_number(ret, "wall_ns");
	if (!*ret->type) {
		json_object_put(o);
		return -EBADMSG;
	}
	return 0;
}

const char *wv_otlp_text(const struct wv_otlp_record *r, const char *member)
{
	struct json_object *v;

	if (!json_object_object_get_ex(r->o, member, &v) ||
	    !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

uint64_t wv_otlp_number(const struct wv_otlp_record *r, const char *member)
{
	struct json_object *v;

	return json_object_object_get_ex(r->o, member, &v) ? json_object_get_uint64(v) : 0;
}

bool wv_otlp_flag(const struct wv_otlp_record *r, const char *member)
{
	struct json_object *v;

	return json_object_object_get_ex(r->o, member, &v) && json_object_get_boolean(v);
}

uint64_t wv_otlp_when(const struct wv_otlp_record *r)
{
	uint64_t at = wv_otlp_number(r, "event_mono_ns");
	uint64_t ago = at && at < r->mono_ns ? r->mono_ns - at : 0;

	return r->wall_ns > ago ? r->wall_ns - ago : r->wall_ns;
}

/* Values -------------------------------------------------------------------------------------- */

static void write_value(struct wv_otlp_writer *w, enum wv_otlp_field f, struct json_object *v,
			unsigned depth);

static void text_value(struct wv_otlp_writer *w, const char *s, size_t len)
{
	wv_otlp_string(w, WV_OTLP_STRING, s, len);
}

/* json-c keeps what is over INT64_MAX as another kind of integer, and tells only so. */
static void integer(struct wv_otlp_writer *w, struct json_object *v)
{
	uint64_t u = json_object_get_uint64(v);
	char text[24];

	if (u > INT64_MAX && json_object_get_int64(v) == INT64_MAX)
		text_value(w, text,
			   (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)u));
	else
		wv_otlp_int64(w, WV_OTLP_INT, json_object_get_int64(v));
}

static void write_keys(struct wv_otlp_writer *w, enum wv_otlp_field f, struct json_object *o,
		       unsigned depth)
{
	json_object_object_foreach(o, key, value)
	{
		wv_otlp_begin(w, f);
		wv_otlp_string(w, WV_OTLP_KEY, key, strlen(key));
		write_value(w, WV_OTLP_VALUE, value, depth);
		wv_otlp_end(w);
	}
}

static void write_list(struct wv_otlp_writer *w, struct json_object *v, unsigned depth)
{
	size_t n = json_object_array_length(v);

	wv_otlp_begin(w, WV_OTLP_ARRAY);
	for (size_t i = 0; i < n; i++)
		write_value(w, WV_OTLP_VALUES, json_object_array_get_idx(v, i), depth);
	wv_otlp_end(w);
}

/* f: a field that is an AnyValue; null is one without a value. */
static void write_value(struct wv_otlp_writer *w, enum wv_otlp_field f, struct json_object *v,
			unsigned depth)
{
	enum json_type type = json_object_get_type(v);
	const char *s;

	wv_otlp_begin(w, f);
	if (depth >= VALUE_DEPTH && (type == json_type_object || type == json_type_array)) {
		s = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
		text_value(w, s, strlen(s));
	} else if (type == json_type_string) {
		text_value(w, json_object_get_string(v), (size_t)json_object_get_string_len(v));
	} else if (type == json_type_boolean) {
		wv_otlp_bool(w, WV_OTLP_BOOL, json_object_get_boolean(v));
	} else if (type == json_type_int) {
		integer(w, v);
	} else if (type == json_type_double) {
		wv_otlp_double(w, WV_OTLP_DOUBLE, json_object_get_double(v));
	} else if (type == json_type_array) {
		write_list(w, v, depth + 1);
	} else if (type == json_type_object) {
		wv_otlp_begin(w, WV_OTLP_KVLIST);
		write_keys(w, WV_OTLP_VALUES, v, depth + 1);
		wv_otlp_end(w);
	}
	wv_otlp_end(w);
}

void wv_otlp_write_attributes(struct wv_otlp_writer *w, enum wv_otlp_field f, struct json_object *o)
{
	if (o)
		write_keys(w, f, o, 0);
}

/* Requests ------------------------------------------------------------------------------------ */

void wv_otlp_request(struct wv_otlp_writer *w, enum wv_otlp_encoding encoding, struct wv_text *text,
		     const struct wv_otlp_resource *resource, bool logs)
{
	wv_otlp_start(w, encoding, text);
	wv_otlp_begin(w, logs ? WV_OTLP_REQUEST_RESOURCE_LOGS : WV_OTLP_REQUEST_RESOURCE_SPANS);
	wv_otlp_begin(w, WV_OTLP_OF_RESOURCE);
	wv_otlp_write_attributes(w, WV_OTLP_RESOURCE_ATTRIBUTES, resource->attributes);
	wv_otlp_end(w);
	wv_otlp_begin(w, logs ? WV_OTLP_OF_SCOPE_LOGS : WV_OTLP_OF_SCOPE_SPANS);
	wv_otlp_begin(w, WV_OTLP_OF_SCOPE);
	wv_otlp_string(w, WV_OTLP_SCOPE_NAME, SCOPE, strlen(SCOPE));
	wv_otlp_string(w, WV_OTLP_SCOPE_VERSION, WV_VERSION, strlen(WV_VERSION));
	wv_otlp_end(w);
}

void wv_otlp_request_end(struct wv_otlp_writer *w)
{
	wv_otlp_end(w);
	wv_otlp_end(w);
	wv_otlp_finish(w);
}

static void write_marks(struct wv_otlp_writer *w, const struct wv_otlp_span *s)
{
	for (unsigned i = 0; i < s->n_marks; i++) {
		const struct wv_otlp_mark *m = &s->marks[i];

		wv_otlp_begin(w, WV_OTLP_SPAN_EVENTS);
		wv_otlp_fixed64(w, WV_OTLP_EVENT_TIME, m->time_ns);
		wv_otlp_string(w, WV_OTLP_EVENT_NAME, m->name, strlen(m->name));
		wv_otlp_write_attributes(w, WV_OTLP_EVENT_ATTRIBUTES, m->attributes);
		wv_otlp_end(w);
	}
	if (s->marks_dropped)
		wv_otlp_uint(w, WV_OTLP_SPAN_DROPPED_EVENTS, s->marks_dropped);
}

static void write_links(struct wv_otlp_writer *w, const struct wv_otlp_span *s)
{
	for (unsigned i = 0; i < s->n_links; i++) {
		const struct wv_otlp_link *l = &s->links[i];

		wv_otlp_begin(w, WV_OTLP_SPAN_LINKS);
		wv_otlp_id(w, WV_OTLP_LINK_TRACE_ID, l->to.trace, WV_TRACE_ID_SIZE);
		wv_otlp_id(w, WV_OTLP_LINK_SPAN_ID, l->to.span, WV_SPAN_ID_SIZE);
		wv_otlp_begin(w, WV_OTLP_LINK_ATTRIBUTES);
		wv_otlp_string(w, WV_OTLP_KEY, "waveos.link", strlen("waveos.link"));
		wv_otlp_begin(w, WV_OTLP_VALUE);
		wv_otlp_string(w, WV_OTLP_STRING, l->why, strlen(l->why));
		wv_otlp_end(w);
		wv_otlp_end(w);
		wv_otlp_end(w);
	}
}

void wv_otlp_write_span(struct wv_otlp_writer *w, const struct wv_otlp_span *s)
{
	wv_otlp_begin(w, WV_OTLP_SCOPE_SPANS);
	wv_otlp_id(w, WV_OTLP_SPAN_TRACE_ID, s->trace, WV_TRACE_ID_SIZE);
	wv_otlp_id(w, WV_OTLP_SPAN_ID, s->id, WV_SPAN_ID_SIZE);
	if (s->is_child)
		wv_otlp_id(w, WV_OTLP_SPAN_PARENT, s->parent, WV_SPAN_ID_SIZE);
	wv_otlp_string(w, WV_OTLP_SPAN_NAME, s->name, strlen(s->name));
	wv_otlp_uint(w, WV_OTLP_SPAN_KIND, KIND_INTERNAL);
	wv_otlp_fixed64(w, WV_OTLP_SPAN_START, s->start_ns);
	wv_otlp_fixed64(w, WV_OTLP_SPAN_END, s->end_ns > s->start_ns ? s->end_ns : s->start_ns);
	wv_otlp_write_attributes(w, WV_OTLP_SPAN_ATTRIBUTES, s->attributes);
	write_marks(w, s);
	write_links(w, s);
	if (s->status != WV_OTLP_UNSET) {
		wv_otlp_begin(w, WV_OTLP_SPAN_STATUS);
		if (s->status == WV_OTLP_ERROR && s->message[0])
			wv_otlp_string(w, WV_OTLP_STATUS_MESSAGE, s->message, strlen(s->message));
		wv_otlp_uint(w, WV_OTLP_STATUS_CODE, s->status);
		wv_otlp_end(w);
	}
	wv_otlp_fixed32(w, WV_OTLP_SPAN_FLAGS, SPAN_FLAGS);
	wv_otlp_end(w);
}

/* Logs ---------------------------------------------------------------------------------------- */

/* Row: (type, member, value, severity); a member of NULL: any record of the type. The first that
 * fits counts. */
static const struct {
	const char *type, *member, *value;
	int severity;
} severities[] = {
	{"records-lost", NULL, NULL, WV_SEVERITY_ERROR},
	{"pack-failed", NULL, NULL, WV_SEVERITY_ERROR},
	{"witness-conflict", NULL, NULL, WV_SEVERITY_ERROR},
	{"witness-lost", NULL, NULL, WV_SEVERITY_WARN},
	{"bundle-outcome", "outcome", "failed", WV_SEVERITY_ERROR},
	{"update-refused", NULL, NULL, WV_SEVERITY_WARN},
	{"proxy-breaker", "to", "open", WV_SEVERITY_WARN},
	{"budget-overflow", NULL, NULL, WV_SEVERITY_WARN},
	{"limit-trip", NULL, NULL, WV_SEVERITY_WARN},
	{"breaker-trip", NULL, NULL, WV_SEVERITY_WARN},
	{"gate-deny", NULL, NULL, WV_SEVERITY_WARN},
	{"priority-corrected", NULL, NULL, WV_SEVERITY_WARN},
	{"alert", NULL, NULL, WV_SEVERITY_WARN},
	{"recovery", "event", "given-up", WV_SEVERITY_ERROR},
	{"recovery", "event", "crash-loop", WV_SEVERITY_WARN},
	{"recovery", "event", "refused", WV_SEVERITY_WARN},
	{"recovery", "event", "started", WV_SEVERITY_WARN},
	{"action-outcome", "outcome", "failed", WV_SEVERITY_ERROR},
	{"kill-switch", NULL, NULL, WV_SEVERITY_WARN},
	{"decision", "verdict", "open", WV_SEVERITY_WARN},
	{"fatal-signal", NULL, NULL, WV_SEVERITY_ERROR},
	{"alloc-failure", NULL, NULL, WV_SEVERITY_WARN},
	{"hw-error", NULL, NULL, WV_SEVERITY_ERROR},
	{"io-error", NULL, NULL, WV_SEVERITY_ERROR},
	{"task-hung", NULL, NULL, WV_SEVERITY_WARN},
	{"crash-loop", NULL, NULL, WV_SEVERITY_WARN},
	{"heartbeat-missed", NULL, NULL, WV_SEVERITY_WARN},
	{"accept-overflow", NULL, NULL, WV_SEVERITY_WARN},
	{"oom-kill", NULL, NULL, WV_SEVERITY_ERROR},
	{"config-drift", NULL, NULL, WV_SEVERITY_WARN},
};

int wv_otlp_severity(const struct wv_otlp_record *r)
{
	const char *said = wv_otlp_text(r, "severity");

	for (size_t i = 0; i < ARRAY_SIZE(severities); i++) {
		if (strcmp(r->type, severities[i].type) != 0)
			continue;
		if (severities[i].member &&
		    strcmp(wv_otlp_text(r, severities[i].member), severities[i].value) != 0)
			continue;
		/* the policy's word, where there is one */
		return strcmp(said, "critical") == 0 ? WV_SEVERITY_ERROR
		       : strcmp(said, "info") == 0   ? WV_SEVERITY_INFO
						     : severities[i].severity;
	}
	return WV_SEVERITY_INFO;
}

/* Members that have fields of their own, or that are the same in all records. */
static bool has_place(const char *member)
{
	static const char *const placed[] = {"type", "wall_ns", "schema_version"};

	for (size_t i = 0; i < ARRAY_SIZE(placed); i++)
		if (strcmp(member, placed[i]) == 0)
			return true;
	return false;
}

/* Names of the semantic conventions, where those have one for just this. */
static const char *conventional(const char *member)
{
	static const char *const names[][2] = {
		{"pid", "process.pid"},	 {"ppid", "process.parent_pid"},
		{"tid", "thread.id"},	 {"namespace", "k8s.namespace.name"},
		{"pod", "k8s.pod.name"}, {"container", "k8s.container.name"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(member, names[i][0]) == 0)
			return names[i][1];
	return NULL;
}

static void write_members(struct wv_otlp_writer *w, struct json_object *o)
{
	json_object_object_foreach(o, member, value)
	{
		const char *known = conventional(member);
		char own[128];

		if (has_place(member))
			continue;
		snprintf(own, sizeof(own), "waveos.%s", member);
		wv_otlp_begin(w, WV_OTLP_LOG_ATTRIBUTES);
		wv_otlp_string(w, WV_OTLP_KEY, known ?: own, strlen(known ?: own));
		write_value(w, WV_OTLP_VALUE, value, 0);
		wv_otlp_end(w);
	}
}

/* One line for people: the type, and what is short and its own. */
static size_t summary(const struct wv_otlp_record *r, char *to, size_t size)
{
	static const char *const told[] = {"event", "verdict",	   "outcome", "act",	"chain",
					   "rule",  "breaker",	   "gate",    "what",	"deed",
					   "name",  "service",	   "from",    "to",	"cgroup",
					   "comm",  "signal_name", "reason",  "detail", "error"};
	int n = snprintf(to, size, "%s", r->type);

	for (size_t i = 0; i < ARRAY_SIZE(told) && n < (int)size; i++) {
		const char *text = wv_otlp_text(r, told[i]);

		if (*text)
			n += snprintf(to + n, size - (size_t)n, " %s=%s", told[i], text);
	}
	return n < (int)size ? (size_t)n : size - 1;
}

void wv_otlp_write_log(struct wv_otlp_writer *w, const struct wv_otlp_record *r,
		       const struct wv_trace_ids *where, uint64_t observed_ns)
{
	int severity = wv_otlp_severity(r);
	const char *word = severity == WV_SEVERITY_ERROR  ? "ERROR"
			   : severity == WV_SEVERITY_WARN ? "WARN"
							  : "INFO";
	char text[512];
	size_t len;

	wv_otlp_begin(w, WV_OTLP_SCOPE_LOG_RECORDS);
	wv_otlp_fixed64(w, WV_OTLP_LOG_TIME, wv_otlp_when(r));
	wv_otlp_fixed64(w, WV_OTLP_LOG_OBSERVED, observed_ns);
	wv_otlp_uint(w, WV_OTLP_LOG_SEVERITY, (uint32_t)severity);
	wv_otlp_string(w, WV_OTLP_LOG_SEVERITY_TEXT, word, strlen(word));
	len = summary(r, text, sizeof(text));
	wv_otlp_begin(w, WV_OTLP_LOG_BODY);
	text_value(w, text, len);
	wv_otlp_end(w);
	write_members(w, r->o);
	if (where) {
		wv_otlp_fixed32(w, WV_OTLP_LOG_FLAGS, LOG_FLAGS);
		wv_otlp_id(w, WV_OTLP_LOG_TRACE_ID, where->trace, WV_TRACE_ID_SIZE);
		wv_otlp_id(w, WV_OTLP_LOG_SPAN_ID, where->span, WV_SPAN_ID_SIZE);
	}
	len = (size_t)snprintf(text, sizeof(text), "waveos.%.200s", r->type);
	wv_otlp_string(w, WV_OTLP_LOG_EVENT_NAME, text, len);
	wv_otlp_end(w);
}
