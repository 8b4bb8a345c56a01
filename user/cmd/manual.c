// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/manual.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "user/cmd/reference.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

#define TITLE(name, section)                                                                       \
	".TH " name " " section " \"\" \"waveos-bpf " WV_VERSION "\" \"System Administration\"\n"

static const char head[] =
	TITLE("WAVEOS-BPF",
	      "8") ".SH NAME\n"
		   "waveos-bpf \\- keep a machine inside a declared safety envelope\n"
		   ".SH SYNOPSIS\n"
		   ".B waveos-bpf\n.I VERB\n.RI [ options ]\n"
		   ".SH DESCRIPTION\n"
		   "Observes every cgroup of the machine with eBPF programs, holds the budgets of "
		   "one YAML "
		   "file, and\n"
		   "leaves a record of what it saw and did. No flag and no file are needed.\n"
		   ".PP\n"
		   "Programs, maps and limits are pinned: when the agent is killed, limits stay in "
		   "force and "
		   "counters\n"
		   "count, and the next agent adopts them.\n";

static const char files[] =
	".SH FILES\n"
	".TP\n.I /etc/waveos/waveos.yaml\nConfiguration, optional; see\n.BR waveos.yaml (5).\n"
	".TP\n.I /var/lib/waveos/log/\nThe log of the device, which is the evidence.\n"
	".TP\n.I /var/lib/waveos/runs/RUN/\n"
	"run_meta.json, metrics.csv, events.jsonl and explainability.json of a run.\n"
	".TP\n.I /var/lib/waveos/enforce/\nJournal of what budgets changed, with the old values.\n"
	".TP\n.I /run/waveos/\nLock and published snapshot.\n"
	".TP\n.I /sys/fs/bpf/waveos/\nPinned programs, maps, links and limits.\n"
	".PP\nThe option\n.B \\-\\-root\nmoves all of them below a folder.\n";

static const char environment[] =
	".SH ENVIRONMENT\n"
	".TP\n.B WAVEOS_SECTION_KEY\nOverrides the setting section.key of the file; an option\n"
	".B \\-\\-set\noverrides both.\n"
	".TP\n.B NO_COLOR\nWhere it is set and not empty, nothing is coloured; nor with TERM=dumb "
	"or without a terminal.\n";

static const char statuses[] =
	".SH EXIT STATUS\n"
	".TP\n.B 0\nOk.\n"
	".TP\n.B 1\nFinding: what was asked for was found wanting, for example no agent runs.\n"
	".TP\n.B 2\nUsage: wrong arguments or configuration.\n"
	".TP\n.B 3\nUnsupported by this kernel or machine.\n"
	".TP\n.B 4\nDenied: a right is missing, another agent holds the lock, or a port is in "
	"use.\n"
	".TP\n.B 5\nInternal error.\n";

static const char tail[] =
	".SH SIGNALS\n"
	".TP\n.BR SIGTERM \", \" SIGINT\nOrderly exit; what it leaves is the setting "
	"agent.on_exit.\n"
	".TP\n.B SIGHUP\nThe policy is read again.\n"
	".TP\n.B SIGUSR2\nOrderly exit that removes everything, as detach asks for.\n";

static const char examples[] =
	".SH EXAMPLES\n"
	".EX\nwaveos\\-bpf attach\nwaveos\\-bpf attach \\-\\-for 30s \\-\\-set agent.tick=250ms\n"
	"waveos\\-bpf top \\-\\-sort mem\nwaveos\\-bpf report latest \\-\\-html report.html\n"
	"waveos\\-bpf detach\n.EE\n";

static void print_see_also(FILE *f, const struct wv_abouts *all)
{
	fputs(".SH SEE ALSO\n", f);
	for (size_t i = 0; i < all->n; i++)
		if (!strchr(all->list[i].name, ' '))
			fprintf(f, ".BR waveos\\-bpf\\-%s (8),\n", all->list[i].name);
	fputs(".BR waveos.yaml (5),\n.BR bpftool (8),\n.BR cgroups (7)\n", f);
}

void wv_manual_print(FILE *f)
{
	struct wv_abouts all = {0};

	if (wv_abouts_read(&all) < 0)
		return;
	fputs(head, f);
	fputs(".SH VERBS\n", f);
	for (unsigned i = 0; i < wv_verbs_count; i++) {
		fprintf(f, ".TP\n.BR waveos\\-bpf\\-%s (8)\n", wv_verbs[i].name);
		wv_config_roff(f, wv_verbs[i].summary);
		fputs(".\n", f);
	}
	fputs(".PP\nEach verb has\n.BR \\-\\-help ,\n.B \\-\\-json\nand\n.BR \\-\\-root .\n", f);
	fputs(files, f);
	fputs(environment, f);
	fputs(tail, f);
	fputs(statuses, f);
	fputs(examples, f);
	print_see_also(f, &all);
	wv_abouts_done(&all);
}

/* One verb ------------------------------------------------------------------------------------- */

static void usage_line(void *ctx, const char *text)
{
	FILE *f = ctx;

	fputs(".br\n", f);
	wv_config_roff(f, text);
	fputc('\n', f);
}

