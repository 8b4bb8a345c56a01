// SPDX-License-Identifier: GPL-2.0-only
/* The witness against a log of its own making: what it cosigns, and what never. */
#include "tests/unit/tlog_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "user/evidence/witness.h"

static struct wv_hash leaves[64], other[64];
static struct wv_secret_key witness_key;
static struct wv_note_verifier logs[1], own;
static struct wv_witness witness;
static char state_path[600];

static int set_up(void **state)
{
	unsigned char text[2] = {0};

	setup(state);
	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
		text[0] = (unsigned char)i;
		wv_merkle_leaf(text, 1, &leaves[i]);
		wv_merkle_leaf(text, i < 10 ? 1 : 2, &other[i]);
	}
	memset(witness_key.seed, 9, sizeof(witness_key.seed));
	assert_int_equal(wv_key_derive(&witness_key), 0);
	assert_int_equal(
		wv_note_verifier_init(&logs[0], "test/log", WV_NOTE_ED25519, &key.public_key), 0);
	assert_int_equal(
		wv_note_verifier_init(&own, "w/1", WV_NOTE_COSIGNATURE_V1, &witness_key.public_key),
		0);
	snprintf(state_path, sizeof(state_path), "%s/witness", paths.state);
	assert_int_equal(wv_io_mkdirs(&wv_io_system, state_path, 0700), 0);
	witness = (struct wv_witness){.io = &faulty,
				      .dirfd = open(state_path, O_RDONLY | O_DIRECTORY),
				      .name = "w/1",
				      .key = &witness_key,
				      .logs = logs,
				      .n_logs = 1};
	assert_true(witness.dirfd >= 0);
	return 0;
}

static int tear_down(void **state)
{
	close(witness.dirfd);
	return teardown(state);
}

static int from_list(void *ctx, uint64_t first, size_t n, struct wv_hash *ret)
{
	memcpy(ret, (struct wv_hash *)ctx + first, n * sizeof(*ret));
	return 0;
}

static char *note_of(struct wv_hash *list, uint64_t size, const struct wv_secret_key *by,
		     const char *origin)
{
	struct wv_checkpoint c = {.size = size};
	_cleanup_free_ char *text = NULL;
	char *note;

	snprintf(c.origin, sizeof(c.origin), "%s", origin);
	assert_int_equal(wv_merkle_root_of(from_list, list, size, &c.root), 0);
	assert_int_equal(wv_checkpoint_text(&c, &text), 0);
	assert_int_equal(wv_note_sign(text, origin, by, &note), 0);
	return note;
}

static char *answer;

static int raw(const char *body)
{
	free(TAKE_PTR(answer));
	return wv_witness_add(&witness, body, strlen(body), &answer);
}

/* Sends the state of `size` records of a list, with a proof from `old`. */
static int send(struct wv_hash *list, uint64_t old, uint64_t size)
{
	_cleanup_free_ char *note = note_of(list, size, &key, "test/log"), *body = NULL;
	struct wv_hash proof[WV_PROOF_MAX];
	unsigned n = 0;

	if (old)
		assert_int_equal(wv_merkle_consistency(from_list, list, old, size, proof, &n), 0);
	assert_int_equal(wv_witness_request(old, proof, n, note, &body), 0);
	return raw(body);
}

static void witness_cosigns_a_log_that_grows(void **state _unused_)
{
	_cleanup_free_ char *note = note_of(leaves, 10, &key, "test/log"), *whole = NULL;
	uint64_t by = 0, time = 0;
	size_t len;

	fault.now = 1700000000ULL * 1000000000;
	assert_int_equal(send(leaves, 0, 10), 200);
	assert_true(asprintf(&whole, "%s%s", note, answer) > 0);
	assert_int_equal(wv_note_open(whole, strlen(whole), &own, 1, &by, &time, &len), 0);
	assert_int_equal(by, 1);
	assert_true(time >= 1700000000 && time < 1700000010);
	assert_int_equal(send(leaves, 10, 11), 200);
	/* the same again: it was lost on the way, perhaps */
	assert_int_equal(send(leaves, 11, 11), 200);
	assert_int_equal(send(leaves, 11, 60), 200);
}

