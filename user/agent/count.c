// SPDX-License-Identifier: GPL-2.0-only
#include "user/agent/count.h"

#include <json-c/json.h>
#include <string.h>

#include "user/core/cleanup.h"
#include "user/enforce/journal.h"
#include "user/flow/decision.h"
#include "user/flow/figures.h"

/* Which figure counts a word of a record. */
struct word {
	const char *text;
	enum wv_figure_id figure;
};

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : "";
}

static void count(const struct word *words, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i].text, text) == 0)
			wv_figure_add(words[i].figure, 1);
}

static void count_decision(struct json_object *o)
{
	static const struct word rule[] = {
		{"open", WV_FIG_RULE_OPENED},
		{"half-open", WV_FIG_RULE_TRIED},
		{"closed", WV_FIG_RULE_CLOSED},
	};
	static const struct word budget[] = {
		{"apply", WV_FIG_BUDGET_APPLIED},
		{"release", WV_FIG_BUDGET_RELEASED},
	};
	static const struct word breaker[] = {
		{"apply", WV_FIG_BREAKER_APPLIED},
		{"release", WV_FIG_BREAKER_RELEASED},
	};
	const struct word withheld[] = {
		{wv_withheld_names[WV_WITHHELD_BLAST_DOMAINS], WV_FIG_WITHHELD_DOMAINS},
		{wv_withheld_names[WV_WITHHELD_BLAST_SHARE], WV_FIG_WITHHELD_SHARE},
		{wv_withheld_names[WV_WITHHELD_ACTION_BUDGET], WV_FIG_WITHHELD_BUDGET},
	};
	const char *verdict = text_of(o, "verdict");

	if (json_object_object_get(o, "rule"))
		count(rule, ARRAY_SIZE(rule), verdict);
	else if (json_object_object_get(o, "breaker"))
		count(breaker, ARRAY_SIZE(breaker), verdict);
	else
		count(budget, ARRAY_SIZE(budget), verdict);
	count(withheld, ARRAY_SIZE(withheld), text_of(o, "withheld"));
}

static void count_act(struct json_object *o)
{
	static const struct word acts[] = {
		{"throttle", WV_FIG_ACT_THROTTLE}, {"freeze", WV_FIG_ACT_FREEZE},
		{"thaw", WV_FIG_ACT_THAW},	   {"isolate", WV_FIG_ACT_ISOLATE},
		{"restart", WV_FIG_ACT_RESTART},   {"kill", WV_FIG_ACT_KILL},
		{"reboot", WV_FIG_ACT_REBOOT},
	};

	count(acts, ARRAY_SIZE(acts), text_of(o, "act"));
}

static void count_outcomes(struct json_object *o)
{
	static const enum wv_figure_id figures[] = {
		[WV_OUTCOME_CHANGED] = WV_FIG_OUTCOME_CHANGED,
		[WV_OUTCOME_ALREADY] = WV_FIG_OUTCOME_ALREADY,
		[WV_OUTCOME_RESTORED] = WV_FIG_OUTCOME_RESTORED,
		[WV_OUTCOME_NOT_OURS] = WV_FIG_OUTCOME_NOT_OURS,
		[WV_OUTCOME_GONE] = WV_FIG_OUTCOME_GONE,
		[WV_OUTCOME_FAILED] = WV_FIG_OUTCOME_FAILED,
		[WV_OUTCOME_NOT_ENFORCED] = WV_FIG_OUTCOME_NOT_ENFORCED,
	};
	struct json_object *list = json_object_object_get(o, "actions");

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *what = text_of(json_object_array_get_idx(list, i), "outcome");

		for (size_t k = 0; k < ARRAY_SIZE(figures); k++)
			if (strcmp(wv_outcome_names[k], what) == 0)
				wv_figure_add(figures[k], 1);
	}
}

void wv_count_record(const char *type, struct json_object *fields)
{
	if (strcmp(type, "decision") == 0)
		count_decision(fields);
	else if (strcmp(type, "action") == 0)
		count_act(fields);
	else if (strcmp(type, "outcome") == 0)
		count_outcomes(fields);
	else if (strcmp(type, "alert") == 0)
		wv_figure_add(WV_FIG_ACT_ALERT, 1);
	else if (strcmp(type, "mode") == 0)
		wv_figure_add(WV_FIG_ACT_MODE, 1);
}
