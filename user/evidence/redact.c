// SPDX-License-Identifier: GPL-2.0-only
/*
 * A text goes through in two steps: private keys, which span lines, then token after token. What a
 * finder takes out is not looked at by the next one.
 */
#include "user/evidence/redact.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <unistd.h>

#include "user/core/cleanup.h"
#include "user/core/config.h"

const char *const wv_class_names[WV_CLASS_N] = {
#define WV_DATA_CLASS(id, name, ...) [WV_CLASS_##id] = #name,
#include "waveos/redact.def"
};
const char *const wv_profile_names[WV_PROFILE_N] = {"internal", "external"};

static const enum wv_redact_action profiles[WV_CLASS_N][WV_PROFILE_N] = {
#define WV_DATA_CLASS(id, name, internal, external, doc)                                           \
	[WV_CLASS_##id] = {WV_REDACT_##internal, WV_REDACT_##external},
#include "waveos/redact.def"
};

void wv_redactor_records(struct wv_redactor *r)
{
	*r = (struct wv_redactor){0};
	for (int i = 0; i < WV_CLASS_SECRETS; i++)
		r->action[i] = WV_REDACT_MASK;
}

/* redact.<class>: auto (the profile's), keep, mask, hash, remove */
static int set_by_config(const struct wv_config *c, enum wv_data_class class)
{
	switch (class) {
	case WV_CLASS_PERSONAL:
		return c->redact_personal;
	case WV_CLASS_HOST:
		return c->redact_host;
	case WV_CLASS_ADDRESS:
		return c->redact_address;
	case WV_CLASS_PATH:
		return c->redact_path;
	case WV_CLASS_ARGV:
		return c->redact_argv;
	case WV_CLASS_ENVIRONMENT:
		return c->redact_environment;
	default:
		return 0; /* secrets cannot be let through */
	}
}

int wv_redactor_init(struct wv_redactor *r, const struct wv_io *io, const struct wv_config *config,
		     enum wv_redact_profile profile)
{
	wv_redactor_records(r);
	for (int i = WV_CLASS_SECRETS; i < WV_CLASS_N; i++) {
		int own = config ? set_by_config(config, (enum wv_data_class)i) : 0;

		r->action[i] = own ? (enum wv_redact_action)(own - 1) : profiles[i][profile];
	}
	if (r->action[WV_CLASS_HOST] && gethostname(r->host, sizeof(r->host) - 1) < 0)
		r->host[0] = '\0';
	return io->random(io->ctx, r->key, sizeof(r->key));
}

/* Writes what stands for a text of this class. */
static void put_instead(struct wv_redactor *r, FILE *f, enum wv_data_class class, const char *text,
			size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	r->found[class]++;
	switch (r->action[class]) {
	case WV_REDACT_HASH:
		if (HMAC(EVP_sha256(), r->key, sizeof(r->key), (const unsigned char *)text, len,
			 digest, &n)) {
			fprintf(f, "[%s:%02x%02x%02x%02x%02x%02x]", wv_class_names[class],
				digest[0], digest[1], digest[2], digest[3], digest[4], digest[5]);
			break;
		}
		/* fall through */
	case WV_REDACT_MASK:
		fprintf(f, "[%s]", wv_class_names[class]);
		break;
	case WV_REDACT_REMOVE:
	case WV_REDACT_KEEP:
		break;
	}
}

static const struct {
	enum wv_data_class class;
	size_t (*find)(const char *token, size_t len, size_t *ret_at);
} finders[] = {
	{WV_CLASS_CREDENTIAL, wv_find_userinfo}, {WV_CLASS_SECRET, wv_find_secret},
	{WV_CLASS_PERSONAL, wv_find_email},	 {WV_CLASS_ADDRESS, wv_find_address},
	{WV_CLASS_PATH, wv_find_home},
};

static void put_token(struct wv_redactor *r, FILE *f, const char *token, size_t len, size_t finder)
{
	size_t at, n;

	for (; len && finder < ARRAY_SIZE(finders); finder++) {
		if (!r->action[finders[finder].class])
			continue;
		n = finders[finder].find(token, len, &at);
		if (!n)
			continue;
		put_token(r, f, token, at, finder + 1);
		put_instead(r, f, finders[finder].class, token + at, n);
		put_token(r, f, token + at + n, len - at - n, finder);
		return;
	}
	if (r->host[0] && len == strlen(r->host) && memcmp(token, r->host, len) == 0)
		put_instead(r, f, WV_CLASS_HOST, token, len);
	else
		fwrite(token, 1, len, f);
}

static bool is_separator(char c)
{
	return isspace((unsigned char)c) || strchr("\"'`,;(){}<>|&[]", c);
}

/* "Bearer", "Basic": the next word is the credential (RFC 6750, RFC 7617). */
static bool is_scheme(const char *p, size_t n)
{
	static const char *const words[] = {"bearer", "basic"};

	n -= n && p[n - 1] == ':';
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (n == strlen(words[i]) && strncasecmp(p, words[i], n) == 0)
			return true;
	return false;
}

/* Position after "name=" or "name:" if the name is that of a credential, else 0. The next word is
 * its value (*ret_next) after "name:", "--name", and where an = stands apart (assigned). */
static size_t after_name(const char *p, size_t n, bool assigned, bool *ret_next)
{
	size_t at = 0;

	*ret_next = false;
	/* what follows the first = or : that ends a name; not :// */
	while (at < n && (isalnum((unsigned char)p[at]) || strchr("_-.", p[at])))
		at++;
	if (at == n) {
		*ret_next = (assigned || p[0] == '-') && wv_names_credential(p, n);
		return 0;
	}
	if ((p[at] != '=' && p[at] != ':') || (n - at > 2 && memcmp(p + at, "://", 3) == 0) ||
	    !wv_names_credential(p, at))
		return 0;
	if (at + 1 == n) {
		*ret_next = true;
		return 0;
	}
	return at + 1;
}

/* The query of a URL and the like: name=value in the middle of a token. */
static void put_pairs(struct wv_redactor *r, FILE *f, const char *p, size_t n)
{
	const char *mark = memchr(p, '?', n),
		   *equals = mark ? memchr(mark, '=', n - (size_t)(mark - p)) : NULL;

	if (equals && wv_names_credential(mark + 1, (size_t)(equals - mark - 1))) {
		put_token(r, f, p, (size_t)(equals + 1 - p), 0);
		put_instead(r, f, WV_CLASS_CREDENTIAL, equals + 1, n - (size_t)(equals + 1 - p));
	} else {
		put_token(r, f, p, n, 0);
	}
}

/* " = ..." follows */
static bool is_assigned(const char *p, size_t n)
{
	size_t at = 0;

	while (at < n && (p[at] == ' ' || p[at] == '\t'))
		at++;
	return at && at < n && p[at] == '=';
}

static void put_tokens(struct wv_redactor *r, FILE *f, const char *text, size_t len)
{
	bool masked = false; /* the next word is a credential */

	for (size_t i = 0; i < len;) {
		size_t n = 0, value;
		bool next;

		if (is_separator(text[i])) {
			/* a value does not come on another line */
			masked = masked && text[i] != '\n';
			fputc(text[i++], f);
			continue;
		}
		while (i + n < len && !is_separator(text[i + n]))
			n++;
		value = after_name(text + i, n, is_assigned(text + i + n, len - i - n), &next);
		if (is_scheme(text + i, n)) {
			fwrite(text + i, 1, n, f);
			next = true;
		} else if (masked && n == 1 && strchr("=:", text[i])) {
			fputc(text[i], f); /* name = value */
			next = true;
		} else if (masked) {
			put_instead(r, f, WV_CLASS_CREDENTIAL, text + i, n);
		} else if (value) {
			fwrite(text + i, 1, value, f);
			if (is_scheme(text + i + value, n - value)) {
				fwrite(text + i + value, 1, n - value, f);
				next = true;
			} else {
				put_instead(r, f, WV_CLASS_CREDENTIAL, text + i + value, n - value);
			}
		} else {
			put_pairs(r, f, text + i, n);
		}
		masked = next;
		i += n;
	}
}

/*
 * RFC 7468: from "-----BEGIN ... KEY-----" to its end. A private key that is cut off goes to the
 * end of the text; a public one or a certificate must be whole to be one.
 */
static size_t find_pem(const char *text, size_t len, size_t *ret_at, bool *ret_private)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ", dashes[] = "-----";
	const char *stop = text + len;

	for (const char *p = text; (p = memmem(p, (size_t)(stop - p), begin, strlen(begin))); p++) {
		const char *rest = p + strlen(begin), *label, *q;

		label = memmem(rest, (size_t)(stop - rest), dashes, strlen(dashes));
		*ret_private = !label || memmem(rest, (size_t)(label - rest), "PRIVATE KEY", 11);
		q = memmem(rest, (size_t)(stop - rest), end, strlen(end));
		q = q ? memmem(q + strlen(end), (size_t)(stop - q) - strlen(end), dashes,
			       strlen(dashes))
		      : NULL;
		if (!q && !*ret_private)
			continue;
		*ret_at = (size_t)(p - text);
		return (size_t)((q ? q + strlen(dashes) : stop) - p);
	}
	return 0;
}

