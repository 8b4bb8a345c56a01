// SPDX-License-Identifier: GPL-2.0-only
/* Texts about the configuration for people, all from the rows of config.def and lists.def. */
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"
#include "user/core/fields.h"
#include "user/policy/policy.h"

/* "duration, 100ms to 1m", "auto, keep or detach" */
static void value_text(enum wv_setting_type type, const char *min, const char *max, char *buf,
		       size_t size)
{
	char list[128];
	const char *words[16];
	size_t n, len = 0;

	if (type != WV_CHOICE) {
		snprintf(buf, size, "%s%s%s%s%s%s", wv_value_name(type), *min ? ", " : "", min,
			 *max ? " to " : "", max,
			 wv_value_takes_share(type) ? ", or `% of parent`" : "");
		return;
	}
	n = wv_choices(min, list, sizeof(list), words, ARRAY_SIZE(words));
	buf[0] = '\0';
	for (size_t i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s",
					i == 0	     ? ""
					: i + 1 == n ? " or "
						     : ", ",
					words[i]);
}

static bool starts_section(size_t i)
{
	return i == 0 ||
	       strcmp(wv_settings_table[i].section, wv_settings_table[i - 1].section) != 0;
}

void wv_config_print_help(FILE *f)
{
	fprintf(f,
		"Settings: --set SECTION.KEY=VALUE, or WAVEOS_SECTION_KEY in the environment, or "
		"the configuration file\n");
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		char name[64], values[160];

		snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
		value_text(s->type, s->min, s->max, values, sizeof(values));
		fprintf(f, "  %-26s %s\n  %-26s (%s; default %s)\n", name, s->doc, "", values,
			*s->def ? s->def : "empty");
	}
	for (size_t i = 0; i < wv_lists_count; i++)
		fprintf(f, "  %-26s %s; in the configuration file only\n", wv_lists[i].name,
			wv_lists[i].doc);
}

/* Sections stay uncommented, so that a reader uncomments just the line that he changes. */
static void sample_settings(FILE *f)
{
	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];
		char values[160];

		if (starts_section(i))
			fprintf(f, "\n%s:\n", s->section);
		value_text(s->type, s->min, s->max, values, sizeof(values));
		fprintf(f, "  # %s (%s)\n", s->doc, values);
		/* quotes: an address has a colon, an empty value would be null */
		fprintf(f,
			s->type == WV_STRING || s->type == WV_SECRET ? "  #%s: \"%s\"\n"
								     : "  #%s: %s\n",
			s->key, s->def);
	}
}

static void sample_list(FILE *f, const struct wv_list_info *list)
{
	const char *groups[WV_GROUPS_MAX];
	size_t n = wv_field_groups(list->name, groups);
	bool first = true;

	fprintf(f, "\n# %s\n#%s:\n", list->doc, list->name);
	for (size_t g = 0; g < n; g++) {
		if (*groups[g])
			fprintf(f, "#    %s:\n", groups[g]);
		for (size_t i = 0; i < wv_fields_count; i++) {
			const struct wv_field *s = &wv_fields[i];
			char line[160];

			if (!wv_field_is_of(s, list->name) || strcmp(s->group, groups[g]) != 0)
				continue;
			snprintf(line, sizeof(line), "%s: %s", s->key, s->example);
			fprintf(f, "#%s%-36s # %s%s\n",
				*groups[g] ? "      "
				: first	   ? "  - "
					   : "    ",
				line, s->doc, wv_field_is_required(s) ? " (required)" : "");
			first = false;
		}
	}
}

void wv_config_print_sample(FILE *f)
{
	fprintf(f,
		"# Configuration of waveos-bpf. Every line that is commented out shows the default "
		"or an example.\n"
		"# A setting can also be given as --set SECTION.KEY=VALUE or as "
		"WAVEOS_SECTION_KEY in the environment.\n");
	sample_settings(f);
	for (size_t i = 0; i < wv_lists_count; i++)
		sample_list(f, &wv_lists[i]);
}

void wv_config_roff(FILE *f, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", f);
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", f);
		else if (*s == '-')
			fputs("\\-", f);
		else if (*s != '`')
			fputc(*s, f);
	}
}

static void man_row(FILE *f, const char *group, const char *key, const char *values,
		    const char *def, const char *doc)
{
	fputs(".TP\n.B ", f);
	if (*group) {
		wv_config_roff(f, group);
		fputc('.', f);
	}
	wv_config_roff(f, key);
	fputs("\n", f);
	wv_config_roff(f, doc);
	fputs(".\n(", f);
	wv_config_roff(f, values);
	if (strcmp(def, "!") == 0) {
		fputs("; required", f);
	} else if (*def) {
		fputs("; default ", f);
		wv_config_roff(f, def);
	}
	fputs(")\n", f);
}

void wv_config_print_man(FILE *f)
{
	char values[160];

	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];

		if (starts_section(i))
			fprintf(f, ".SS %s\n", s->section);
		value_text(s->type, s->min, s->max, values, sizeof(values));
		man_row(f, "", s->key, values, s->def, s->doc);
	}
	for (size_t l = 0; l < wv_lists_count; l++) {
		fprintf(f, ".SS %s\n", wv_lists[l].name);
		wv_config_roff(f, wv_lists[l].doc);
		fputs(". A list; each item has these keys:\n", f);
		for (size_t i = 0; i < wv_fields_count; i++) {
			const struct wv_field *s = &wv_fields[i];

			if (!wv_field_is_of(s, wv_lists[l].name))
				continue;
			value_text(s->type, s->min, s->max, values, sizeof(values));
			man_row(f, s->group, s->key, values, s->def, s->doc);
		}
	}
}

