// SPDX-License-Identifier: GPL-2.0-only
/* Rounds of the anchor worker against a witness and a TPM of the test, by a clock of its own. */
#include "tests/unit/tlog_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "user/evidence/anchor.h"
#include "user/evidence/event.h"

static struct wv_io io;
static uint64_t now_ns;
static struct wv_secret_key witness_key;
static struct wv_note_verifier logs[1];
static struct wv_witness witness;
static struct wv_witness_urls urls;
static struct wv_anchor anchor;
static unsigned posts, quotes;
static int post_error, quote_error;
static struct wv_tlog *tlog;
static char state_path[600];

static uint64_t clock_ns(void *ctx)
{
	(void)ctx;
	return now_ns;
}

/* without a wire in between */
static int direct(void *ctx, const char *url, const char *body, char **ret)
{
	(void)ctx;
	(void)url;
	posts++;
	return post_error ? post_error : wv_witness_add(&witness, body, strlen(body), ret);
}

static int quote(void *ctx, const struct wv_hash *digest, struct wv_tpm_quote *ret)
{
	(void)ctx;
	quotes++;
	if (quote_error)
		return quote_error;
	*ret = (struct wv_tpm_quote){.message_len = WV_HASH_SIZE, .signature_len = 1};
	memcpy(ret->message, digest, WV_HASH_SIZE);
	ret->key_pem = strdup("key");
	return ret->key_pem ? 0 : -ENOMEM;
}

static void grow(unsigned n)
{
	while (n--)
		assert_int_equal(wv_event(tlog, &wv_io_system, "", "note", NULL, true, NULL), 0);
	assert_int_equal(wv_tlog_checkpoint(tlog), 0);
}

