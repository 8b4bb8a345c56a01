/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Another reading of HAProxy's configuration than the writer's: whatever the declared values were,
 * the translation is made of the lines that it always is made of. For tests.
 */
#ifndef WV_TESTS_PROXY_WORDS_H
#define WV_TESTS_PROXY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* One word of a line, as HAProxy splits it (its manual, section 2.2), but only single quotes are
 * known, and a backslash outside of them only before a quote. NULL: something else stands there. */
static inline const char *proxy_word_end(const char *p)
{
	bool quoted = false;

	for (; *p && *p != '\n' && (quoted || (*p != ' ' && *p != '\t')); p++) {
		if (*p == '\'')
			quoted = !quoted;
		else if (!quoted && *p == '\\') {
			if (*++p != '\'')
				return NULL;
		} else if (!quoted && strchr("\"#$`~;", *p)) {
			return NULL;
		}
	}
	return quoted ? NULL : p;
}

/* The reason why a text is no translation of ours, or NULL. *ret_lines counts them. */
static inline const char *proxy_words_wrong(const char *text, size_t *ret_lines)
{
	static const char *const first[] = {
		"global",
		"frontend",
		"backend",
		"\tmaxconn",
		"\tnbthread",
		"\tstats socket",
		"\tstats timeout",
		"\tuid",
		"\tgid",
		"\tchroot",
		"\thard-stop-after",
		"\ttune.bufsize",
		"\ttune.http.maxhdr",
		"\tssl-default-bind-ciphers",
		"\tssl-default-server-ciphers",
		"\tssl-default-bind-options",
		"\tmode",
		"\tbind",
		"\tbacklog",
		"\ttimeout",
		"\tstick-table",
		"\tacl",
		"\ttcp-request",
		"\tdefault_backend",
		"\tbalance",
		"\tretries",
		"\toption",
		"\thttp-error",
		"\thttp-request",
		"\thttp-after-response",
		"\thttp-check",
		"\tserver",
	};
	*ret_lines = 0;
	if (strncmp(text, "# Written by", 12) != 0)
		return "no first line";
	for (const char *line = strchr(text, '\n'); line && line[1]; line = strchr(line, '\n')) {
		const char *p = ++line;
		bool known = *p == '\n';
		size_t words = 0;

		++*ret_lines;
		for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++) {
			size_t len = strlen(first[i]);

			known |=
				strncmp(p, first[i], len) == 0 && (p[len] == ' ' || p[len] == '\n');
		}
		if (!known)
			return "a line of another kind";
		while (*p && *p != '\n') {
			p += strspn(p, " \t");
			p = proxy_word_end(p);
			if (!p)
				return "a word that does not end, or with a special byte";
			words++;
		}
		if (words > 64)
			return "more words than HAProxy reads";
		line = p == line ? line : p;
		if (*line != '\n')
			return "no end of line";
	}
	return NULL;
}

#endif
