/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The verdict on a program that is about to run: by the file itself (device and inode) and by its
 * path. The path is read off the dentries of the file that was opened, from the top of its mount
 * namespace: the name that execve() was given, links, relative names and a changed root do not
 * matter.
 *
 * A path allows only where the one who runs the program could not have made it up: the file is in
 * his own mount namespace, and that belongs to the initial user namespace. (Who has a mount
 * namespace through a user namespace of his own can mount anything anywhere in it.) A path denies
 * always.
 */
#ifndef WAVEOS_GATE_EXEC_BPF_H
#define WAVEOS_GATE_EXEC_BPF_H

#include "gate.bpf.h"

#define GATE_EPERM 1
#define GATE_PATH_ROOM 512 /* a power of two */
#define GATE_PATH_NAME 256
#define GATE_PATH_STEPS 48

/* Room for one path. A program may be preempted, so it is not one a CPU. */
struct gate_scratch {
	char path[GATE_PATH_ROOM + GATE_PATH_NAME]; /* filled from the end of GATE_PATH_ROOM */
	struct wv_gate_text_key key;
	volatile __u32 at;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32); /* thread */
	__type(value, struct gate_scratch);
} gate_scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_scratch);
} gate_blank SEC(".maps");

enum { GATE_PATH_KNOWN = 1, GATE_PATH_TRUSTED = 2 };

static __always_inline struct mount *gate_mount(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/*
 * Writes the path to the end of s->path; returns where it begins, or 0: it does not fit. The
 * position is kept in the map, where the verifier does not follow its range from step to step.
 */
static __always_inline __u32 gate_path_walk(struct file *file, struct gate_scratch *s)
{
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	struct mount *m = gate_mount(mnt), *up;
	struct dentry *d = BPF_CORE_READ(file, f_path.dentry), *parent;
	__u32 at, len;

	s->at = GATE_PATH_ROOM - 1;
	s->path[GATE_PATH_ROOM - 1] = '\0';
	for (int i = 0; i < GATE_PATH_STEPS; i++) {
		if (d == BPF_CORE_READ(m, mnt.mnt_root)) {
			up = BPF_CORE_READ(m, mnt_parent);
			if (up == m)
				return s->at;
			d = BPF_CORE_READ(m, mnt_mountpoint);
			m = up;
			continue;
		}
		parent = BPF_CORE_READ(d, d_parent);
		if (parent == d)
			return s->at;
		len = BPF_CORE_READ(d, d_name.len) & (GATE_PATH_NAME - 1);
		at = s->at;
		if (at <= len + 1)
			return 0;
		at = (at - len) & (GATE_PATH_ROOM - 1);
		barrier_var(len); /* or the compiler finds the next line needless */
		len &= GATE_PATH_NAME - 1;
		bpf_probe_read_kernel(&s->path[at], len, BPF_CORE_READ(d, d_name.name));
		at = (at - 1) & (GATE_PATH_ROOM - 1);
		s->path[at] = '/';
		s->at = at;
		d = parent;
	}
	return 0;
}

static __always_inline bool gate_path_trusted(struct file *file, struct task_struct *task)
{
	struct mnt_namespace *own = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	struct mount *m = gate_mount(mnt);

	return own && BPF_CORE_READ(m, mnt_ns) == own && BPF_CORE_READ(own, user_ns, level) == 0;
}

/*
 * Takes room for the path of a file and fills in the look-up key. Returns what is known; call
 * gate_path_done() in any case.
 */
GATE_GLOBAL int gate_path_make(__u64 file_at, __u64 task_at)
{
	__u32 tid = bpf_get_current_pid_tgid(), zero = 0, at;
	struct gate_scratch *blank = bpf_map_lookup_elem(&gate_blank, &zero), *s;
	struct file *file = (struct file *)file_at;
	long err;

	if (!blank)
		return 0;
	err = bpf_map_update_elem(&gate_scratches, &tid, blank, BPF_ANY);
	s = bpf_map_lookup_elem(&gate_scratches, &tid);
	if (err || !s) {
		wv_count_place(WV_PLACE_GATE_PATH, err);
		return 0;
	}
	at = gate_path_walk(file, s);
	if (!at) {
		wv_count_place(WV_PLACE_GATE_PATH, -36 /* ENAMETOOLONG */);
		return 0;
	}
	s->key.prefix_bits = 8 * (4 + WV_GATE_TEXT);
	bpf_probe_read_kernel(s->key.text, WV_GATE_TEXT, &s->path[at & (GATE_PATH_ROOM - 1)]);
	return gate_path_trusted(file, (struct task_struct *)task_at)
		       ? GATE_PATH_KNOWN | GATE_PATH_TRUSTED
		       : GATE_PATH_KNOWN;
}

static __always_inline void gate_path_done(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&gate_scratches, &tid);
}

