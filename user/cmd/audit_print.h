/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_CMD_AUDIT_PRINT_H
#define WV_CMD_AUDIT_PRINT_H

#include <stdbool.h>

/* One record of access for people, or as it stands. */
void wv_audit_print(const char *line, bool json);

#endif
