// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists of gates as entries of the kernel's maps. Verdicts are taken the way the programs take
 * them: the most specific entry only, once with the port and once without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/core/cleanup.h"
#include "user/core/host.h"
#include "user/enforce/gate.h"
#include "user/enforce/gate_compile.h"
#include "user/enforce/gate_object.h"

static struct wv_gate gate(int kind, const char *const *allow, const char *const *deny)
{
	struct wv_gate g = {
		.kind = kind,
		.enforce = true,
		.allow.list = (char **)(uintptr_t)allow,
		.deny.list = (char **)(uintptr_t)deny,
	};

	while (allow && allow[g.allow.n])
		g.allow.n++;
	while (deny && deny[g.deny.n])
		g.deny.n++;
	return g;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void compile(struct wv_gate g, struct wv_gate_entries *ret)
{
	char why[200] = "";
	int r = wv_gate_compile(&g, NULL, ret, why, sizeof(why));

	if (r < 0)
		fail_msg("%s", why);
}

/* As bpf/lib/gate.bpf.h. */
static bool refuses(uint32_t flags, uint32_t bits)
{
	if ((flags & WV_GATE_DENY_ALL) || (bits & WV_GATE_DENY))
		return true;
	return (flags & WV_GATE_HAS_ALLOW) && !(flags & WV_GATE_ALLOW_ALL) &&
	       !(bits & WV_GATE_ALLOW);
}

static bool covers(const uint8_t *prefix, const uint8_t *what, unsigned bits)
{
	for (unsigned i = 0; i < bits; i++)
		if ((prefix[i / 8] ^ what[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

/* What an LPM trie answers. */
static uint32_t lpm_address(const struct wv_gate_entries *e, uint16_t family,
			    const uint8_t *address, uint16_t port)
{
	uint32_t best = 0, value = 0;

	for (size_t i = 0; i < e->n_addresses; i++) {
		const struct wv_gate_address_key *k = &e->addresses[i].key;

		if (k->family == family && k->port == port && k->prefix_bits > best &&
		    covers(k->address, address, k->prefix_bits - WV_GATE_ADDRESS_BITS)) {
			best = k->prefix_bits;
			value = e->addresses[i].value;
		}
	}
	return value;
}

static bool denied(const struct wv_gate_entries *e, const char *text, uint16_t port)
{
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
	uint16_t family = inet_pton(AF_INET, text, address + 12) == 1 ? 4 : 6;
	uint32_t bits = 0;

	if (family == 6)
		assert_int_equal(inet_pton(AF_INET6, text, address), 1);
	if (port && (e->flags & WV_GATE_HAS_PORTS))
		bits = lpm_address(e, family, address, port);
	bits |= lpm_address(e, family, address, 0);
	return refuses(e->flags, bits);
}

static void connect_allow_list_denies_the_rest(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_CONNECT, LIST("10.0.0.0/8:443", "10.1.0.0/16:80", "192.0.2.7"), NULL),
		&e);
	assert_false(denied(&e, "10.1.2.3", 443)); /* the longer prefix is of another port */
	assert_false(denied(&e, "10.1.2.3", 80));
	assert_true(denied(&e, "10.2.2.3", 80));
	assert_true(denied(&e, "10.2.2.3", 22));
	assert_false(denied(&e, "192.0.2.7", 1));
	assert_true(denied(&e, "192.0.2.8", 1));
	assert_true(denied(&e, "2001:db8::1", 443));
	wv_gate_entries_done(&e);
}

static void connect_deny_wins_whatever_is_more_specific(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_CONNECT, LIST("10.1.2.3", "10.1.2.4:443"), LIST("10.1.0.0/16:443")),
		&e);
	assert_true(denied(&e, "10.1.2.3", 443)); /* allowed at any port, by a longer prefix */
	assert_false(denied(&e, "10.1.2.3", 80));
	assert_true(denied(&e, "10.1.2.4", 443));
	assert_true(denied(&e, "10.1.2.4", 80));
	wv_gate_entries_done(&e);
}

static void connect_deny_of_a_subnet_inside_an_allowed_one(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_CONNECT, LIST("0.0.0.0/0", "[2001:db8::]/32:53"),
		     LIST("169.254.0.0/16")),
		&e);
	assert_false(denied(&e, "8.8.8.8", 53));
	assert_true(denied(&e, "169.254.169.254", 80));
	assert_false(denied(&e, "2001:db8::1", 53));
	assert_true(denied(&e, "2001:db8::1", 54));
	assert_true(denied(&e, "::1", 53)); /* 0.0.0.0/0 is IPv4 */
	wv_gate_entries_done(&e);
}