static int set_up(void **state)
{
	setup(state);
	options.key = &key;
	memset(witness_key.seed, 9, sizeof(witness_key.seed));
	assert_int_equal(wv_key_derive(&witness_key), 0);
	assert_int_equal(
		wv_note_verifier_init(&logs[0], "test/log", WV_NOTE_ED25519, &key.public_key), 0);
	urls.n = 1;
	snprintf(urls.list[0].url, sizeof(urls.list[0].url), "http://w");
	assert_int_equal(wv_note_verifier_init(&urls.list[0].key, "w/1", WV_NOTE_COSIGNATURE_V1,
					       &witness_key.public_key),
			 0);
	snprintf(state_path, sizeof(state_path), "%s/witness", paths.state);
	assert_int_equal(wv_io_mkdirs(&wv_io_system, state_path, 0700), 0);
	witness = (struct wv_witness){.io = &wv_io_system,
				      .dirfd = open(state_path, O_RDONLY | O_DIRECTORY),
				      .name = "w/1",
				      .key = &witness_key,
				      .logs = logs,
				      .n_logs = 1};
	assert_true(witness.dirfd >= 0);
	io = wv_io_system;
	io.mono_ns = clock_ns;
	now_ns = 1000000000000ULL;
	posts = quotes = 0;
	post_error = quote_error = 0;
	anchor = (struct wv_anchor){.io = &io,
				    .state = paths.state,
				    .run_id = "run",
				    .every_ns = 600000000000ULL,
				    .witnesses = &urls,
				    .post = direct};
	assert_int_equal(wv_tlog_open(&tlog, &wv_io_system, paths.state, &options, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	wv_anchor_done(&anchor);
	wv_tlog_close(tlog);
	close(witness.dirfd);
	return teardown(state);
}

/* A round; the clock then goes on to the next one. */
static uint64_t turn(void)
{
	uint64_t wait = 0;

	assert_int_equal(wv_anchor_round(&anchor, &wait), 0);
	now_ns += wait;
	return wait;
}

static unsigned count(const char *type)
{
	struct wv_tlog_reader *r;
	char want[64];
	const char *line;
	unsigned n = 0;
	uint64_t seq;
	size_t len;

	snprintf(want, sizeof(want), "\"type\":\"%s\"", type);
	assert_int_equal(wv_tlog_read_open(&r, &wv_io_system, paths.state, 0), 0);
	while (wv_tlog_read(r, &seq, &line, &len) > 0)
		n += strstr(line, want) != NULL;
	wv_tlog_read_close(r);
	return n;
}

static void round_without_news_asks_nobody(void **state)
{
	uint64_t wait;

	(void)state;
	turn(); /* no checkpoint yet */
	assert_int_equal(posts, 0);
	grow(3);
	wait = turn();
	assert_int_equal(posts, 1);
	assert_in_range(wait, 540000000000ULL, 660000000000ULL);
	turn();
	turn();
	assert_int_equal(posts, 1);
	grow(1);
	turn();
	assert_true(posts > 1);
	assert_int_equal(count("witness-lost"), 0);
}

static void failure_is_recorded_when_it_begins_and_ends(void **state)
{
	uint64_t last = 0, wait;

	(void)state;
	grow(2);
	post_error = -EHOSTUNREACH;
	for (unsigned i = 0; i < 6; i++) {
		wait = turn();
		/* doubling, from its half to its whole */
		assert_true(wait <= 5000000000ULL << i && wait >= 2500000000ULL << i);
		assert_true(wait >= last / 2);
		last = wait;
	}
	assert_int_equal(posts, 6);
	assert_int_equal(count("witness-lost"), 1);
	post_error = 0;
	turn();
	assert_int_equal(count("witness-back"), 1);
	assert_int_equal(count("witness-lost"), 1);
}

static void cosignature_is_kept_beside_the_checkpoint(void **state)
{
	_cleanup_free_ char *note = NULL;
	char path[700];
	uint64_t by = 0;
	size_t len, text_len;

	(void)state;
	grow(2);
	turn();
	snprintf(path, sizeof(path), "%s/log/" WV_WITNESSED_NAME, paths.state);
	assert_int_equal(wv_io_read_file(&wv_io_system, AT_FDCWD, path, WV_NOTE_MAX, &note, &len),
			 0);
	assert_int_equal(wv_note_open(note, len, &urls.list[0].key, 1, &by, NULL, &text_len), 0);
	assert_int_equal(by, 1);
}

static void fork_is_one_record_and_asked_again(void **state)
{
	struct wv_checkpoint c = {.origin = "test/log", .size = 1};
	_cleanup_free_ char *text = NULL, *note = NULL, *request = NULL, *answer = NULL;

	(void)state;
	/* what the witness saw first */
	memset(c.root.bytes, 1, sizeof(c.root.bytes));
	assert_int_equal(wv_checkpoint_text(&c, &text), 0);
	assert_int_equal(wv_note_sign(text, "test/log", &key, &note), 0);
	assert_int_equal(wv_witness_request(0, NULL, 0, note, &request), 0);
	assert_int_equal(wv_witness_add(&witness, request, strlen(request), &answer), 200);
	grow(4);
	turn();
	assert_int_equal(count("witness-conflict"), 1);
	posts = 0;
	turn();
	assert_true(posts > 0);
	assert_int_equal(count("witness-conflict"), 1);
	assert_int_equal(count("witness-lost"), 0);
}

static void anchor_of_the_tpm_is_no_news_for_it(void **state)
{
	(void)state;
	urls.n = 0;
	anchor.quote = quote;
	grow(2);
	turn();
	assert_int_equal(quotes, 1);
	assert_int_equal(count("checkpoint-anchored"), 1);
	/* a checkpoint over the record of the anchor and nothing else */
	assert_int_equal(wv_tlog_checkpoint(tlog), 0);
	turn();
	turn();
	assert_int_equal(quotes, 1);
	grow(1);
	turn();
	assert_int_equal(quotes, 2);
	quote_error = -EIO;
	grow(1);
	turn();
	turn();
	assert_int_equal(quotes, 4);
	assert_int_equal(count("witness-lost"), 1);
}

static void cancelled_round_ends_at_once(void **state)
{
	uint64_t wait;

	(void)state;
	anchor.quote = quote;
	post_error = -ECANCELED;
	grow(1);
	assert_int_equal(wv_anchor_round(&anchor, &wait), -ECANCELED);
	assert_int_equal(quotes, 0);
	assert_int_equal(count("witness-lost"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(round_without_news_asks_nobody),
		TEST(failure_is_recorded_when_it_begins_and_ends),
		TEST(cosignature_is_kept_beside_the_checkpoint),
		TEST(fork_is_one_record_and_asked_again),
		TEST(anchor_of_the_tpm_is_no_news_for_it),
		TEST(cancelled_round_ends_at_once),
	};

	return cmocka_run_group_tests_name("anchor", tests, NULL, NULL);
}
