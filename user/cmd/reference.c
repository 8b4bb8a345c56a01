// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/core/cleanup.h"

#define MAX_USAGE 1024

struct reading {
	struct wv_abouts all;
	int error;
};

static void add(void *ctx, const struct wv_about *about)
{
	struct reading *r = ctx;
	struct wv_about *list = reallocarray(r->all.list, r->all.n + 1, sizeof(*list));

	if (!list) {
		r->error = -ENOMEM;
		return;
	}
	r->all.list = list;
	list[r->all.n] = *about;
	/* the two that may be made for the call */
	list[r->all.n].name = strdup(about->name);
	list[r->all.n].usage = about->usage ? strdup(about->usage) : NULL;
	if (!list[r->all.n].name || (about->usage && !list[r->all.n].usage))
		r->error = -ENOMEM;
	r->all.n++;
}

int wv_abouts_read(struct wv_abouts *ret)
{
	struct reading r = {0};

	wv_cli_walk(add, &r);
	if (r.error < 0)
		wv_abouts_done(&r.all);
	else
		*ret = r.all;
	return r.error;
}

void wv_abouts_done(struct wv_abouts *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free((char *)a->list[i].name);
		free((char *)a->list[i].usage);
	}
	free(a->list);
	*a = (struct wv_abouts){0};
}

bool wv_about_below(const struct wv_about *a, const char *verb)
{
	size_t len = strlen(verb);

	return strncmp(a->name, verb, len) == 0 && a->name[len] == ' ';
}

void wv_about_usage(const struct wv_about *a, void (*line)(void *ctx, const char *text), void *ctx)
{
	char text[MAX_USAGE], *save = NULL;

	if (!a->usage) {
		snprintf(text, sizeof(text), "waveos-bpf %s SUBVERB [options]", a->name);
		line(ctx, text);
		return;
	}
	snprintf(text, sizeof(text), "waveos-bpf %s", a->usage);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		line(ctx, l + strspn(l, " \t"));
}

/* Markdown ------------------------------------------------------------------------------------- */

static void usage_line(void *ctx, const char *text)
{
	fprintf(ctx, "%s\n", text);
}

static void print_cell(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			fputc('\\', f);
		fputc(*s, f);
	}
}

static void print_options(FILE *f, const struct wv_option *options)
{
	if (!options || !options->name)
		return;
	fputs("\n| option | meaning |\n| --- | --- |\n", f);
	for (const struct wv_option *o = options; o->name; o++) {
		fputs("| ", f);
		if (o->letter)
			fprintf(f, "`-%c`, ", o->letter);
		fprintf(f, "`--%s%s", o->name, o->argument ? " " : "");
		fputs(o->argument ?: "", f);
		fputs("` | ", f);
		print_cell(f, o->help);
		fputs(" |\n", f);
	}
}

static void print_examples(FILE *f, const char *examples)
{
	if (!examples || !examples[0])
		return;
	fputs("\nExamples:\n\n```sh\n", f);
	for (const char *at = examples; *at;) {
		const char *end = strchrnul(at, '\n');
		size_t skip = strspn(at, " ");

		if (at + skip < end)
			fprintf(f, "%.*s\n", (int)(end - at - (ptrdiff_t)skip), at + skip);
		at = *end ? end + 1 : end;
	}
	fputs("```\n", f);
}

static void print_about(FILE *f, const struct wv_abouts *all, const struct wv_about *a)
{
	bool sub = strchr(a->name, ' ') != NULL;

	fprintf(f, "\n%s %s\n\n", sub ? "###" : "##", a->name);
	print_cell(f, a->summary);
	fputs(".\n\n```\n", f);
	wv_about_usage(a, usage_line, f);
	fputs("```\n", f);
	for (size_t i = 0, first = 1; !a->usage && i < all->n; i++) {
		if (!wv_about_below(&all->list[i], a->name))
			continue;
		fputs(first ? "\n| subverb | |\n| --- | --- |\n" : "", f);
		first = 0;
		fprintf(f, "| `%s` | ", all->list[i].name + strlen(a->name) + 1);
		print_cell(f, all->list[i].summary);
		fputs(" |\n", f);
	}
	print_options(f, a->options);
	print_examples(f, a->examples);
}

static const char head[] =
	"# Command line\n\n"
	"Generated from the tables of verbs and options (`make docs`); do not edit. The same as "
	"man pages: `waveos-bpf(8)`,\n"
	"`waveos-bpf-VERB(8)`; settings are in [config.md](config.md) and `waveos.yaml(5)`.\n\n"
	"- Data goes to standard output, diagnostics to standard error.\n"
	"- An option overrides an environment variable `WAVEOS_SECTION_KEY`, that overrides the "
	"file, that the default.\n"
	"- `NO_COLOR`, `TERM=dumb` and a standard output or error that is no terminal are heard; "
	"nothing ever asks a question.\n"
	"- No option takes a secret: options name files.\n"
	"- [Exit codes](exit-codes.md) are the same for every verb: 0 ok, 1 finding, 2 usage, 3 "
	"unsupported here, 4 denied,\n"
	"  5 internal.\n"
	"- `source <(waveos-bpf completion bash)` completes verbs, options and settings.\n\n"
	"Every verb has:\n";

void wv_reference_print(FILE *f)
{
	struct wv_abouts all = {0};

	if (wv_abouts_read(&all) < 0)
		return;
	fputs(head, f);
	print_options(f, wv_common_options);
	fputs("\n| verb | |\n| --- | --- |\n", f);
	for (size_t i = 0; i < all.n; i++) {
		if (strchr(all.list[i].name, ' '))
			continue;
		fprintf(f, "| [%s](#%s) | ", all.list[i].name, all.list[i].name);
		print_cell(f, all.list[i].summary);
		fputs(" |\n", f);
	}
	for (size_t i = 0; i < all.n; i++)
		print_about(f, &all, &all.list[i]);
	wv_abouts_done(&all);
}

void wv_reference_print_verbs(FILE *f)
{
	struct wv_abouts all = {0};

	if (wv_abouts_read(&all) < 0)
		return;
	for (size_t i = 0; i < all.n; i++)
		fprintf(f, "%s\n", all.list[i].name);
	wv_abouts_done(&all);
}
