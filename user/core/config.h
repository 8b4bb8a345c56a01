/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Configuration: typed settings from include/waveos/config.def and lists of budgets, heartbeats and
 * proxies. Precedence: --set > environment WAVEOS_<SECTION>_<KEY> > file > default.
 */
#ifndef WV_CORE_CONFIG_H
#define WV_CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <yaml.h>

#include "user/core/arena.h"

struct wv_budget;	/* user/flow/budget.h */
struct wv_heartbeat;	/* user/flow/heartbeat.h */
struct wv_spool_config; /* user/spool/config.h */
struct wv_spool_input_config;
struct wv_spool_output_config;
struct wv_proxy;	     /* user/flow/proxy.h */
struct wv_role_rule;	     /* user/access/rules.h */
struct wv_alert_sink_config; /* user/alert/config.h */
struct wv_alert_route_config;

enum wv_setting_type {
	WV_BOOL,
	WV_UINT,
	WV_DURATION, /* ns */
	WV_BYTES,
	WV_POW2, /* BYTES, a power of two */
	WV_STRING,
	WV_CHOICE,
	WV_SECRET, /* a reference: user/secret/reference.h; or "" */
	/* only in lists.def */
	WV_DURATION_US, /* written as a DURATION, stored in us */
	WV_CPUS,	/* 50%, 2cpu: millionths of one CPU */
	WV_BITRATE,	/* 10mbit: bits a second, units of 1000 */
	WV_LEVEL,	/* threshold in the unit of a signal; parsed with the signal */
	WV_SIGNAL_NAME,
	WV_CGROUP,  /* absolute cgroup path */
	WV_PATTERN, /* fnmatch(3) pattern of one */
	WV_PATH,    /* absolute path of a file */
	WV_DEVICE,  /* major:minor or /dev/x */
	WV_STRINGS, /* a list of texts, or one: struct wv_strings, in the document's arena */
	WV_INT,	    /* int64_t, may be negative */
	WV_PERCENT, /* 25%: permille */
	/* the same or a share of what the parent has, "25% of parent": user/core/share.h */
	WV_CPUS_SHARE,
	WV_BYTES_SHARE,
	WV_UINT_SHARE,
};

#define WV_CTYPE_BOOL bool
#define WV_CTYPE_UINT uint64_t
#define WV_CTYPE_DURATION uint64_t
#define WV_CTYPE_BYTES uint64_t
#define WV_CTYPE_POW2 uint64_t
#define WV_CTYPE_STRING char
#define WV_CTYPE_SECRET char
#define WV_DIM_BOOL
#define WV_DIM_UINT
#define WV_DIM_DURATION
#define WV_DIM_BYTES
#define WV_DIM_POW2
#define WV_DIM_STRING [256]
#define WV_DIM_SECRET [256]
#define WV_CTYPE_CHOICE int
#define WV_DIM_CHOICE

/* Members are named <section>_<key>: config.agent_tick is agent.tick. */
struct wv_config {
#define WV_SETTING(section, key, type, def, min, max, doc)                                         \
	WV_CTYPE_##type section##_##key WV_DIM_##type;
#include "waveos/config.def"
	struct wv_budget *budgets;
	size_t n_budgets;
	struct wv_heartbeat *heartbeats;
	size_t n_heartbeats;
	struct wv_proxy *proxies;
	size_t n_proxies;
	struct wv_arena proxy_texts; /* what the proxies point to */
	struct wv_spool_config *spools;
	struct wv_spool_input_config *spool_inputs;
	struct wv_spool_output_config *spool_outputs;
	size_t n_spools, n_spool_inputs, n_spool_outputs;
	struct wv_role_rule *roles;
	size_t n_roles;
	struct wv_alert_sink_config *alerts;
	struct wv_alert_route_config *alert_routes;
	size_t n_alerts, n_alert_routes;
	char source[256]; /* file that was read, "" if none */
	char digest[65];  /* hex SHA-256 of its bytes, "" if none */
};

struct wv_setting {
	const char *section, *key;
	enum wv_setting_type type;
	const char *def, *min, *max, *doc;
	size_t offset;
};
extern const struct wv_setting wv_settings_table[];
extern const size_t wv_settings_count;

/* A message for the user about one place of a file: "file:line:column: text". */
struct wv_config_error {
	char text[512];
};

/* All defaults, no lists. Release with wv_config_done(). */
int wv_config_init(struct wv_config *c);
/*
 * Reads a file over the defaults. Returns 0, -ENOENT if it does not exist, -EINVAL with *ret_error
 * filled for anything that is wrong in it (then c is unchanged), or another -errno.
 */
int wv_config_load(struct wv_config *c, const char *path, struct wv_config_error *ret_error);
/* Bytes of a file (a pipe will do), at most 1 MiB and one byte more, which tells that it is too
 * large. *ret_text is malloc'ed. 0 or -errno. */
int wv_config_read(const char *path, char **ret_text, size_t *ret_len);
/* Same from memory; name stands for the file in messages. */
int wv_config_load_memory(struct wv_config *c, const char *name, const char *text, size_t len,
			  struct wv_config_error *ret_error);
/* Sets one "section.key" to a value as written in the file. */
int wv_config_set(struct wv_config *c, const char *name, const char *value,
		  struct wv_config_error *ret_error);
/* Applies WAVEOS_* of the environment. */
int wv_config_environment(struct wv_config *c, struct wv_config_error *ret_error);
void wv_config_done(struct wv_config *c);

