/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_TUNE_DOCS_H
#define WV_TUNE_DOCS_H

#include <stdio.h>

/* docs/gpu-tune-spec.md */
void wv_tune_print_spec_doc(FILE *f);

#endif
