// SPDX-License-Identifier: GPL-2.0-only
#include "user/secret/reference.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME LETTERS DIGITS "_-"

/* A part of a reference: [from, from + len) if all its bytes are among these (NULL: any). */
static int part(const char *from, size_t len, const char *among, char *ret)
{
	if (!len || len >= WV_SECRET_REF_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)from[i] < ' ' || from[i] == 0x7f ||
		    (among && !strchr(among, from[i])))
			return -EINVAL;
	memcpy(ret, from, len);
	ret[len] = '\0';
	return 0;
}

/* "a/b": no empty, "." or ".." component */
static bool is_path(const char *s)
{
	for (;;) {
		size_t len = strcspn(s, "/");

		if (!len || (len <= 2 && strspn(s, ".") >= len))
			return false;
		if (!s[len])
			return true;
		s += len + 1;
	}
}

/* Cuts "#FIELD" off a text; what is left has *len bytes. */
static int cut_field(const char *s, size_t *len, struct wv_secret_ref *r)
{
	const char *hash = strchr(s, '#');

	*len = hash ? (size_t)(hash - s) : strlen(s);
	return hash ? part(hash + 1, strlen(hash + 1), NULL, r->field) : 0;
}

static int parse_env(const char *s, struct wv_secret_ref *r)
{
	if (strchr(DIGITS "-", *s))
		return -EINVAL;
	return part(s, strlen(s), LETTERS DIGITS "_", r->place);
}

static int parse_file(const char *s, struct wv_secret_ref *r)
{
	return s[0] == '/' && s[1] ? part(s, strlen(s), NULL, r->place) : -EINVAL;
}

static int parse_credential(const char *s, struct wv_secret_ref *r)
{
	if (strchr(s, '/') || !is_path(s))
		return -EINVAL;
	return part(s, strlen(s), NULL, r->place);
}

static int parse_vault(const char *s, struct wv_secret_ref *r)
{
	size_t len, mount = strcspn(s, "/#");
	int ret = cut_field(s, &len, r);

	if (ret < 0 || s[mount] != '/' || !r->field[0])
		return -EINVAL;
	ret = part(s, mount, NAME ".", r->place);
	if (ret == 0)
		ret = part(s + mount + 1, len - mount - 1, NULL, r->name);
	return ret == 0 && is_path(r->place) && is_path(r->name) ? 0 : -EINVAL;
}

static int parse_aws(const char *s, struct wv_secret_ref *r)
{
	size_t len, region = strcspn(s, "/#");
	int ret = cut_field(s, &len, r);

	if (ret < 0 || s[region] != '/')
		return -EINVAL;
	ret = part(s, region, LOWER DIGITS "-", r->place);
	return ret < 0 ? ret : part(s + region + 1, len - region - 1, NAME "/+=.@:", r->name);
}

static int parse_gcp(const char *s, struct wv_secret_ref *r)
{
	size_t len, project = strcspn(s, "/#"), name, rest;
	int ret = cut_field(s, &len, r);

	if (ret < 0 || s[project] != '/')
		return -EINVAL;
	ret = part(s, project, LOWER DIGITS "-:.", r->place);
	if (ret < 0 || !is_path(r->place))
		return -EINVAL;
	name = strcspn(s + project + 1, "/#");
	rest = project + 1 + name;
	ret = part(s + project + 1, name, NAME, r->name);
	if (ret == 0 && rest < len)
		return part(s + rest + 1, len - rest - 1, NAME, r->version);
	memcpy(r->version, "latest", sizeof("latest"));
	return ret;
}

static const struct {
	const char *scheme, *expected;
	int (*parse)(const char *s, struct wv_secret_ref *r);
} kinds[WV_SECRET_KIND_N] = {
	[WV_SECRET_ENV] = {"env:", "expected env:NAME", parse_env},
	[WV_SECRET_FILE] = {"file:", "expected file:/absolute/path", parse_file},
	[WV_SECRET_CREDENTIAL] = {"credential:", "expected credential:NAME", parse_credential},
	[WV_SECRET_VAULT] = {"vault:", "expected vault:MOUNT/PATH#FIELD", parse_vault},
	[WV_SECRET_AWS] = {"aws:", "expected aws:REGION/SECRET_ID, and maybe #FIELD", parse_aws},
	[WV_SECRET_GCP] = {"gcp:", "expected gcp:PROJECT/NAME, and maybe /VERSION and #FIELD",
			   parse_gcp},
};

int wv_secret_ref_parse(const char *text, struct wv_secret_ref *ret, const char **ret_expected)
{
	for (int i = 0; i < WV_SECRET_KIND_N; i++) {
		struct wv_secret_ref r = {.kind = (enum wv_secret_kind)i};
		size_t len = strlen(kinds[i].scheme);

		if (strncmp(text, kinds[i].scheme, len) != 0)
			continue;
		if (strlen(text) >= WV_SECRET_REF_SIZE || kinds[i].parse(text + len, &r) < 0) {
			*ret_expected = kinds[i].expected;
			return -EINVAL;
		}
		*ret = r;
		return 0;
	}
	*ret_expected = "expected where the secret is kept (env:NAME, file:/path, credential:NAME, "
			"vault:, aws:, gcp:), never the secret itself";
	return -EINVAL;
}
