/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef WV_EVIDENCE_WITNESS_H
#define WV_EVIDENCE_WITNESS_H

/* In the log's folder: the newest checkpoint that witnesses cosigned, with their signatures. */
#define WV_WITNESSED_NAME "witnessed"

#endif
