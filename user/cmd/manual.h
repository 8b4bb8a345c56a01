/* SPDX-License-Identifier: GPL-2.0-only */
/* Man pages as roff, from the tables of verbs, options and settings. */
#ifndef WV_CMD_MANUAL_H
#define WV_CMD_MANUAL_H

#include <stdio.h>

/* waveos-bpf(8) */
void wv_manual_print(FILE *f);
/* waveos-bpf-VERB(8) of a verb of verbs.def with all its subverbs. 0, or -ENOENT if there is none.
 */
int wv_manual_print_verb(FILE *f, const char *verb);
/* waveos.yaml(5) */
void wv_manual_print_config(FILE *f);

#endif
