/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_CMD_MANUAL_H
#define WV_CMD_MANUAL_H

#include <stdio.h>

/* Prints waveos-bpf(8) as roff, from the tables of verbs and settings. */
void wv_manual_print(FILE *f);

#endif
