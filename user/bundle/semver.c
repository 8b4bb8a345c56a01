// SPDX-License-Identifier: GPL-2.0-only
/* Semantic versions, and whether a device is one that a manifest is for. */
#include <errno.h>
#include <string.h>

#include "user/bundle/strict.h"

#define DIGITS "0123456789"
#define ALNUM DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"

/* Length of a number without leading zeros, 0 if there is none. */
static size_t number(const char *s)
{
	size_t n = strspn(s, DIGITS);

	return n > 1 && s[0] == '0' ? 0 : n;
}

/* Length of "a.b.c" of identifiers, 0 if one is empty; strict: numbers without leading zeros. */
static size_t identifiers(const char *s, bool strict)
{
	const char *p = s;

	for (;; p++) {
		size_t n = strspn(p, ALNUM);

		if (!n || (strict && strspn(p, DIGITS) == n && !number(p)))
			return 0;
		p += n;
		if (*p != '.')
			return (size_t)(p - s);
	}
}

bool wv_semver_is(const char *text)
{
	const char *p = text;

	for (int i = 0; i < 3; i++) {
		size_t n = number(p);

		if (!n || n > 9 || (i < 2 && p[n] != '.'))
			return false;
		p += n + (i < 2);
	}
	if (*p == '-') {
		size_t n = identifiers(p + 1, true);

		if (!n)
			return false;
		p += 1 + n;
	}
	if (*p == '+') {
		size_t n = identifiers(p + 1, false);

		if (!n)
			return false;
		p += 1 + n;
	}
	return *p == '\0';
}

/* Numbers without leading zeros: the longer one is the larger one. */
static int compare_numbers(const char *a, size_t na, const char *b, size_t nb)
{
	int c;

	if (na != nb)
		return na < nb ? -1 : 1;
	c = strncmp(a, b, na);
	return (c > 0) - (c < 0);
}

static int compare_identifiers(const char *a, size_t na, const char *b, size_t nb)
{
	bool numeric_a = strspn(a, DIGITS) >= na, numeric_b = strspn(b, DIGITS) >= nb;
	int c;

	if (numeric_a && numeric_b)
		return compare_numbers(a, na, b, nb);
	if (numeric_a != numeric_b)
		return numeric_a ? -1 : 1;
	c = strncmp(a, b, na < nb ? na : nb);
	return c ? (c > 0) - (c < 0) : (na > nb) - (na < nb);
}

int wv_semver_compare(const char *a, const char *b)
{
	for (int i = 0; i < 3; i++) {
		size_t na = strspn(a, DIGITS), nb = strspn(b, DIGITS);
		int c = compare_numbers(a, na, b, nb);

		if (c)
			return c;
		a += na + (i < 2);
		b += nb + (i < 2);
	}
	if (*a != '-' || *b != '-') /* a pre-release comes before its release */
		return (*a != '-') - (*b != '-');
	do {
		size_t na = strspn(++a, ALNUM), nb = strspn(++b, ALNUM);
		int c = compare_identifiers(a, na, b, nb);

		if (c)
			return c;
		a += na;
		b += nb;
	} while (*a == '.' && *b == '.');
	return (*a == '.') - (*b == '.');
}

static bool is_among(const char *word, char *const *words)
{
	for (; *words; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

static bool has_app(const char *app, const char *const *apps)
{
	for (; apps && *apps; apps++)
		if (strcmp(*apps, app) == 0)
			return true;
	return false;
}

int wv_manifest_fits(const struct wv_manifest *m, const struct wv_bundle_target *target,
		     struct wv_manifest_error *error)
{
	int r = 0;

	if (!is_among("*", m->devices) && !is_among(target->device, m->devices))
		r = wv_manifest_fail(error, "it is for other devices, this one is %s",
				     target->device);
	else if (!is_among(target->environment, m->environments))
		r = wv_manifest_fail(error, "it is not for environment %s", target->environment);
	else if (m->arch[0] && strcmp(m->arch, target->arch) != 0)
		r = wv_manifest_fail(error, "it is for %s, this machine is %s", m->arch,
				     target->arch);
	else if (m->min_waveos[0] && wv_semver_compare(target->waveos, m->min_waveos) < 0)
		r = wv_manifest_fail(error, "it needs waveos-bpf %s, this is %s", m->min_waveos,
				     target->waveos);
	else if (m->app[0] && !has_app(m->app, target->apps))
		r = wv_manifest_fail(error, "it is for application %s, which is not here", m->app);
	return r < 0 ? -EXDEV : 0;
}
