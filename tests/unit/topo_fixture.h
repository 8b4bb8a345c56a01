/* SPDX-License-Identifier: GPL-2.0-only */
/* Topologies of tests/fixtures/gpu/topo. Include after cmocka.h. */
#ifndef WV_TESTS_TOPO_FIXTURE_H
#define WV_TESTS_TOPO_FIXTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "gpu/topo/topo.h"
#include "user/core/io.h"

static inline struct wv_topo *topo_fixture(const char *name)
{
	struct wv_topo *t = calloc(1, sizeof(*t));
	char path[128], why[96], *text = NULL;

	assert_non_null(t);
	snprintf(path, sizeof(path), "tests/fixtures/gpu/topo/%s.json", name);
	assert_int_equal(wv_io_read_file(&wv_io_system, AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	assert_int_equal(wv_topo_parse(text, t, why), 0);
	free(text);
	return t;
}

#endif