static void connect_ipv6_does_not_take_in_ipv4(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_CONNECT, LIST("::/0"), NULL), &e);
	assert_false(denied(&e, "2001:db8::1", 53));
	assert_true(denied(&e, "192.0.2.1", 53));
	wv_gate_entries_done(&e);
	compile(gate(WV_GATE_CONNECT, LIST("*:53"), NULL), &e);
	assert_false(denied(&e, "2001:db8::1", 53));
	assert_false(denied(&e, "192.0.2.1", 53));
	assert_true(denied(&e, "192.0.2.1", 54));
	wv_gate_entries_done(&e);
}

static void connect_deny_only_allows_the_rest(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_CONNECT, NULL, LIST("192.0.2.0/25", "192.0.2.200:25")), &e);
	assert_true(denied(&e, "192.0.2.127", 1));
	assert_false(denied(&e, "192.0.2.128", 1));
	assert_true(denied(&e, "192.0.2.200", 25));
	assert_false(denied(&e, "192.0.2.200", 26));
	wv_gate_entries_done(&e);
}

static void bind_wildcard_takes_in_what_is_denied(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_BIND, LIST("0.0.0.0/0", "::/0"), LIST("10.0.0.1:80", "[fd00::]/8:81")),
		&e);
	assert_true(denied(&e, "0.0.0.0", 80));
	assert_true(denied(&e, "::", 80)); /* a dual-stack socket */
	assert_false(denied(&e, "0.0.0.0", 81));
	assert_true(denied(&e, "::", 81));
	assert_false(denied(&e, "0.0.0.0", 82));
	assert_false(denied(&e, "10.0.0.2", 80));
	wv_gate_entries_done(&e);
}

static void all_is_a_flag(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_MOUNT, NULL, LIST("*")), &e);
	assert_true(refuses(e.flags, 0));
	compile(gate(WV_GATE_MOUNT, LIST("*"), NULL), &e);
	assert_false(refuses(e.flags, 0));
	compile(gate(WV_GATE_CONNECT, LIST("*"), LIST("10.0.0.0/8")), &e);
	assert_true(denied(&e, "10.0.0.1", 1));
	assert_false(denied(&e, "11.0.0.1", 1));
	wv_gate_entries_done(&e);
}

static uint32_t lpm_text(const struct wv_gate_entries *e, const char *text)
{
	char padded[WV_GATE_TEXT] = "";
	uint32_t best = 0, value = 0;

	memcpy(padded, text, strlen(text));
	for (size_t i = 0; i < e->n_texts; i++) {
		const struct wv_gate_text_key *k = &e->texts[i].key;

		if (k->prefix_bits > best && memcmp(k->text, padded, k->prefix_bits / 8 - 4) == 0) {
			best = k->prefix_bits;
			value = e->texts[i].value;
		}
	}
	return value;
}

static bool text_denied(const struct wv_gate_entries *e, const char *text)
{
	return refuses(e->flags, lpm_text(e, text));
}

