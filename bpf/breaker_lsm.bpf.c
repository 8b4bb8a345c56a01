// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates of the breakers: a start that is refused does not happen (fork: EAGAIN, exec: EPERM).
 *
 * Hooks: LSM task_alloc and bprm_check_security where `bpf` is an active security module; else
 * fmod_ret at security_task_alloc() and security_bprm_check(), which needs trampolines and no
 * active module. User space loads one pair; it acts where breaker_ctl.gates says so, after a
 * self-test: an LSM program attaches without an error where it never fires.
 */
#include "lib/breaker.bpf.h"

#define EPERM 1
#define EAGAIN 11
#define SIGKILL 9

static __always_inline struct task_struct *current_task(void)
{
#ifdef WV_RAW_TP
	return (struct task_struct *)bpf_get_current_task();
#else
	return bpf_get_current_task_btf();
#endif
}

/* 0, or the error that the start ends with. */
static __always_inline int start_gate(__u32 hook, int error)
{
	struct task_struct *task;
	struct wv_breaker_ctl *ctl;
	int verdict;
	long err;

	if (!wv_lifecycle_live())
		return 0;
	ctl = breaker_control();
	if (!ctl || !(ctl->gates & 1u << hook))
		return 0;
	task = current_task();
	if (!breaker_wanted(ctl, hook, task))
		return 0;
	verdict = breaker_charge(task, hook, true);
	if (!verdict)
		return 0;
	if (verdict & BREAKER_KILL) {
		err = bpf_send_signal(SIGKILL);
		if (err)
			wv_count_place(WV_PLACE_BREAKER_SIGNAL, err);
	}
	return error;
}

/*
 * A script is checked once more for its interpreter: by then interp is another string than
 * filename. One exec counts once.
 */
static __always_inline int exec_gate(struct linux_binprm *bprm)
{
	if (BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename))
		return 0;
	return start_gate(WV_BREAKER_AT_EXEC, -EPERM);
}

SEC("lsm/task_alloc")
int BPF_PROG(breaker_lsm_fork, struct task_struct *task, unsigned long flags)
{
	return start_gate(WV_BREAKER_AT_FORK, -EAGAIN);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(breaker_lsm_exec, struct linux_binprm *bprm)
{
	return exec_gate(bprm);
}

SEC("fmod_ret/security_task_alloc")
int BPF_PROG(breaker_mod_fork, struct task_struct *task, unsigned long flags)
{
	return start_gate(WV_BREAKER_AT_FORK, -EAGAIN);
}

SEC("fmod_ret/security_bprm_check")
int BPF_PROG(breaker_mod_exec, struct linux_binprm *bprm)
{
	return exec_gate(bprm);
}