GATE_GLOBAL int gate_inode_bits(__u32 list, __u32 dev, __u64 ino)
{
	struct wv_gate_inode_key key = {.list = list, .dev = dev, .ino = ino};
	__u32 *value = bpf_map_lookup_elem(&gate_inodes, &key);

	return value ? *value : 0;
}

/* path: what gate_path_make() returned. What has no name may be any that is denied. */
GATE_GLOBAL int gate_path_bits(__u32 list, __u32 flags, __u32 path)
{
	__u32 tid = bpf_get_current_pid_tgid(), *value;
	struct gate_scratch *s = bpf_map_lookup_elem(&gate_scratches, &tid);

	if (!(path & GATE_PATH_KNOWN) || !s)
		return flags & WV_GATE_HAS_DENY ? WV_GATE_DENY : 0;
	s->key.list = list;
	value = bpf_map_lookup_elem(&gate_texts, &s->key);
	if (!value)
		return 0;
	return path & GATE_PATH_TRUSTED ? *value : *value & WV_GATE_DENY;
}

/* name: address of what execve() was given, for want of a path */
GATE_GLOBAL int gate_tell_program(__u64 subject, __u64 cgroup, __u64 dev, __u64 ino, __u64 name)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct gate_scratch *s = bpf_map_lookup_elem(&gate_scratches, &tid);
	struct wv_event_gate *ev = gate_event(subject, cgroup);

	if (!ev)
		return 0;
	ev->dev = dev;
	ev->ino = ino;
	if (s && s->key.prefix_bits)
		bpf_probe_read_kernel(ev->text, sizeof(ev->text), s->key.text);
	else
		bpf_probe_read_kernel_str(ev->text, sizeof(ev->text), (const void *)name);
	wv_event_submit(ev);
	return 0;
}

/* Whether what the inode says is enough: the path can add a denial, or a permission that lacks. */
static __always_inline bool gate_wants_path(__u32 flags, __u32 bits)
{
	if (!gate_has_entries(flags) || (bits & WV_GATE_DENY))
		return false;
	return (flags & WV_GATE_HAS_DENY) || !(bits & WV_GATE_ALLOW);
}

/* -EPERM: the current task may not run what was opened for it; else 0. */
static __always_inline int gate_exec_verdict(struct linux_binprm *bprm)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct wv_gate_place_key key = {.kind = WV_GATED_EXEC};
	const char *name = BPF_CORE_READ(bprm, filename); /* a number */
	__u32 dev, op, path = 0;
	struct wv_gate_place *place;
	struct inode *inode;
	struct file *file;
	bool asked = false;
	int verdict = 0;
	__u64 ino;

	key.cgroup = gate_find(task, WV_GATED_EXEC);
	if (!key.cgroup)
		return 0;
	place = bpf_map_lookup_elem(&gate_places, &key);
	if (!place)
		return 0;
	file = WV_READ(bprm, file);
	inode = WV_READ(file, f_inode);
	ino = WV_READ(inode, i_ino);
	dev = WV_READ2(inode, i_sb, s_dev);
	op = BPF_CORE_READ(bprm, interp) == name ? WV_GATE_OP_NONE : WV_GATE_OP_SCRIPT;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;
		__u32 bits = 0;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (gate_has_entries(ref.flags)) {
			bits = gate_inode_bits(ref.list, dev, ino);
			if (gate_wants_path(ref.flags, bits)) {
				if (!asked)
					path = gate_path_make(gate_address(file),
							      gate_address(task));
				asked = true;
				bits |= gate_path_bits(ref.list, ref.flags, path);
			}
		}
		if (!gate_refuses(ref.flags, bits))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			verdict = -GATE_EPERM;
		/* the record is of no use without the path */
		if (!asked)
			path = gate_path_make(gate_address(file), gate_address(task));
		asked = true;
		gate_tell_program(gate_subject(&ref, WV_GATED_EXEC, op), key.cgroup, dev, ino,
				  (__u64)name);
	}
	if (asked)
		gate_path_done();
	return verdict;
}

#endif
