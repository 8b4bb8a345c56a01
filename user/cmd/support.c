// SPDX-License-Identifier: GPL-2.0-only
#include "user/cmd/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/cmd/cmd.h"
#include "user/cmd/status_view.h"
#include "user/core/cleanup.h"
#include "user/core/config.h"

static const char readme[] =
	"Support bundle of waveos-bpf.\n\n"
	"manifest.json lists what is in it, what is not and why, and how often something was\n"
	"redacted, by class: secrets and credentials are masked, names of hosts and persons,\n"
	"addresses and home folders are hashed (equal ones stay equal), arguments and environment "
	"of\n"
	"programs are left out. Names of cgroups and programs, settings and figures are as they "
	"are:\n"
	"look at it before you send it.\n";

void wv_support_missing(struct wv_support *s, const char *name, const char *why)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "part", name);
	wv_json_str(o, "why", why);
	json_object_array_add(s->missing, o);
}

static int write_part(struct wv_support *s, const char *name, const char *text, size_t len)
{
	struct json_object *o = json_object_new_object();

	wv_json_str(o, "name", name);
	wv_json_u64(o, "bytes", len);
	json_object_array_add(s->parts, o);
	return wv_tar_write(s->tar, name, text, len);
}

/* The document with its texts redacted, as JSON in *ret. 0: it is no JSON. */
static int redact_json(struct wv_support *s, const char *text, int flags, char **ret)
{
	struct json_object *o = json_tokener_parse(text);
	int r = 0;

	if (!o || (!json_object_is_type(o, json_type_object) &&
		   !json_object_is_type(o, json_type_array))) {
		json_object_put(o);
		return 0;
	}
	r = wv_redact_json(&s->redactor, o);
	if (r >= 0)
		r = asprintf(ret, "%s\n", json_object_to_json_string_ext(o, flags)) < 0 ? -ENOMEM
											: 1;
	json_object_put(o);
	return r;
}

/* One line: a record by its members, anything else as text. */
static int redact_line(struct wv_support *s, const char *line, FILE *out)
{
	_cleanup_free_ char *clean = NULL;
	int r = line[0] == '{'
			? redact_json(s, line,
				      JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
				      &clean)
			: 0;

	if (r == 1)
		return fputs(clean, out) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = wv_redact_text(&s->redactor, NULL, line, &clean);
	if (r < 0)
		return r;
	return fprintf(out, "%s\n", r ? clean : line) < 0 ? -ENOMEM : 0;
}

int wv_support_add(struct wv_support *s, const char *name, const char *text, size_t len)
{
	_cleanup_free_ char *copy = strndup(text, len);
	_cleanup_free_ char *clean = NULL;
	char *save = NULL;
	size_t size = 0;
	FILE *out;
	int r;

	if (!copy)
		return -ENOMEM;
	/* lines of records look like a document that goes on after its end */
	r = strstr(name, ".jsonl")
		    ? 0
		    : redact_json(s, copy, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE,
				  &clean);
	if (r < 0)
		return r;
	if (r == 1)
		return write_part(s, name, clean, strlen(clean));
	out = open_memstream(&clean, &size);
	if (!out)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &save); line && r >= 0;
	     line = strtok_r(NULL, "\n", &save))
		r = redact_line(s, line, out);
	if (fclose(out) != 0)
		return -ENOMEM;
	return r < 0 ? r : write_part(s, name, clean, size);
}

static struct json_object *manifest(const struct wv_support *s)
{
	struct json_object *o = json_object_new_object(), *redacted = json_object_new_object();

	json_object_object_add(o, "schema_version", json_object_new_int(1));
	wv_json_str(o, "waveos_version", WV_VERSION);
	wv_json_u64(o, "wall_ns", wv_view_wall_ns());
	json_object_object_add(o, "parts", json_object_get(s->parts));
	json_object_object_add(o, "missing", json_object_get(s->missing));
	for (int i = 0; i < WV_CLASS_N; i++)
		wv_json_u64(redacted, wv_class_names[i], s->redactor.found[i]);
	json_object_object_add(o, "redacted", redacted);
	return o;
}