static void markdown_head(FILE *f)
{
	fputs("| key | value | default | meaning |\n| --- | --- | --- | --- |\n", f);
}

static void markdown_row(FILE *f, const char *group, const char *key, const char *values,
			 const char *def, const char *doc)
{
	bool required = strcmp(def, "!") == 0;

	fprintf(f, "| `%s%s%s` | %s | %s%s%s | %s |\n", group, *group ? "." : "", key, values,
		required || !*def ? "" : "`", required ? "required" : def,
		required || !*def ? "" : "`", doc);
}

void wv_config_print_list_markdown(FILE *f, const char *list)
{
	char values[160];

	markdown_head(f);
	for (size_t i = 0; i < wv_fields_count; i++) {
		const struct wv_field *s = &wv_fields[i];

		if (!wv_field_is_of(s, list))
			continue;
		value_text(s->type, s->min, s->max, values, sizeof(values));
		markdown_row(f, s->group, s->key, values, s->def, s->doc);
	}
}

/* clang-format off */
static const char config_intro[] =
	"<!-- Written by `make docs`. -->\n"
	"# Configuration\n"
	"\n"
	"`waveos-bpf` needs no configuration. What is set comes, in this order of precedence,\n"
	"from\n"
	"\n"
	"1. `--set SECTION.KEY=VALUE` on the command line,\n"
	"2. `WAVEOS_SECTION_KEY` in the environment (`WAVEOS_AGENT_TICK=250ms`),\n"
	"3. the file `/etc/waveos/waveos.yaml`, or the one given with `--config`,\n"
	"4. the defaults below.\n"
	"\n"
	"The file is YAML (UTF-8, one document, 1 MiB at most, 16 levels deep at most); anchors\n"
	"and aliases are fine, merge keys (`<<`) are not known. An unknown key, a key given\n"
	"twice, a value of the wrong type or out of its range, or text that is no YAML is an\n"
	"error with file, line and column; then nothing of the file is applied and the agent\n"
	"does not start (exit code 2). Lists (`budgets`, `spools`, ...) can be given in the file\n"
	"only. A file says a list as a whole.\n"
	"\n"
	"An environment variable whose first word is a section but whose rest is no key of it\n"
	"is an error, too. The variables that Kubernetes adds for a service\n"
	"(`WAVEOS_METRICS_SERVICE_HOST`, `..._PORT...`) are left alone.\n"
	"\n"
	"How values are written:\n"
	"\n"
	"| value | written as |\n"
	"| --- | --- |\n"
	"| number | digits, without sign and leading zeros |\n"
	"| duration | `250ms`, `1.5s`, `5m`, `1h`, `1d`; also `us`, `ns`. A unit is needed |\n"
	"| size | bytes, or with `K`, `M`, `G`, `T` (powers of 1024; `KiB` is the same as `K`, `KB` is refused) |\n"
	"| bit rate | `500kbit`, `10mbit`, `2.5gbit` (powers of 1000), a second |\n"
	"| share of a CPU | `50%` of one CPU, `200%`, `2cpu` |\n"
	"| share of the parent | `25% of parent`: of what the cgroup's parent may use at most |\n"
	"| true, false | also `yes`, `no`, `on`, `off` |\n"
	"| cgroup path | below the root of its hierarchy: `/system.slice/cron.service`; `/` is the root |\n"
	"| device | `/dev/vda`, or `\"8:0\"` (in quotes: some YAML readers take it for a number) |\n"
	"\n"
	"A JSON schema (draft 7) of the file exists for editors and checks; it knows what the\n"
	"agent accepts except for ranges of durations and sizes and for rules between keys\n"
	"(such as `memory.high` at most `memory.max`).\n"
	"\n";
/* clang-format on */

void wv_config_print_markdown(FILE *f)
{
	char values[160];

	fputs(config_intro, f);

	for (size_t i = 0; i < wv_settings_count; i++) {
		const struct wv_setting *s = &wv_settings_table[i];

		if (starts_section(i)) {
			fprintf(f, "%s## %s\n\n", i ? "\n" : "", s->section);
			markdown_head(f);
		}
		value_text(s->type, s->min, s->max, values, sizeof(values));
		markdown_row(f, "", s->key, values, s->def, s->doc);
	}
	for (size_t i = 0; i < wv_lists_count; i++) {
		fprintf(f, "\n## %s\n\n%s. A list; each item has these keys:\n\n", wv_lists[i].name,
			wv_lists[i].doc);
		wv_config_print_list_markdown(f, wv_lists[i].name);
	}
}

void wv_policy_print_markdown(FILE *f)
{
	static const struct {
		const char *key, *def, *doc;
	} features[] = {
#define X(id, key, def, doc) {#key, #def, doc},
		WV_FEATURES(X)
#undef X
	};

	fputs("<!-- Written by `make docs`. -->\n# Keys of a policy\n\n"
	      "What they mean together is in [policy.md](policy.md); how values are written, in "
	      "[config.md](config.md).\n`schema_version` (1) and `name` are required, "
	      "`description` is free text.\n\n## features\n\n"
	      "Classes of action that the agent may take at all.\n\n",
	      f);
	markdown_head(f);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		markdown_row(f, "", features[i].key, "true, false", features[i].def,
			     features[i].doc);
	for (size_t i = 0; i < wv_policy_lists_count; i++) {
		fprintf(f, "\n## %s\n\n%s. A list; each item has these keys:\n\n",
			wv_policy_lists[i].name, wv_policy_lists[i].doc);
		wv_config_print_list_markdown(f, wv_policy_lists[i].rows);
	}
}