/* Members that are signatures and the like: random by nature, and made to be shown. */
static bool is_public(const char *name)
{
	static const char *const names[] = {"checkpoint", "old_checkpoint", "signature",
					    "quote",	  "cosignature",    "vkey"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* No finder of secrets and credentials takes any of this: most texts of records, at a tenth of the
 * cost. */
static bool is_plain(const char *text)
{
	size_t run = 0;

	for (const char *p = text; *p; p++) {
		bool starts = p == text || is_separator(p[-1]);

		if (strchr("=:@", *p) || (*p == '-' && starts))
			return false;
		if (starts && (strncasecmp(p, "bearer", 6) == 0 || strncasecmp(p, "basic", 5) == 0))
			return false;
		run = isalnum((unsigned char)*p) || *p == '_' || *p == '-' || *p == '+' ? run + 1
											: 0;
		/* the shortest shape of a token has 15 characters */
		if (run >= 14)
			return false;
	}
	return true;
}

static bool secrets_only(const struct wv_redactor *r)
{
	for (int i = WV_CLASS_SECRETS; i < WV_CLASS_N; i++)
		if (r->action[i])
			return false;
	return true;
}

int wv_redact_text(struct wv_redactor *r, const char *name, const char *text, char **ret)
{
	_cleanup_free_ char *out = NULL;
	int class = name ? wv_class_by_name(name) : -1;
	size_t len = strlen(text), out_len, at, n;
	bool private;
	FILE *f;

	if (secrets_only(r) && is_plain(text) && !(name && wv_names_credential(name, strlen(name))))
		return 0;
	f = open_memstream(&out, &out_len);
	if (!f)
		return -ENOMEM;
	if (name && len && wv_names_credential(name, strlen(name))) {
		put_instead(r, f, WV_CLASS_CREDENTIAL, text, len);
	} else if (class >= 0 && r->action[class] && len) {
		put_instead(r, f, (enum wv_data_class) class, text, len);
	} else {
		const char *p = text;

		while (len && (n = find_pem(p, len, &at, &private))) {
			put_tokens(r, f, p, at);
			if (private)
				put_instead(r, f, WV_CLASS_SECRET, p + at, n);
			else
				fwrite(p + at, 1, n, f);
			p += at + n;
			len -= at + n;
		}
		if (name && is_public(name))
			fwrite(p, 1, len, f);
		else
			put_tokens(r, f, p, len);
	}
	if (fclose(f) != 0)
		return -ENOMEM;
	if (strcmp(out, text) == 0)
		return 0;
	*ret = TAKE_PTR(out);
	return 1;
}

static int redact_value(struct wv_redactor *r, const char *name, struct json_object *v, bool masked,
			struct json_object **ret)
{
	_cleanup_free_ char *text = NULL;
	int changed;

	*ret = NULL;
	if (!json_object_is_type(v, json_type_string))
		return 0;
	/* an option's value in a list of arguments */
	changed = wv_redact_text(r, masked ? "password" : name, json_object_get_string(v), &text);
	if (changed > 0 && !(*ret = json_object_new_string(text)))
		return -ENOMEM;
	return changed;
}

static int redact_list(struct wv_redactor *r, const char *name, struct json_object *list);

static int redact_object(struct wv_redactor *r, struct json_object *o)
{
	int changed = 0;
	/* a name is text as well, but a secret in one is not looked for */
	json_object_object_foreach(o, key, value)
	{
		struct json_object *other = NULL;
		int n;

		if (json_object_is_type(value, json_type_object))
			n = redact_object(r, value);
		else if (json_object_is_type(value, json_type_array))
			n = redact_list(r, key, value);
		else
			n = redact_value(r, key, value, false, &other);
		if (n < 0)
			return n;
		/* replacing the value of a member that is there leaves the iteration intact */
		if (other)
			json_object_object_add(o, key, other);
		changed += n;
	}
	return changed;
}

static int redact_list(struct wv_redactor *r, const char *name, struct json_object *list)
{
	bool masked = false;
	int changed = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *v = json_object_array_get_idx(list, i), *other = NULL;
		const char *text =
			json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
		bool next = text[0] == '-' && !strchr(text, '=') &&
			    wv_names_credential(text, strlen(text));
		int n;

		if (json_object_is_type(v, json_type_object))
			n = redact_object(r, v);
		else if (json_object_is_type(v, json_type_array))
			n = redact_list(r, name, v);
		else
			n = redact_value(r, name, v, masked, &other);
		if (n < 0)
			return n;
		if (other)
			json_object_array_put_idx(list, i, other);
		changed += n;
		masked = next;
	}
	return changed;
}

int wv_redact_json(struct wv_redactor *r, struct json_object *o)
{
	return json_object_is_type(o, json_type_object)	 ? redact_object(r, o)
	       : json_object_is_type(o, json_type_array) ? redact_list(r, "", o)
							 : 0;
}