static int fill(struct wv_support *s, int fd, struct json_object **ret_manifest)
{
	const char *text;
	int r = wv_tar_write_open(&s->tar, &wv_io_system, fd), end;

	if (r < 0)
		return r;
	r = write_part(s, "README.txt", readme, strlen(readme));
	if (r == 0)
		r = wv_support_add_parts(s);
	if (r == 0) {
		*ret_manifest = manifest(s);
		text = json_object_to_json_string_ext(
			*ret_manifest, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
		r = wv_tar_write(s->tar, "manifest.json", text, strlen(text));
	}
	end = wv_tar_write_close(s->tar);
	return r < 0 ? r : end;
}

static void print_text(const struct wv_support *s, const char *file, uint64_t bytes)
{
	char word[WV_WORD];
	bool any = false;

	printf("%s: %s, mode 0600\n", file, wv_word_bytes(word, (double)bytes));
	for (size_t i = 0; i < json_object_array_length(s->parts); i++) {
		struct json_object *o = json_object_array_get_idx(s->parts, i);

		printf("  %-28s %s\n", json_object_get_string(json_object_object_get(o, "name")),
		       wv_word_bytes(word,
				     json_object_get_double(json_object_object_get(o, "bytes"))));
	}
	for (size_t i = 0; i < json_object_array_length(s->missing); i++) {
		struct json_object *o = json_object_array_get_idx(s->missing, i);

		printf("  %-28s not in it: %s\n",
		       json_object_get_string(json_object_object_get(o, "part")),
		       json_object_get_string(json_object_object_get(o, "why")));
	}
	printf("Redacted:");
	for (int i = 0; i < WV_CLASS_N; i++)
		if (s->redactor.found[i]) {
			printf("%s %llu %s", any ? "," : "",
			       (unsigned long long)s->redactor.found[i], wv_class_names[i]);
			any = true;
		}
	printf("%s. Look at it before you send it: tar --zstd -xf %s\n", any ? "" : " nothing",
	       file);
}

static int failed(const char *file, int error)
{
	if (error == -EEXIST)
		fprintf(stderr, "waveos-bpf doctor: %s exists already: choose another name\n",
			file);
	else if (error == -ENOPKG)
		fprintf(stderr, "waveos-bpf doctor: libarchive is not installed (apt-get install "
				"libarchive13)\n");
	else
		fprintf(stderr, "waveos-bpf doctor: cannot write %s: %s\n", file, strerror(-error));
	return error == -EEXIST			     ? WV_EXIT_USAGE
	       : error == -ENOPKG		     ? WV_EXIT_UNSUPPORTED
	       : error == -EACCES || error == -EPERM ? WV_EXIT_DENIED
						     : WV_EXIT_INTERNAL;
}

int wv_support_make(const struct wv_paths *paths, const char *file, bool json)
{
	_cleanup_(wv_config_done) struct wv_config config = {.n_budgets = 0};
	_cleanup_close_ int fd = -1;
	struct wv_config_error error = {.text = ""};
	struct wv_support s = {.paths = paths};
	struct json_object *list = NULL;
	struct stat st = {0};
	int r;

	if (wv_config_init(&config) < 0)
		return WV_EXIT_INTERNAL;
	/* only what it says of redaction; a broken file is what the bundle may be made for */
	(void)wv_config_load(&config, paths->config, &error);
	r = wv_redactor_init(&s.redactor, &wv_io_system, &config, WV_PROFILE_EXTERNAL);
	if (r < 0)
		return failed(file, r);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(file, -errno);
	s.parts = json_object_new_array();
	s.missing = json_object_new_array();
	r = fill(&s, fd, &list);
	if (r == 0 && (fsync(fd) < 0 || fstat(fd, &st) < 0))
		r = -errno;
	if (r < 0)
		(void)unlink(file);
	else if (json)
		wv_json_print(list);
	else
		print_text(&s, file, (uint64_t)st.st_size);
	json_object_put(list);
	json_object_put(s.parts);
	json_object_put(s.missing);
	return r < 0 ? failed(file, r) : WV_EXIT_OK;
}
