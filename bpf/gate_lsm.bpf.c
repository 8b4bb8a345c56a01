// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gates on programs, kernel modules, ptrace and mounts, and caps on priorities, where `bpf` is an
 * active security module. An LSM program attaches without an error where it is not, and never
 * fires: user space does not load this object then.
 *
 * Hooks: bprm_check_security, kernel_load_data, kernel_read_file, kernel_module_request,
 * ptrace_access_check, ptrace_traceme, sb_mount, sb_remount, sb_pivotroot, move_mount,
 * task_setnice, task_setscheduler, task_setioprio. They are global; user space attaches those that
 * some gate needs.
 */
#include "lib/gate_exec.bpf.h"
#include "lib/gate_sched.bpf.h"

#define PTRACE_ATTACH_MODE 0x02 /* PTRACE_MODE_ATTACH; reading is not refused */

SEC("lsm/bprm_check_security")
int BPF_PROG(gate_lsm_exec, struct linux_binprm *bprm, int ret)
{
	if (ret)
		return ret;
	return gate_exec_verdict(bprm);
}

/* Kinds that know no object: all or nothing ---------------------------------------------------- */

/* What the event says of the object. */
struct object {
	__u32 kind, op, number;
	const char *text; /* in the kernel */
};

static __always_inline int object_verdict(const struct object *o)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct wv_gate_place_key key = {.kind = o->kind};
	struct wv_gate_place *place;
	int verdict = 0;

	key.cgroup = gate_find(task, o->kind);
	if (!key.cgroup)
		return 0;
	place = bpf_map_lookup_elem(&gate_places, &key);
	if (!place)
		return 0;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (!gate_refuses(ref.flags, 0))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = -GATE_EPERM;
		gate_tell_text(gate_subject(&ref, o->kind, o->op), key.cgroup,
			       gate_address(o->text), o->number);
	}
	return verdict;
}

SEC("lsm/kernel_load_data")
int BPF_PROG(gate_lsm_load_data, enum kernel_load_data_id id, bool contents, int ret)
{
	struct object o = {.kind = WV_GATED_MODULE};

	if (ret || id != bpf_core_enum_value(enum kernel_load_data_id, LOADING_MODULE))
		return ret;
	return object_verdict(&o);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(gate_lsm_read_file, struct file *file, enum kernel_read_file_id id, bool contents,
	     int ret)
{
	struct object o = {.kind = WV_GATED_MODULE};

	if (ret || id != bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE))
		return ret;
	if (file)
		o.text = (const char *)BPF_CORE_READ(file, f_path.dentry, d_name.name);
	return object_verdict(&o);
}