static void witness_tells_what_it_saw(void **state _unused_)
{
	assert_int_equal(send(leaves, 0, 20), 200);
	assert_int_equal(send(leaves, 0, 30), 409);
	assert_string_equal(answer, "20\n");
	assert_int_equal(send(leaves, 10, 30), 409);
	/* put back: what is shorter is not cosigned again */
	assert_int_equal(send(leaves, 0, 10), 409);
	assert_int_equal(send(leaves, 10, 10), 409);
	assert_string_equal(answer, "20\n");
}

static void witness_never_cosigns_a_fork(void **state _unused_)
{
	assert_int_equal(send(leaves, 0, 20), 200);
	assert_int_equal(send(other, 20, 30), 422);
	assert_int_equal(send(other, 20, 20), 409);
	assert_null(strstr(answer, "w/1"));
	assert_int_equal(send(other, 0, 20), 409);
	/* and goes on with the one that it knows */
	assert_int_equal(send(leaves, 20, 30), 200);
}

static void witness_refuses_strangers(void **state _unused_)
{
	_cleanup_free_ char *stranger = NULL, *forged = NULL, *body = NULL, *forged_body = NULL;
	struct wv_secret_key other_key;

	assert_int_equal(wv_key_generate(&wv_io_system, &other_key), 0);
	stranger = note_of(leaves, 5, &other_key, "other/log");
	assert_int_equal(wv_witness_request(0, NULL, 0, stranger, &body), 0);
	assert_int_equal(raw(body), 404);
	forged = note_of(leaves, 5, &other_key, "test/log");
	assert_int_equal(wv_witness_request(0, NULL, 0, forged, &forged_body), 0);
	assert_int_equal(raw(forged_body), 403);
	assert_null(answer);
}

static void witness_refuses_what_is_no_request(void **state _unused_)
{
	_cleanup_free_ char *note = note_of(leaves, 5, &key, "test/log"), *long_proof = NULL;
	static const char *const heads[] = {"",
					    "old\n\n",
					    "old \n\n",
					    "old 00\n\n",
					    "old -1\n\n",
					    "old 1x\n\n",
					    "new 0\n\n",
					    "old 0\n",
					    "old 0\nnothash\n\n",
					    "old 18446744073709551616\n\n"};
	struct wv_hash proof[WV_PROOF_MAX] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		_cleanup_free_ char *body = NULL;

		assert_true(asprintf(&body, "%s%s", heads[i], note) > 0);
		if (raw(body) != 400)
			fail_msg("head %u", i);
	}
	assert_int_equal(wv_witness_request(1, proof, 64, note, &long_proof), 0);
	assert_int_equal(raw(long_proof), 400);
	free(TAKE_PTR(long_proof));
	/* more records than it says to be of */
	assert_int_equal(wv_witness_request(6, NULL, 0, note, &long_proof), 0);
	assert_int_equal(raw(long_proof), 400);
	/* the first one needs no proof, and may have none */
	free(TAKE_PTR(long_proof));
	assert_int_equal(wv_witness_request(0, proof, 1, note, &long_proof), 0);
	assert_int_equal(raw(long_proof), 422);
}

static void witness_whose_state_is_broken_does_not_cosign(void **state _unused_)
{
	char command[700];

	assert_int_equal(send(leaves, 0, 20), 200);
	snprintf(command, sizeof(command),
		 "for f in %s/*; do case $f in */lock) ;; *) echo x >>$f ;; esac; done",
		 state_path);
	assert_int_equal(system(command), 0);
	assert_int_equal(send(leaves, 20, 30), 500);
	assert_int_equal(send(leaves, 0, 30), 500);
	assert_null(answer);
}