static void exec_whole_paths_and_trees(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_EXEC, LIST("/usr/bin/python", "/opt/app/*"),
		     LIST("/opt/app/tools/*", "/opt/app/sh")),
		&e);
	assert_false(text_denied(&e, "/usr/bin/python"));
	assert_true(text_denied(&e, "/usr/bin/python3"));
	assert_true(text_denied(&e, "/usr/bin/pytho"));
	assert_false(text_denied(&e, "/opt/app/bin/x"));
	assert_true(text_denied(&e, "/opt/apps"));
	assert_true(text_denied(&e, "/opt/app/tools/x"));
	assert_true(text_denied(&e, "/opt/app/sh"));
	assert_false(text_denied(&e, "/opt/app/shell"));
	assert_int_equal(e.n_programs, 2);
	wv_gate_entries_done(&e);
}

static char *resolve(const char *path)
{
	if (strcmp(path, "/bin/sh") == 0)
		return strdup("/usr/bin/dash");
	return strcmp(path, "/bin/") == 0 ? strdup("/usr/bin") : NULL;
}

static void exec_links_are_listed_with_what_they_lead_to(void **state)
{
	struct wv_gate g = gate(WV_GATE_EXEC, NULL, LIST("/bin/sh", "/bin/*"));
	struct wv_gate_entries e;
	char why[100];

	(void)state;
	assert_int_equal(wv_gate_compile(&g, resolve, &e, why, sizeof(why)), 0);
	assert_true(text_denied(&e, "/usr/bin/dash"));
	assert_true(text_denied(&e, "/usr/bin/env"));
	assert_true(text_denied(&e, "/bin/env"));
	assert_false(text_denied(&e, "/usr/sbin/env"));
	wv_gate_entries_done(&e);
}

static void sysctl_names_are_the_kernels(void **state)
{
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_SYSCTL,
		     LIST("net.ipv4.ip_forward", "kernel.*", "net.ipv4.conf.eth0/7.rp_filter"),
		     NULL),
		&e);
	assert_false(text_denied(&e, "net/ipv4/ip_forward"));
	assert_true(text_denied(&e, "net/ipv4/ip_forward_use_pmtu"));
	assert_false(text_denied(&e, "kernel/panic"));
	assert_false(text_denied(&e, "net/ipv4/conf/eth0.7/rp_filter"));
	assert_true(text_denied(&e, "vm/swappiness"));
	wv_gate_entries_done(&e);
}

/* As gate_device_bits(). */
static bool device_denied(const struct wv_gate_entries *e, uint32_t type, uint32_t major,
			  uint32_t minor, uint32_t access)
{
	uint32_t masks = 0, bits;

	for (size_t i = 0; i < e->n_devices; i++) {
		const struct wv_gate_device_key *k = &e->devices[i].key;

		if (k->type == type && (k->major == major || k->major == WV_GATE_ANY) &&
		    (k->minor == minor || k->minor == WV_GATE_ANY))
			masks |= e->devices[i].value;
	}
	bits = masks >> 8 & access ? WV_GATE_DENY : 0;
	bits |= (masks & access) == access ? WV_GATE_ALLOW : 0;
	return refuses(e->flags, bits);
}

static void device_accesses_add_up(void **state)
{
	enum { BLOCK = 1, CHARACTER = 2, MAKE = 1, READ = 2, WRITE = 4 };
	struct wv_gate_entries e;

	(void)state;
	compile(gate(WV_GATE_DEVICE, LIST("c 1:3 r", "c 1:* w", "b 8:* r", "c *:9 rwm"),
		     LIST("a 7:0 m")),
		&e);
	assert_false(device_denied(&e, CHARACTER, 1, 3, READ | WRITE));
	assert_true(device_denied(&e, CHARACTER, 1, 5, READ | WRITE));
	assert_false(device_denied(&e, CHARACTER, 1, 5, WRITE));
	assert_false(device_denied(&e, BLOCK, 8, 1, READ));
	assert_true(device_denied(&e, BLOCK, 8, 1, WRITE));
	assert_true(device_denied(&e, CHARACTER, 8, 1, READ));
	assert_false(device_denied(&e, CHARACTER, 200, 9, MAKE));
	assert_true(device_denied(&e, BLOCK, 7, 0, MAKE));
	wv_gate_entries_done(&e);
	compile(gate(WV_GATE_DEVICE, LIST("a"), NULL), &e);
	assert_false(device_denied(&e, BLOCK, 1, 1, READ | WRITE | MAKE));
	wv_gate_entries_done(&e);
}

