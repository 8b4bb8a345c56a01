// SPDX-License-Identifier: GPL-2.0-only
/* The man page: what the tables know, with the words around it. */
#include "user/cmd/manual.h"

#include "user/cmd/cmd.h"
#include "user/core/config.h"

static const char head[] =
	".TH WAVEOS-BPF 8 \"\" \"waveos-bpf " WV_VERSION "\" \"System Administration\"\n"
	".SH NAME\n"
	"waveos-bpf \\- keep a machine inside a declared safety envelope\n"
	".SH SYNOPSIS\n"
	".B waveos-bpf\n.I VERB\n.RI [ options ]\n"
	".SH DESCRIPTION\n"
	"Observes every cgroup of the machine with eBPF programs, holds the budgets of one YAML "
	"file, and\n"
	"leaves a record of what it saw and did. No flag and no file are needed.\n"
	".PP\n"
	"Programs, maps and limits are pinned: when the agent is killed, limits stay in force and "
	"counters\n"
	"count, and the next agent adopts them.\n";

static const char tail[] =
	".SH FILES\n"
	".TP\n.I /etc/waveos/waveos.yaml\nConfiguration, optional.\n"
	".TP\n.I /var/lib/waveos/runs/RUN/\n"
	"run_meta.json, metrics.csv, events.jsonl and explainability.json of a run.\n"
	".TP\n.I /var/lib/waveos/enforce/\nJournal of what budgets changed, with the old values.\n"
	".TP\n.I /run/waveos/\nLock and published snapshot.\n"
	".TP\n.I /sys/fs/bpf/waveos/\nPinned programs, maps, links and limits.\n"
	".PP\nThe option\n.B \\-\\-root\nmoves all of them below a folder.\n"
	".SH ENVIRONMENT\n"
	".TP\n.B WAVEOS_SECTION_KEY\nOverrides the setting section.key of the file; an option\n"
	".B \\-\\-set\noverrides both.\n"
	".SH SIGNALS\n"
	".TP\n.BR SIGTERM \", \" SIGINT\nOrderly exit; what it leaves is the setting "
	"agent.on_exit.\n"
	".TP\n.B SIGUSR2\nOrderly exit that removes everything, as detach asks for.\n"
	".SH EXIT STATUS\n"
	".TP\n.B 0\nOk.\n"
	".TP\n.B 1\nFinding: what was asked for was found wanting, for example no agent runs.\n"
	".TP\n.B 2\nUsage: wrong arguments or configuration.\n"
	".TP\n.B 3\nUnsupported by this kernel or machine.\n"
	".TP\n.B 4\nDenied: a right is missing, another agent holds the lock, or a port is in "
	"use.\n"
	".TP\n.B 5\nInternal error.\n"
	".SH EXAMPLES\n"
	".EX\nwaveos-bpf attach\nwaveos-bpf attach --for 30s --set agent.tick=250ms\n"
	"waveos-bpf top --sort mem\nwaveos-bpf report latest --html report.html\nwaveos-bpf "
	"detach\n.EE\n"
	".SH SEE ALSO\n.BR bpftool (8),\n.BR cgroups (7)\n";

void wv_manual_print(FILE *f)
{
	fputs(head, f);
	fputs(".SH VERBS\n", f);
	for (unsigned i = 0; i < wv_verbs_count; i++)
		fprintf(f, ".TP\n.B %s\n%s\n", wv_verbs[i].name, wv_verbs[i].summary);
	fputs(".PP\nEach verb has\n.BR \\-\\-help ,\n.B \\-\\-json\nand\n.BR \\-\\-root .\n", f);
	fputs(".SH SETTINGS\nIn the file as sections with keys; a list of budgets is described in "
	      "docs/budgets.md.\n",
	      f);
	wv_config_print_man(f);
	fputs(tail, f);
}
