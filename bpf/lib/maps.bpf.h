/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps that all objects share. The first object creates them, the others get the same file
 * descriptors (user/core/bpf.c reuses a map by its name), and all of them are pinned.
 */
#ifndef WAVEOS_MAPS_BPF_H
#define WAVEOS_MAPS_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wv_ctl);
} wv_ctl SEC(".maps");

/* cgroup key -> slot; sized by user space to collect.max_cgroups */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} wv_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WV_PLACE_N);
	__type(key, __u32);
	__type(value, struct wv_place_count);
} wv_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WV_EV_N);
	__type(key, __u32);
	__type(value, struct wv_event_count);
} wv_event_counts SEC(".maps");

/* sized by user space to collect.event_ring */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} wv_events SEC(".maps");

/*
 * Declares a table: chunks of WV_CHUNK_SLOTS rows of `row_type`. User space sets the number of
 * chunks, the rows of a chunk (times the CPUs for a per-CPU table) and fills in chunks as slots are
 * used. Sizes, not types: clang leaves the type of a nested map's value incomplete in BTF.
 */
#define WV_TABLE(name, row_type)                                                                   \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__array(                                                                           \
			values, struct {                                                           \
				__uint(type, BPF_MAP_TYPE_ARRAY);                                  \
				__uint(max_entries, WV_CHUNK_SLOTS);                               \
				__uint(key_size, sizeof(__u32));                                   \
				__uint(value_size, sizeof(row_type));                              \
			});                                                                        \
	} name SEC(".maps")

#endif