static void print_options(FILE *f, const struct wv_option *options)
{
	for (const struct wv_option *o = options; o && o->name; o++) {
		fputs(".TP\n", f);
		if (o->letter)
			fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", f);
		wv_config_roff(f, o->name);
		fputs("\\fR", f);
		if (o->argument) {
			fputs(" \\fI", f);
			wv_config_roff(f, o->argument);
			fputs("\\fR", f);
		}
		fputc('\n', f);
		wv_config_roff(f, o->help);
		fputs(".\n", f);
	}
}

static void print_examples(FILE *f, const char *text, const char *title)
{
	if (!text || !text[0])
		return;
	fprintf(f, "%s\n.EX\n", title);
	for (const char *at = text; *at;) {
		const char *end = strchrnul(at, '\n');
		char line[512];
		size_t skip = strspn(at, " ");

		snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
		wv_config_roff(f, line + (skip < strlen(line) ? skip : 0));
		fputc('\n', f);
		at = *end ? end + 1 : end;
	}
	fputs(".EE\n", f);
}

/* Sentence case for a summary, which begins in lower case. */
static void print_summary(FILE *f, const char *summary)
{
	char first[2] = {(char)toupper((unsigned char)summary[0]), '\0'};

	wv_config_roff(f, first);
	wv_config_roff(f, summary + 1);
	fputs(".\n", f);
}

static void print_subverbs(FILE *f, const struct wv_abouts *all, const char *verb)
{
	fputs(".SH SUBVERBS\n", f);
	for (size_t i = 0; i < all->n; i++) {
		const struct wv_about *a = &all->list[i];

		/* a verb of verbs in it shows by what is in that */
		if (!wv_about_below(a, verb) || !a->usage)
			continue;
		fputs(".SS ", f);
		wv_config_roff(f, a->name + strlen(verb) + 1);
		fputc('\n', f);
		print_summary(f, a->summary);
		fputs(".PP\n", f);
		wv_about_usage(a, usage_line, f);
		print_options(f, a->options);
		print_examples(f, a->examples, ".PP\nExamples:\n.PP");
	}
}

int wv_manual_print_verb(FILE *f, const char *verb)
{
	const struct wv_about *a = NULL;
	struct wv_abouts all = {0};
	int r = wv_abouts_read(&all);

	if (r < 0)
		return r;
	for (size_t i = 0; i < all.n && !a; i++)
		if (strcmp(all.list[i].name, verb) == 0 && !strchr(verb, ' '))
			a = &all.list[i];
	if (!a) {
		wv_abouts_done(&all);
		return -ENOENT;
	}
	fputs(".TH WAVEOS-BPF-", f);
	for (const char *p = verb; *p; p++)
		fputc(toupper((unsigned char)*p), f);
	fprintf(f, " 8 \"\" \"waveos-bpf %s\" \"System Administration\"\n", WV_VERSION);
	fprintf(f, ".SH NAME\nwaveos\\-bpf\\-%s \\- ", verb);
	wv_config_roff(f, a->summary);
	fputs("\n.SH SYNOPSIS\n", f);
	wv_about_usage(a, usage_line, f);
	fputs(".SH DESCRIPTION\n", f);
	print_summary(f, a->summary);
	if (!a->usage)
		print_subverbs(f, &all, verb);
	fputs(".SH OPTIONS\n", f);
	print_options(f, a->options);
	print_options(f, wv_common_options);
	print_examples(f, a->examples, ".SH EXAMPLES");
	fputs(environment, f);
	fputs(statuses, f);
	fputs(".SH SEE ALSO\n.BR waveos\\-bpf (8),\n.BR waveos.yaml (5)\n", f);
	wv_abouts_done(&all);
	return 0;
}

/* waveos.yaml ---------------------------------------------------------------------------------- */

static const char config_head[] = TITLE(
	"WAVEOS.YAML",
	"5") ".SH NAME\n"
	     "waveos.yaml \\- settings of waveos-bpf\n"
	     ".SH SYNOPSIS\n.I /etc/waveos/waveos.yaml\n"
	     ".SH DESCRIPTION\n"
	     "A YAML document of sections with keys, and of lists. It is optional, and so is each "
	     "key.\n"
	     "An unknown key, a value out of its range and a key that stands twice are errors, "
	     "told "
	     "with line and column.\n"
	     ".PP\n"
	     "An environment variable WAVEOS_SECTION_KEY overrides a key, and\n"
	     ".B attach \\-\\-set section.key=value\noverrides both.\n"
	     ".B waveos\\-bpf config show \\-\\-origin\ntells where each value comes from, and\n"
	     ".B waveos\\-bpf config validate\nwhether a file is right.\n"
	     ".SH SETTINGS\n";

void wv_manual_print_config(FILE *f)
{
	fputs(config_head, f);
	wv_config_print_man(f);
	fputs(".SH EXAMPLES\n.EX\nagent:\n  tick: 500ms\nmetrics:\n  listen: 127.0.0.1:9850\n.EE\n",
	      f);
	fputs(".SH SEE ALSO\n.BR waveos\\-bpf (8),\n.BR waveos\\-bpf\\-config (8)\n", f);
}
