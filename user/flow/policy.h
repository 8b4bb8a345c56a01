/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A policy: the envelope that the owner declared, as it was read from one file (docs/policy.md).
 * The type that travels from the parser to the evaluator and to those who enforce. Read-only after
 * loading; a reload makes a new one. References between its parts are indices, checked when loaded.
 */
#ifndef WV_FLOW_POLICY_H
#define WV_FLOW_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WV_POLICY_NAME 64
#define WV_NONE UINT32_MAX /* an index that is not there */

struct wv_budget;

struct wv_strings {
	char **list;
	size_t n;
};

enum wv_severity { WV_INFO, WV_WARNING, WV_CRITICAL };
#define WV_SEVERITIES "info|warning|critical"
/* What holds where a promise cannot be kept: the workload goes on (open) or is stopped (closed). */
enum wv_fail { WV_FAIL_OPEN, WV_FAIL_CLOSED };
#define WV_FAILS "open|closed"

/* Classes of action; `features` of a policy gates each. Row: (id, key, default, what it lets the
 * agent do) */
#define WV_FEATURES(X)                                                                             \
	X(BUDGETS, budgets, true, "hold budgets")                                                  \
	X(BREAKERS, breakers, true, "trip breakers in the kernel")                                 \
	X(GATES, gates, true, "allow and deny by gates")                                           \
	X(PRIORITY, priority, true, "cap priorities")                                              \
	X(MODES, modes, true, "switch modes")                                                      \
	X(THROTTLE, throttle, true, "throttle CPU")                                                \
	X(RESTART, restart, true, "restart units, containers and services")                        \
	X(KILL, kill, false, "kill processes")                                                     \
	X(FREEZE, freeze, true, "freeze and thaw")                                                 \
	X(ISOLATE, isolate, true, "cut off the network")                                           \
	X(REBOOT, reboot, false, "reboot the machine")
enum wv_feature {
#define X(id, key, def, doc) WV_FEATURE_##id,
	WV_FEATURES(X)
#undef X
		WV_FEATURE_N
};

/*
 * Which cgroups: every part that is given must match. Patterns are fnmatch(3), `*` matches slashes
 * too.
 */
struct wv_scope {
	char cgroup[256];	  /* path below the hierarchy's root */
	char unit[128];		  /* systemd unit */
	char namespace[64];	  /* Kubernetes */
	char pod[128];		  /* pod name */
	char container[128];	  /* container name */
	struct wv_strings labels; /* "key=value" of the pod or container, all of them */
};

struct wv_domain {
	char name[WV_POLICY_NAME];
	struct wv_scope scope;
	struct wv_strings after;		  /* domains that are recovered before this one */
	uint32_t *after_index;			  /* [after.n] */
	uint64_t max_restarts, restart_window_ns; /* restart budget: so many in so long */
	unsigned line;
};

/* Modes in the order of the file: later ones are more severe. The first is the normal one. */
struct wv_mode {
	char name[WV_POLICY_NAME];
	struct wv_strings flags;   /* feature flags that applications read */
	struct wv_strings budgets; /* budgets in force only in modes that name them */
	unsigned line;
};

/* What the kernel counts for a breaker. Row: (id, text) */
#define WV_BREAKER_KINDS(X)                                                                        \
	X(FORKS, "forks")                                                                          \
	X(EXECS, "execs")                                                                          \
	X(CONNECTS, "connects")                                                                    \
	X(EGRESS_PACKETS, "egress_packets")                                                        \
	X(INGRESS_PACKETS, "ingress_packets")                                                      \
	X(OOM_KILLS, "oom_kills")
enum wv_breaker_kind {
#define X(id, text) WV_BREAKER_##id,
	WV_BREAKER_KINDS(X)
#undef X
		WV_BREAKER_N
};
#define WV_BREAKER_KIND_CHOICES "forks|execs|connects|egress_packets|ingress_packets|oom_kills"

enum wv_breaker_action { WV_BREAKER_DENY, WV_BREAKER_KILL };
#define WV_BREAKER_ACTIONS "deny|kill"

/*
 * A state machine in the kernel, one for each cgroup of the domain that matches at the top (its
 * subtree draws on it). Closed: up to `burst` at once and `limit` a `per`; more trips it. Open:
 * everything of its kind is refused (or its task killed) for open_ns. Half open: up to `probes`
 * pass in half_open_ns; more trips it again, else it closes.
 */
struct wv_breaker {
	char name[WV_POLICY_NAME], domain[WV_POLICY_NAME];
	uint32_t domain_index;
	int kind;   /* enum wv_breaker_kind */
	int action; /* enum wv_breaker_action */
	uint64_t limit, per_ns, burst;
	uint64_t open_ns, half_open_ns, probes;
	int fail, severity;
	char route[WV_POLICY_NAME];
	unsigned line;
};

/* Row: (id, text) */
#define WV_GATE_KINDS(X)                                                                           \
	X(EXEC, "exec")                                                                            \
	X(CONNECT, "connect")                                                                      \
	X(BIND, "bind")                                                                            \
	X(DEVICE, "device")                                                                        \
	X(SYSCTL, "sysctl")                                                                        \
	X(MODULE, "module")                                                                        \
	X(PTRACE, "ptrace")                                                                        \
	X(MOUNT, "mount")
enum wv_gate_kind {
#define X(id, text) WV_GATE_##id,
	WV_GATE_KINDS(X)
#undef X
		WV_GATE_N
};
#define WV_GATE_KIND_CHOICES "exec|connect|bind|device|sysctl|module|ptrace|mount"