static void bad_entries_are_refused_with_why(void **state)
{
	static const struct {
		int kind;
		const char *entry;
	} bad[] = {
		{WV_GATE_CONNECT, "10.0.0.0/33"},
		{WV_GATE_CONNECT, "10.0.0.0/8:0"},
		{WV_GATE_CONNECT, "10.0.0.0/8:65536"},
		{WV_GATE_CONNECT, "example.org"},
		{WV_GATE_CONNECT, "[::1"},
		{WV_GATE_CONNECT, "[::1]x"},
		{WV_GATE_CONNECT, ""},
		{WV_GATE_BIND, "::1/129"},
		{WV_GATE_CONNECT, "::ffff:1.2.3.4"},
		{WV_GATE_CONNECT, "*/8"},
		{WV_GATE_EXEC, "bin/sh"},
		{WV_GATE_EXEC, "/bin/../sh"},
		{WV_GATE_EXEC, "/bin//sh"},
		{WV_GATE_EXEC, "/bin/"},
		{WV_GATE_EXEC, "/bin/*sh"},
		{WV_GATE_EXEC, ""},
		{WV_GATE_DEVICE, "c 1:3"},
		{WV_GATE_DEVICE, "d 1:3 r"},
		{WV_GATE_DEVICE, "c 1:3 rr"},
		{WV_GATE_DEVICE, "c 1 r"},
		{WV_GATE_DEVICE, "c x:3 r"},
		{WV_GATE_DEVICE, "c 1:3 "},
		{WV_GATE_DEVICE, "c"},
		{WV_GATE_SYSCTL, ".a"},
		{WV_GATE_SYSCTL, "a*b"},
		{WV_GATE_MOUNT, "/mnt"},
		{WV_GATE_MODULE, "dummy"},
		{WV_GATE_SYSCTL, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct wv_gate g = gate(bad[i].kind, LIST(bad[i].entry), NULL);
		struct wv_gate_entries e;
		char why[160] = "";

		if (wv_gate_compile(&g, NULL, &e, why, sizeof(why)) != -EINVAL || !why[0])
			fail_msg("'%s' was taken", bad[i].entry);
	}
}

static void digest_tells_lists_apart_not_their_order_in_time(void **state)
{
	struct wv_gate_entries a, b, c;
	struct wv_gate audit = gate(WV_GATE_CONNECT, LIST("10.0.0.0/8"), NULL);

	(void)state;
	compile(gate(WV_GATE_CONNECT, LIST("10.0.0.0/8"), NULL), &a);
	compile(gate(WV_GATE_CONNECT, NULL, LIST("10.0.0.0/8")), &b);
	audit.enforce = false;
	compile(audit, &c);
	assert_memory_not_equal(a.digest, b.digest, sizeof(a.digest));
	assert_memory_equal(a.digest, c.digest, sizeof(a.digest));
	assert_true(a.flags & WV_GATE_ENFORCE);
	assert_false(c.flags & WV_GATE_ENFORCE);
	wv_gate_entries_done(&a);
	wv_gate_entries_done(&b);
	wv_gate_entries_done(&c);
}

static void object_texts(void **state)
{
	struct wv_event_gate ev = {.kind = WV_GATED_CONNECT, .v = {4, 6, 443}};
	char text[WV_GATE_OBJECT_MAX];

	(void)state;
	inet_pton(AF_INET6, "::ffff:10.0.0.1", ev.address);
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_string_equal(text, "tcp 10.0.0.1:443");
	inet_pton(AF_INET6, "fd00::1", ev.address);
	ev.v[1] = 17;
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_string_equal(text, "udp [fd00::1]:443");
	ev = (struct wv_event_gate){.kind = WV_GATED_DEVICE, .v = {2, 1, 3, 6}};
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_string_equal(text, "c 1:3 rw");
	ev = (struct wv_event_gate){.kind = WV_GATED_SYSCTL, .text = "net/ipv4/conf/eth0.7/x"};
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_string_equal(text, "net.ipv4.conf.eth0/7.x");
	ev = (struct wv_event_gate){
		.kind = WV_GATED_PRIORITY, .op = WV_GATE_OP_NICE, .v = {(uint32_t)-5, 0}};
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_string_equal(text, "nice -5, cap 0");
	ev = (struct wv_event_gate){.kind = WV_GATED_EXEC};
	memset(ev.text, 'x', sizeof(ev.text)); /* no NUL in it */
	wv_gate_object_text(&ev, text, sizeof(text));
	assert_int_equal(strlen(text), sizeof(ev.text));
}

static void check_claims_what_the_machine_has_only(void **state)
{
	struct wv_host host = {.bpf_syscall = true,
			       .lsm = -EOPNOTSUPP,
			       .flavour = WV_FLAVOUR_BTF,
			       .cgroup2 = "/sys/fs/cgroup",
			       .lsms = "lockdown,yama"};
	struct wv_gate mount = gate(WV_GATE_MOUNT, NULL, LIST("*"));
	struct wv_gate run = gate(WV_GATE_EXEC, LIST("/bin/true"), NULL);
	struct wv_gate net = gate(WV_GATE_CONNECT, NULL, LIST("10.0.0.0/8"));
	struct wv_priority open = {.fail = WV_FAIL_OPEN}, closed = {.fail = WV_FAIL_CLOSED};
	char by[64], why[160];

	(void)state;
#define CHECK(g) wv_gate_check(&host, NULL, g, by, sizeof(by), why, sizeof(why))
#define CHECK_PRIORITY(p) wv_priority_check(&host, NULL, p, by, sizeof(by), why, sizeof(why))
	assert_int_equal(CHECK(&mount), -EOPNOTSUPP);
	assert_non_null(strstr(why, "lockdown,yama"));
	assert_int_equal(CHECK(&run), 0);
	assert_non_null(strstr(by, "SIGKILL"));
	assert_non_null(strstr(why, "interpreter"));
	assert_int_equal(CHECK(&net), 0);
	assert_string_equal(why, "");
	assert_int_equal(CHECK_PRIORITY(&open), 0);
	assert_non_null(strstr(by, "correction"));
	assert_int_equal(CHECK_PRIORITY(&closed), -EOPNOTSUPP);
	host.lsm = 0;
	assert_int_equal(CHECK(&mount), 0);
	assert_int_equal(CHECK(&run), 0);
	assert_string_equal(by, "LSM bprm_check_security");
	assert_int_equal(CHECK_PRIORITY(&closed), 0);
	host.cgroup2[0] = '\0';
	assert_int_equal(CHECK(&net), -EOPNOTSUPP);
	host.lsm = -EOPNOTSUPP;
	host.flavour = WV_FLAVOUR_NONE;
	assert_int_equal(CHECK(&run), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect_allow_list_denies_the_rest),
		cmocka_unit_test(connect_deny_wins_whatever_is_more_specific),
		cmocka_unit_test(connect_deny_of_a_subnet_inside_an_allowed_one),
		cmocka_unit_test(connect_ipv6_does_not_take_in_ipv4),
		cmocka_unit_test(connect_deny_only_allows_the_rest),
		cmocka_unit_test(bind_wildcard_takes_in_what_is_denied),
		cmocka_unit_test(all_is_a_flag),
		cmocka_unit_test(exec_whole_paths_and_trees),
		cmocka_unit_test(exec_links_are_listed_with_what_they_lead_to),
		cmocka_unit_test(sysctl_names_are_the_kernels),
		cmocka_unit_test(device_accesses_add_up),
		cmocka_unit_test(bad_entries_are_refused_with_why),
		cmocka_unit_test(digest_tells_lists_apart_not_their_order_in_time),
		cmocka_unit_test(object_texts),
		cmocka_unit_test(check_claims_what_the_machine_has_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
