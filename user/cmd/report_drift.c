// SPDX-License-Identifier: GPL-2.0-only
/* What was not as in the run before. */
#include "user/cmd/report_doc.h"

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) ?: "" : "";
}

void wv_report_drift(struct wv_doc *d, const struct wv_report *r)
{
	static const char *const titles[] = {"Kind", "What", "Before", "Now", "Origin", NULL};
	size_t n = json_object_array_length(r->drift);

	if (!n)
		return;
	wv_doc_heading(d, 3, "Not as in the run before");
	wv_doc_table(d, titles);
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(r->drift, i);

		wv_doc_cell(d, member(o, "kind"));
		wv_doc_cell(d, member(o, "name"));
		wv_doc_cellf(d, "%.160s", member(o, "old"));
		wv_doc_cellf(d, "%.160s", member(o, "new"));
		wv_doc_cell(d, member(o, "origin"));
	}
	wv_doc_table_end(d);
}