/* Generated texts, all from the table. */
void wv_config_print_help(FILE *f);
void wv_config_print_sample(FILE *f);
void wv_config_print_schema(FILE *f);
void wv_config_print_man(FILE *f);
/* A text in roff: no line may start as a request, no dash may become a hyphen. */
void wv_config_roff(FILE *f, const char *s);
void wv_config_print_markdown(FILE *f);
/* Only the table of one list's keys. */
void wv_config_print_list_markdown(FILE *f, const char *list);

/* What `config.def` lists are: the parser fills its part of c, whose list is empty when it is
 * called. */
struct wv_yaml;
struct wv_list_info {
	const char *name, *doc;
	int (*parse)(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node);
};
extern const struct wv_list_info wv_lists[];
extern const size_t wv_lists_count;
#define WV_SETTING(...)
#define WV_LIST(name, function, doc)                                                               \
	int function(struct wv_config *c, const struct wv_yaml *y, yaml_node_t *node);
#include "waveos/config.def"

/* For list parsers: where a node stands, and typed scalars with a good message. */
struct wv_yaml {
	const char *name; /* of the file */
	yaml_document_t *doc;
	struct wv_config_error *error;
	struct wv_arena *arena; /* for lists of texts; NULL where there are none */
};
/*
 * Loads the only document of text. 0, -ENODATA if there is none, -EINVAL with y->error filled.
 * Release with yaml_document_delete() on 0 only.
 */
int wv_yaml_load(struct wv_yaml *y, yaml_document_t *doc, const char *text, size_t len);
/* Fills the error with "name:line:column: ..." and returns -EINVAL. */
int wv_yaml_error(const struct wv_yaml *y, const yaml_node_t *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Formats an error without a place; bytes that a terminal or JSON would choke on become '?'. */
int wv_config_fail(struct wv_config_error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Text goes to terminals and into JSON: control characters and what is no UTF-8 become '?', byte
 * for byte. */
void wv_make_printable(char *text);
/* The scalar's text, or NULL if the node is no scalar or has a NUL in it. Valid while the document
 * lives. */
const char *wv_yaml_scalar(const yaml_node_t *node);
/* Nothing was written, or ~ or null. */
bool wv_yaml_is_null(const yaml_node_t *node);
/* "a list", "a mapping", "nothing", "text" */
const char *wv_yaml_kind(const yaml_node_t *node);
/* Value of a key of a mapping, or NULL. */
yaml_node_t *wv_yaml_get(const struct wv_yaml *y, const yaml_node_t *map, const char *key);
/*
 * -EINVAL if the node is no mapping, has a key that is not among these (NULL-terminated; with a
 * suggestion), or has a key twice. where completes the sentence: "section 'agent'".
 */
int wv_yaml_check_keys(const struct wv_yaml *y, const yaml_node_t *map, const char *where,
		       const char *const keys[]);

/* A list of budgets; in a policy they may name a domain. *ret is malloc'ed, NULL if there are none.
 */
int wv_budgets_parse_list(const struct wv_yaml *y, const yaml_node_t *node, bool policy,
			  struct wv_budget **ret, size_t *ret_n);

/* Value parsers; each returns 0 or -EINVAL/-ERANGE and leaves the output untouched then. */
int wv_parse_uint(const char *s, uint64_t *ret);
int wv_parse_duration(const char *s, uint64_t *ret_ns);
int wv_parse_duration_us(const char *s, uint64_t *ret_us);
int wv_parse_bytes(const char *s, uint64_t *ret_bytes);
int wv_parse_bool(const char *s, bool *ret);
int wv_parse_cpus(const char *s, uint64_t *ret_ppm);
int wv_parse_bitrate(const char *s, uint64_t *ret_bps);
int wv_parse_percent(const char *s, uint64_t *ret_permille);
/* The nearest of the candidates (NULL-terminated) within a small edit distance, or NULL. */
const char *wv_suggest(const char *word, const char *const candidates[]);

#define WV_EXPECTED_SIZE 192
/*
 * Parses a number of a type (BOOL 0 or 1, CHOICE the index) within [min, max], both written as in
 * the file. On -EINVAL expected says what a right value looks like: "expected a duration from 1s to
 * 1h, ...".
 */
int wv_value_parse(enum wv_setting_type type, const char *min, const char *max, const char *example,
		   const char *text, uint64_t *ret, char expected[WV_EXPECTED_SIZE]);
/* The same for text of at most size - 1 bytes: STRING, SECRET, CGROUP, PATTERN, PATH, DEVICE. */
int wv_text_parse(enum wv_setting_type type, const char *text, char *ret, size_t size,
		  char expected[WV_EXPECTED_SIZE]);
/* The tail of a message that shows a wrong value, "; got '...'"; what may be a secret is not shown.
 */
const char *wv_value_got(enum wv_setting_type type, const char *text, char buf[WV_EXPECTED_SIZE]);
/* Splits "a|b|c"; words points into buf. Returns the number, at most max - 1; words is
 * NULL-terminated. */
size_t wv_choices(const char *list, char *buf, size_t size, const char **words, size_t max);
/* Regular expression (JSON schema) of how a type is written, or NULL. */
const char *wv_value_pattern(enum wv_setting_type type);
/* Whether a share of the parent may stand there instead. */
bool wv_value_takes_share(enum wv_setting_type type);
/* What a reader of help and tables is told that the type is. */
const char *wv_value_name(enum wv_setting_type type);

#endif