/*
 * Allow and deny lists, by kind: exec: absolute paths of programs, a trailing slash-star for all
 * below; connect: CIDR with an optional ":port" or "[v6]/n:port"; bind: the same; device: "c 1:3
 * rw" as in cgroup v1; sysctl: name with dots; module, ptrace, mount: "*" only. Deny wins over
 * allow; what neither names is denied if there is an allow list, else allowed.
 */
struct wv_gate {
	char name[WV_POLICY_NAME], domain[WV_POLICY_NAME];
	uint32_t domain_index;
	int kind; /* enum wv_gate_kind */
	struct wv_strings allow, deny;
	bool enforce; /* false: audit only */
	int fail, severity;
	char route[WV_POLICY_NAME];
	unsigned line;
};

enum wv_io_class { WV_IO_ANY, WV_IO_BEST_EFFORT, WV_IO_IDLE };
#define WV_IO_CLASSES "any|best-effort|idle"

/* Caps on priorities of the domain's tasks: denied where LSM programs run, else corrected. */
struct wv_priority {
	char name[WV_POLICY_NAME], domain[WV_POLICY_NAME];
	uint32_t domain_index;
	int64_t nice_min;      /* -20: no cap */
	uint64_t realtime_max; /* highest SCHED_FIFO/RR priority, 0: none at all, 99: no cap */
	int io_class;	       /* best that may be taken */
	int fail, severity;
	unsigned line;
};

/* What a rule or a step of a chain does. Row: (id, text, feature, has an argument) */
#define WV_ACTS(X)                                                                                 \
	X(ALERT, "alert", WV_FEATURE_N, 0)                                                         \
	X(MODE, "mode", WV_FEATURE_MODES, 1)                                                       \
	X(RECOVER, "recover", WV_FEATURE_N, 1)                                                     \
	X(THROTTLE, "throttle", WV_FEATURE_THROTTLE, 1)                                            \
	X(FREEZE, "freeze", WV_FEATURE_FREEZE, 0)                                                  \
	X(THAW, "thaw", WV_FEATURE_FREEZE, 0)                                                      \
	X(ISOLATE, "isolate", WV_FEATURE_ISOLATE, 0)                                               \
	X(RESTART, "restart", WV_FEATURE_RESTART, 0)                                               \
	X(KILL, "kill", WV_FEATURE_KILL, 0)                                                        \
	X(REBOOT, "reboot", WV_FEATURE_REBOOT, 0)
enum wv_act {
#define X(id, text, feature, argument) WV_ACT_##id,
	WV_ACTS(X)
#undef X
		WV_ACT_N
};

/* One action. Written "mode degraded", "throttle 20%", "restart wait 30s". */
struct wv_step {
	enum wv_act act;
	uint32_t index;	  /* MODE, RECOVER: of the mode, of the chain */
	uint64_t cpu_ppm; /* THROTTLE: CPU time allowed, millionths of one CPU */
	uint64_t wait_ns; /* in a chain: how long to wait for the domain to be well again */
	bool has_wait;
};

struct wv_steps {
	struct wv_step *list;
	size_t n;
};

/* Ordered actions, each harder than the last; the next is taken when the last did not help. */
struct wv_chain {
	char name[WV_POLICY_NAME];
	struct wv_strings step_texts;
	struct wv_steps steps;
	uint64_t backoff_ns, backoff_max_ns, jitter_permille, cool_down_ns;
	unsigned line;
};

#define WV_CONDITION_MAX 512
struct wv_program_set; /* user/policy/program.h */

struct wv_rule {
	char name[WV_POLICY_NAME], domain[WV_POLICY_NAME];
	uint32_t domain_index;
	char condition[WV_CONDITION_MAX]; /* trips when this held ... */
	uint64_t for_ns;		  /* ... for so long without a break */
	char clear[WV_CONDITION_MAX]; /* is over when this held ...; "": when condition does not */
	uint64_t clear_for_ns;	      /* ... for so long */
	uint32_t condition_program, clear_program; /* in the policy's program set */
	struct wv_strings action_texts;
	struct wv_steps actions;
	uint64_t half_open_ns; /* after it is over: how long the actions are lifted on trial */
	int fail, severity;
	uint64_t blast_domains;	       /* cgroups that may be tripped at a time */
	uint64_t blast_share_permille; /* of the machine's CPU time that they may have used */
	uint64_t act_max, act_per_ns;  /* action budget: n in t */
	bool pack;		       /* an evidence pack is made when it trips ... */
	uint64_t pack_before_ns, pack_after_ns; /* ... of so long around that */
	char route[WV_POLICY_NAME];
	unsigned line;
};

/* A program that the agent itself runs and restarts, where there is no systemd. */
struct wv_service {
	char name[WV_POLICY_NAME];
	struct wv_strings command;
	char cgroup[256]; /* v2 cgroup that it is started in, made if need be */
	struct wv_strings after;
	uint32_t *after_index;
	uint64_t backoff_ns, backoff_max_ns;
	unsigned line;
};

struct wv_policy {
	char name[WV_POLICY_NAME], description[256];
	char source[256]; /* file, "" if built in */
	char digest[65];  /* hex SHA-256 of its bytes */
	char *text;	  /* the bytes themselves, for the record */
	size_t text_len;
	bool features[WV_FEATURE_N];
	struct wv_domain *domains;
	size_t n_domains;
	struct wv_mode *modes;
	size_t n_modes;
	struct wv_budget *budgets;
	size_t n_budgets;
	struct wv_breaker *breakers;
	size_t n_breakers;
	struct wv_gate *gates;
	size_t n_gates;
	struct wv_priority *priorities;
	size_t n_priorities;
	struct wv_rule *rules;
	size_t n_rules;
	struct wv_chain *chains;
	size_t n_chains;
	struct wv_service *services;
	size_t n_services;
	struct wv_program_set *programs; /* conditions of all rules, compiled */
};

#endif
