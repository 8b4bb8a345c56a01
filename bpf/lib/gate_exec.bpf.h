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

struct gate_program {
	struct wv_gate_inode_key inode;
	__u32 op;
	bool path_known, path_trusted;
	struct gate_scratch *scratch; /* NULL: no path was needed */
};

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

/* Takes room for a path and fills in the look-up key; NULL: no room. */
static __always_inline void gate_program_path(struct gate_program *p, struct file *file,
					      struct task_struct *task)
{
	__u32 tid = bpf_get_current_pid_tgid(), zero = 0, at;
	struct gate_scratch *blank = bpf_map_lookup_elem(&gate_blank, &zero);
	long err = -1;

	if (blank)
		err = bpf_map_update_elem(&gate_scratches, &tid, blank, BPF_ANY);
	if (!err)
		p->scratch = bpf_map_lookup_elem(&gate_scratches, &tid);
	if (!p->scratch) {
		wv_count_place(WV_PLACE_GATE_PATH, err);
		return;
	}
	at = gate_path_walk(file, p->scratch);
	if (!at) {
		wv_count_place(WV_PLACE_GATE_PATH, -36 /* ENAMETOOLONG */);
		return;
	}
	p->path_known = true;
	p->path_trusted = gate_path_trusted(file, task);
	p->scratch->key.prefix_bits = 8 * (4 + WV_GATE_TEXT);
	bpf_probe_read_kernel(p->scratch->key.text, WV_GATE_TEXT,
			      &p->scratch->path[at & (GATE_PATH_ROOM - 1)]);
}

static __always_inline void gate_program_done(struct gate_program *p)
{
	__u32 tid = bpf_get_current_pid_tgid();

	if (p->scratch)
		bpf_map_delete_elem(&gate_scratches, &tid);
}

static __always_inline __u32 gate_inode_bits(struct gate_program *p, const struct wv_gate_ref *ref)
{
	__u32 *value;

	p->inode.list = ref->list;
	value = bpf_map_lookup_elem(&gate_inodes, &p->inode);
	return value ? *value : 0;
}

static __always_inline __u32 gate_path_bits(struct gate_program *p, const struct wv_gate_ref *ref)
{
	__u32 *value;

	if (!p->path_known || !p->scratch)
		return ref->flags & WV_GATE_HAS_DENY ? WV_GATE_DENY : 0;
	p->scratch->key.list = ref->list;
	value = bpf_map_lookup_elem(&gate_texts, &p->scratch->key);
	if (!value)
		return 0;
	return p->path_trusted ? *value : *value & WV_GATE_DENY;
}

/* Whether what the inode says is enough: the path can add a denial, or a permission that lacks. */
static __always_inline bool gate_wants_path(__u32 flags, __u32 bits)
{
	if (!gate_has_entries(flags) || (bits & WV_GATE_DENY))
		return false;
	return (flags & WV_GATE_HAS_DENY) || !(bits & WV_GATE_ALLOW);
}

static __always_inline void gate_program_tell(struct gate_program *p, const struct wv_gate_ref *ref,
					      __u64 cgroup, const char *name)
{
	struct wv_event_gate *ev = gate_event(ref, WV_GATED_EXEC, cgroup);

	if (!ev)
		return;
	ev->op = p->op;
	ev->dev = p->inode.dev;
	ev->ino = p->inode.ino;
	if (p->path_known && p->scratch)
		bpf_probe_read_kernel(ev->text, sizeof(ev->text), p->scratch->key.text);
	else
		bpf_probe_read_kernel_str(ev->text, sizeof(ev->text), name);
	wv_event_submit(ev);
}

static __always_inline bool gate_program_refused(struct gate_program *p,
						 const struct wv_gate_place *place, __u64 cgroup,
						 const char *name)
{
	bool refused = false;

	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;
		__u32 bits = 0;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (gate_has_entries(ref.flags)) {
			bits = gate_inode_bits(p, &ref);
			if (gate_wants_path(ref.flags, bits))
				bits |= gate_path_bits(p, &ref);
		}
		if (!gate_refuses(ref.flags, bits))
			continue;
		if (ref.flags & WV_GATE_ENFORCE)
			refused = true;
		gate_program_tell(p, &ref, cgroup, name);
	}
	return refused;
}

/* Whether the current task may not run what was opened for it. */
static __always_inline bool gate_exec_refused(struct linux_binprm *bprm)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct wv_gate_place_key key = {.kind = WV_GATED_EXEC};
	struct gate_program p = {.op = WV_GATE_OP_NONE};
	const char *name = BPF_CORE_READ(bprm, filename);
	struct wv_gate_place *place;
	struct inode *inode;
	struct file *file;
	bool refused, path = false;

	key.cgroup = gate_find(task, WV_GATED_EXEC);
	if (!key.cgroup)
		return false;
	place = bpf_map_lookup_elem(&gate_places, &key);
	if (!place)
		return false;
	file = BPF_CORE_READ(bprm, file);
	inode = BPF_CORE_READ(file, f_inode);
	p.inode.ino = BPF_CORE_READ(inode, i_ino);
	p.inode.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	if (BPF_CORE_READ(bprm, interp) != name)
		p.op = WV_GATE_OP_SCRIPT;
	for (__u32 i = 0; i < WV_GATES_AT; i++) {
		struct wv_gate_ref ref;

		if (i >= place->n)
			break;
		ref = place->ref[i];
		if (!gate_has_entries(ref.flags) ||
		    !gate_wants_path(ref.flags, gate_inode_bits(&p, &ref)))
			continue;
		path = true;
		break;
	}
	if (path)
		gate_program_path(&p, file, task);
	refused = gate_program_refused(&p, place, key.cgroup, name);
	gate_program_done(&p);
	return refused;
}

#endif
