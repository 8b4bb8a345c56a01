// SPDX-License-Identifier: GPL-2.0-only
#include "user/rules/modes.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/core/paths.h"

#define TEXT_MAX 8192

/* "no-recs" as "NO_RECS" */
static void put_flag_name(FILE *f, const char *flag)
{
	for (; *flag; flag++)
		fputc(*flag == '-' ? '_' : toupper((unsigned char)*flag), f);
}

size_t wv_modes_text(const struct wv_policy *policy, uint32_t domain, uint32_t mode, char *buf,
		     size_t size)
{
	const struct wv_mode *m = &policy->modes[mode];
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return 0;
	fprintf(f, "WAVEOS_DOMAIN=%s\nWAVEOS_MODE=%s\nWAVEOS_FLAGS=\"",
		policy->domains[domain].name, m->name);
	for (size_t i = 0; i < m->flags.n; i++)
		fprintf(f, "%s%s", i ? " " : "", m->flags.list[i]);
	fprintf(f, "\"\n");
	for (size_t i = 0; i < m->flags.n; i++) {
		fputs("WAVEOS_FLAG_", f);
		put_flag_name(f, m->flags.list[i]);
		fputs("=1\n", f);
	}
	if (fclose(f) != 0)
		return 0;
	snprintf(buf, size, "%s", text);
	return len;
}

static int open_folder(const struct wv_io *io, const char *runtime)
{
	char path[WV_PATH_SIZE + sizeof(WV_MODES_DIR) + 1];
	int r;

	snprintf(path, sizeof(path), "%s/" WV_MODES_DIR, runtime);
	r = wv_io_mkdirs(io, path, 0755);
	return r < 0 ? r : io->open(io->ctx, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int wv_modes_write(const struct wv_io *io, const char *runtime, const struct wv_policy *policy,
		   uint32_t domain, uint32_t mode)
{
	char text[TEXT_MAX], name[WV_POLICY_NAME + 8];
	size_t len = wv_modes_text(policy, domain, mode, text, sizeof(text));
	int dir, r;

	if (!len || len >= sizeof(text))
		return len ? -EFBIG : -ENOMEM;
	dir = open_folder(io, runtime);
	if (dir < 0)
		return dir;
	snprintf(name, sizeof(name), "%s.env", policy->domains[domain].name);
	r = wv_io_replace(io, dir, name, text, len, 0644);
	(void)io->close(io->ctx, dir);
	return r;
}

void wv_modes_tidy(const struct wv_io *io, const char *runtime, const struct wv_policy *policy)
{
	int dir = open_folder(io, runtime);
	_cleanup_closedir_ DIR *d = dir >= 0 ? fdopendir(dir) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		const char *end = strstr(e->d_name, ".env");
		bool known = !end || end[4];

		for (size_t i = 0; !known && i < policy->n_domains; i++) {
			const char *name = policy->domains[i].name;

			known = strlen(name) == (size_t)(end - e->d_name) &&
				strncmp(name, e->d_name, strlen(name)) == 0;
		}
		if (!known)
			(void)io->unlink(io->ctx, dir, e->d_name);
	}
}
