// SPDX-License-Identifier: GPL-2.0-only
/* The agent's own page. */
#include "user/export/web_answer.h"

enum MHD_Result wv_web_index(const struct wv_web_request *q)
{
	static const char page[] =
		"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\"><title>waveos-bpf</title>"
		"<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;"
		"margin:3rem auto;max-width:36rem;padding:0 1rem}</style>"
		"<h1>waveos-bpf</h1><ul>"
		"<li><a href=\"/metrics\">/metrics</a>: Prometheus text or OpenMetrics</li>"
		"<li><a href=\"/healthz\">/healthz</a>: age of the last sample</li></ul>"
		"<p>Live figures in a terminal: <code>waveos-bpf top</code></p></html>\n";

	return wv_web_send_text(q, MHD_HTTP_OK, "text/html; charset=utf-8", page);
}
