// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates on programs where no LSM program runs: the task is killed when its image has been replaced
 * and before the new program's first instruction.
 *
 * Hook: sched_process_exec. User space attaches it while a gate on programs is in force and
 * gate_lsm.bpf.c cannot hold it. Of a script only the interpreter is seen here.
 */
#include "lib/gate_exec.bpf.h"

#define SIGNAL_KILL 9

WV_TP("sched_process_exec")
int BPF_PROG(gate_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	if (gate_exec_verdict(bprm))
		bpf_send_signal(SIGNAL_KILL);
	return 0;
}