/* Whatever call fails, a cosignature that left is remembered. */
static void witness_with_failing_io_forgets_nothing(void **state _unused_)
{
	unsigned failed = 0;
	uint64_t seen = 0;

	for (unsigned at = 0; at < 40; at++) {
		bool struck;
		uint64_t size = 10 + at;
		int status;

		fault = (struct fault){.mode = FAIL, .at = at, .span = 1, .error = EIO};
		status = send(leaves, seen, size);
		struck = fault.calls > at;
		fault = (struct fault){0};
		failed += struck;
		if (status == 200) {
			seen = size;
			continue;
		}
		assert_int_equal(status, 500);
		assert_null(answer);
		/* it may be on disk although the answer failed: then that counts */
		status = send(leaves, 0, size);
		if (status == 200)
			seen = size;
		else {
			assert_int_equal(status, 409);
			assert_true(strtoull(answer, NULL, 10) >= seen);
			seen = strtoull(answer, NULL, 10);
		}
	}
	/* every call of a request was struck once */
	assert_true(failed > 8 && failed < 40);
	assert_true(seen > 10);
}

/* The client talks to the witness without a wire in between. */
static int direct(void *ctx, const char *url, const char *body, char **ret)
{
	unsigned *calls = ctx;

	(void)url;
	(*calls)++;
	return wv_witness_add(&witness, body, strlen(body), ret);
}

static int submit(struct wv_hash *list, uint64_t size, struct wv_witness_answer *a)
{
	_cleanup_free_ char *note = note_of(list, size, &key, "test/log");
	struct wv_leaf_file f = {.fd = open(paths.state, O_TMPFILE | O_RDWR, 0600)};
	unsigned calls = 0;
	int r;

	assert_true(f.fd >= 0);
	assert_int_equal(write(f.fd, list, 64 * sizeof(*list)), 64 * sizeof(*list));
	r = wv_witness_submit(direct, &calls, "none", &own, &f, note, a);
	wv_leaf_file_close(&f);
	assert_true(calls >= 1 && calls <= 4);
	return r;
}

static void client_learns_where_the_witness_is(void **state _unused_)
{
	struct wv_witness_answer a = {0};

	assert_int_equal(submit(leaves, 20, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_COSIGNED);
	assert_int_equal(strncmp(a.line, "\xe2\x80\x94 w/1 ", 8), 0);
	free(a.line);
	assert_int_equal(submit(leaves, 33, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_COSIGNED);
	assert_int_equal(a.size, 20);
	free(a.line);
	assert_int_equal(submit(leaves, 33, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_COSIGNED);
	free(a.line);
}

static void client_tells_rollback_and_fork(void **state _unused_)
{
	struct wv_witness_answer a = {0};

	assert_int_equal(submit(leaves, 33, &a), 0);
	free(a.line);
	assert_int_equal(submit(leaves, 20, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_AHEAD);
	assert_int_equal(a.size, 33);
	assert_null(a.line);
	assert_int_equal(submit(other, 33, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_FORKED);
	assert_int_equal(submit(other, 40, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_FORKED);
	assert_null(a.line);
}

static void client_does_not_take_another_witness_for_it(void **state _unused_)
{
	struct wv_note_verifier right = own;
	struct wv_secret_key other_key;
	struct wv_witness_answer a = {0};

	assert_int_equal(wv_key_generate(&wv_io_system, &other_key), 0);
	assert_int_equal(
		wv_note_verifier_init(&own, "w/1", WV_NOTE_COSIGNATURE_V1, &other_key.public_key),
		0);
	assert_int_equal(submit(leaves, 20, &a), 0);
	assert_int_equal(a.verdict, WV_WITNESS_REFUSED);
	assert_null(a.line);
	own = right;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(witness_cosigns_a_log_that_grows),
		TEST(witness_tells_what_it_saw),
		TEST(witness_never_cosigns_a_fork),
		TEST(witness_refuses_strangers),
		TEST(witness_refuses_what_is_no_request),
		TEST(witness_whose_state_is_broken_does_not_cosign),
		TEST(witness_with_failing_io_forgets_nothing),
		TEST(client_learns_where_the_witness_is),
		TEST(client_tells_rollback_and_fork),
		TEST(client_does_not_take_another_witness_for_it),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(answer);
	return r;
}
