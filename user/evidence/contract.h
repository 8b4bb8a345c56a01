/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Data contracts: what artifacts and records promise, from contracts.def and events.def. Schemas
 * are JSON Schema 2020-12; that of metrics.csv is a Table Schema
 * (specs.frictionlessdata.io/table-schema).
 */
#ifndef WV_EVIDENCE_CONTRACT_H
#define WV_EVIDENCE_CONTRACT_H

#include <stddef.h>
#include <stdio.h>

/* schema_version of records; those of 1 have their members in another order */
#define WV_EVENT_VERSIONS "1|2"

struct wv_record_type {
	const char *name, *members, *doc;
};
extern const struct wv_record_type wv_record_types[];
extern const size_t wv_record_types_count;

struct wv_contract {
	const char *id, *versions; /* "1|2" */
	int run;		   /* begins with the members of a run's artifact */
	const char *title, *doc;
};
extern const struct wv_contract wv_contracts[];
extern const size_t wv_contracts_count;

/* One schema by id of contracts.def. */
void wv_contract_print(FILE *f, const char *id);
void wv_contract_print_event(FILE *f);
void wv_contract_print_metrics(FILE *f);
/* docs/events.md */
void wv_contract_print_events_doc(FILE *f);

#endif
