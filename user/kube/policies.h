/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * WaveosPolicy objects (packaging/helm/waveos-bpf/crds): which of them select this machine, which
 * one counts, and what their status says. One counts, whole: two documents are never mixed. It is
 * the one with the highest precedence; of equals the oldest; of these the first by name. No input
 * or output.
 */
#ifndef WV_KUBE_POLICIES_H
#define WV_KUBE_POLICIES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define WV_KUBE_GROUP "waveos.dev"
#define WV_KUBE_VERSION "v1alpha1"
#define WV_KUBE_POLICIES_PATH "/apis/" WV_KUBE_GROUP "/" WV_KUBE_VERSION "/waveospolicies"
#define WV_KUBE_POLICIES_MAX 64

/* What became of a policy on this machine. */
enum wv_kube_verdict {
	WV_KUBE_NOT_SELECTED, /* it is for other machines: no status of ours */
	WV_KUBE_INVALID,      /* the policy checker refuses it */
	WV_KUBE_SUPERSEDED,   /* another one counts */
	WV_KUBE_LOCAL,	      /* the machine's own configuration or a signed bundle comes first */
	WV_KUBE_PENDING,      /* handed over, not in force yet */
	WV_KUBE_REFUSED,      /* the agent did not take it: something that must hold cannot */
	WV_KUBE_MONITORED,    /* in force, decides and records, changes nothing */
	WV_KUBE_ENFORCED,     /* in force */
	WV_KUBE_VERDICT_N
};
extern const char *const wv_kube_verdicts[WV_KUBE_VERDICT_N];

struct wv_kube_policy {
	char name[256];
	struct json_object *object; /* as it was told last */
	int64_t generation, precedence;
	bool enforce, seen;
	char created[40];
	/* of this generation: */
	char *text; /* the policy file, NULL: there is none */
	size_t text_len;
	char version[80]; /* name@digest, "" while it is not known */
	char error[512];
	unsigned findings; /* of `policy check` */
	bool refused;
	enum wv_kube_verdict verdict;
	char message[600];
	bool noted; /* a record tells what became of it */
	/* writing of the status */
	uint64_t due_ns; /* not before */
	uint64_t sum_ns; /* the summary not before; 0: it is right */
	unsigned failures;
	bool summed_wrong; /* the summary does not fit the nodes */
};

struct wv_kube_policies {
	const char *node;
	struct json_object *labels; /* of this machine; NULL: not known */
	bool labels_known;
	struct wv_kube_policy *list[WV_KUBE_POLICIES_MAX];
	size_t n;
	uint64_t dropped; /* over the maximum */
	const struct wv_kube_policy *chosen;
};

void wv_kube_policies_begin(struct wv_kube_policies *p);
void wv_kube_policies_take(struct wv_kube_policies *p, struct json_object *o);
void wv_kube_policies_gone(struct wv_kube_policies *p, struct json_object *o);
void wv_kube_policies_fresh(struct wv_kube_policies *p);
void wv_kube_policies_done(struct wv_kube_policies *p);
/* Whether any asks for labels of the machine. */
bool wv_kube_policies_want_labels(const struct wv_kube_policies *p);
/* Decides anew which one counts (p->chosen, NULL: none) and sets the verdicts of the others. */
void wv_kube_policies_choose(struct wv_kube_policies *p);

/*
 * The policy file of an object's spec, and its version. Monitored, all features are off: rules and
 * budgets are decided and recorded, nothing is done. 0 with *ret (to be freed) or -EINVAL with
 * error.
 */
int wv_kube_policy_render(struct json_object *object, char **ret, size_t *ret_len, char version[80],
			  unsigned *ret_findings, char *error, size_t size);
/*
 * The merge patch (RFC 7386) that tells the status of this machine, and (sum) the summary over all
 * machines with the object's resourceVersion, so that a summary of an older state is refused. now:
 * RFC 3339. NULL: there is nothing new to tell.
 */
struct json_object *wv_kube_policy_status(struct wv_kube_policy *k, const char *node,
					  const char *now, bool sum);
/* This machine's place among those that tell of a policy, by name: it says who sums up first. */
unsigned wv_kube_policy_rank(const struct wv_kube_policy *k, const char *node);

#endif
