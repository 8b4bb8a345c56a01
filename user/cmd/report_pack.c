// SPDX-License-Identifier: GPL-2.0-only
/* The page about a run that goes into an evidence pack. */
#include <errno.h>
#include <string.h>

#include "user/cmd/evidence_cmd.h"
#include "user/cmd/report_doc.h"

int wv_report_page(const char *run_dir, char **ret_html)
{
	struct wv_report report = {0};
	struct wv_doc doc = {.text = {.max = 64U << 20}, .html = true};
	int r = wv_report_load(&report, run_dir);

	if (r == 0) {
		/* where it was made says nothing to whoever reads it */
		snprintf(report.dir, sizeof(report.dir), "run/ of this pack");
		wv_report_html(&doc, &report);
		r = wv_text_end(&doc.text);
	}
	if (r == 0)
		*ret_html = TAKE_PTR(doc.text.data);
	wv_text_done(&doc.text);
	wv_report_done(&report);
	return r;
}