SEC("lsm/kernel_module_request")
int BPF_PROG(gate_lsm_module_request, char *name, int ret)
{
	struct object o = {.kind = WV_GATED_MODULE, .op = WV_GATE_OP_MODULE_REQUEST, .text = name};

	return ret ?: object_verdict(&o);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(gate_lsm_ptrace, struct task_struct *child, unsigned int mode, int ret)
{
	struct object o = {.kind = WV_GATED_PTRACE};

	if (ret || !(mode & PTRACE_ATTACH_MODE))
		return ret;
	o.number = BPF_CORE_READ(child, tgid);
	o.text = (const char *)child + bpf_core_field_offset(child->comm);
	return object_verdict(&o);
}

/* The child asks to be traced by its parent. */
SEC("lsm/ptrace_traceme")
int BPF_PROG(gate_lsm_traceme, struct task_struct *parent, int ret)
{
	struct object o = {.kind = WV_GATED_PTRACE};

	if (ret)
		return ret;
	o.number = BPF_CORE_READ(parent, tgid);
	o.text = (const char *)parent + bpf_core_field_offset(parent->comm);
	return object_verdict(&o);
}

SEC("lsm/sb_mount")
int BPF_PROG(gate_lsm_mount, const char *dev_name, const struct path *path, const char *type,
	     unsigned long flags, void *data, int ret)
{
	struct object o = {.kind = WV_GATED_MOUNT, .text = type};

	return ret ?: object_verdict(&o);
}

SEC("lsm/move_mount")
int BPF_PROG(gate_lsm_move_mount, const struct path *from, const struct path *to, int ret)
{
	struct object o = {.kind = WV_GATED_MOUNT};

	return ret ?: object_verdict(&o);
}

SEC("lsm/sb_remount")
int BPF_PROG(gate_lsm_remount, struct super_block *sb, void *options, int ret)
{
	struct object o = {.kind = WV_GATED_MOUNT};

	return ret ?: object_verdict(&o);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(gate_lsm_pivotroot, const struct path *old, const struct path *new, int ret)
{
	struct object o = {.kind = WV_GATED_MOUNT};

	return ret ?: object_verdict(&o);
}

/* Priorities: whose they become decides, not who asks ------------------------------------------ */

static __always_inline int cap_refuse(const struct wv_gate_ref *ref, __u64 cgroup, __u32 op,
				      __s32 asked, __s32 cap)
{
	gate_tell_numbers(gate_subject(ref, WV_GATED_PRIORITY, op), cgroup,
			  (__u64)(__u32)asked << 32 | (__u32)cap, 0);
	return -GATE_EPERM;
}

static __always_inline struct wv_gate_caps *caps_of(struct task_struct *p, __u64 *ret_cgroup)
{
	*ret_cgroup = gate_find(p, WV_GATED_PRIORITY);
	return *ret_cgroup ? bpf_map_lookup_elem(&gate_caps, ret_cgroup) : NULL;
}

static __always_inline int nice_verdict(struct task_struct *p, const struct wv_gate_caps *caps,
					__u64 cgroup, __s32 nice)
{
	__s32 now = (__s32)BPF_CORE_READ(p, static_prio) - GATE_NICE_0;

	/* the kernel clamps too; lowering is never refused */
	if (nice >= caps->nice_min || nice >= now)
		return 0;
	return cap_refuse(&caps->nice, cgroup, WV_GATE_OP_NICE, nice, caps->nice_min);
}

SEC("lsm/task_setnice")
int BPF_PROG(gate_lsm_setnice, struct task_struct *p, int nice, int ret)
{
	struct wv_gate_caps *caps;
	__u64 cgroup;

	if (ret)
		return ret;
	caps = caps_of(p, &cgroup);
	return caps ? nice_verdict(p, caps, cgroup, nice) : 0;
}

/* The hook is not told what is asked for: the system call's arguments are. */
SEC("lsm/task_setscheduler")
int BPF_PROG(gate_lsm_setscheduler, struct task_struct *p, int ret)
{
	struct wv_gate_caps *caps;
	struct gate_sched ask = {0};
	__u64 cgroup;

	if (ret)
		return ret;
	caps = caps_of(p, &cgroup);
	if (!caps || !gate_sched_asked(p, &ask))
		return 0;
	if (ask.has_nice)
		return nice_verdict(p, caps, cgroup, ask.nice);
	if (!ask.realtime || ask.priority <= caps->realtime_max)
		return 0;
	return cap_refuse(&caps->realtime, cgroup, WV_GATE_OP_REALTIME, ask.priority,
			  caps->realtime_max);
}

#define IO_CLASS_SHIFT 13
#define IO_CLASS_NONE 0 /* goes by nice, as class 2 (best effort) does */
#define IO_CLASS_BEST_EFFORT 2

SEC("lsm/task_setioprio")
int BPF_PROG(gate_lsm_setioprio, struct task_struct *p, int ioprio, int ret)
{
	__u32 class = (__u32)ioprio >> IO_CLASS_SHIFT & 7;
	struct wv_gate_caps *caps;
	__u64 cgroup;

	if (ret)
		return ret;
	if (class == IO_CLASS_NONE)
		class = IO_CLASS_BEST_EFFORT;
	caps = caps_of(p, &cgroup);
	if (!caps || class >= caps->io_class)
		return 0;
	return cap_refuse(&caps->io, cgroup, WV_GATE_OP_IO, class, caps->io_class);
}
