/* The data files of an export are a queue of lanes: the same contract for every store. */
#include "tests/unit/checkpoint/store_exports.h"

/* What it knows of is not told again; where it holds others, all is. */
static void a_claim_tells_what_is_new(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 6), first;
	/* Two, and two more; the same again, its reply was lost; none; one more; and one more where
	 * it believes in more than there is. */
	static const struct {
		struct store_files_wanted wanted;
		size_t told, from;
	} steps[] = { { { 2, 0 }, 2, 0 }, { { 4, 2 }, 2, 2 }, { { 4, 2 }, 4, 0 },
		      { { 4, 4 }, 0, 0 }, { { 5, 4 }, 1, 4 }, { { 8, 7 }, 6, 0 } };

	struct files_seen all = files_of(w, id);

	first = all.files[0].lane;
	files_release(&all);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct files_seen seen = { 0 };

		assert_ok(store_files_claim(w->s, SESSION_A, id, &w->sink, 1, &steps[i].wanted,
					    T + 6, saw_file, saw_position, &seen, err));
		assert_int_equal(seen.count, steps[i].told);
		assert_int_equal(seen.position_count, steps[i].told);
		for (size_t k = 0; k < seen.count; k++)
			assert_int_equal(seen.files[k].lane, first + (int64_t)(steps[i].from + k));
		files_release(&seen);
	}
	assert_int_equal(export_of(w->s, id).e.files_held, 6);
}

/* A roll was stored while the claim was on its way. */
static void what_ended_meanwhile_is_not_made_up_for(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 6), lane = 0;
	const struct store_files_wanted wanted = { .max = 4, .known = 3 };
	struct files_seen seen = { 0 };

	assert_int_equal(claims(w, SESSION_A, id, 3, &lane), 3);
	save_file(w, SESSION_A, 1, lane, "", "", 1);
	save_file(w, SESSION_A, 2, lane + 1, "", "", 1);
	assert_ok(store_files_claim(w->s, SESSION_A, id, &w->sink, 1, &wanted, T + 6, saw_file,
				    saw_position, &seen, err));
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.files[1].lane, lane + 3);
	files_release(&seen);
}

static void files_are_claimed_once_all_are_there(void **state)
{
	struct world *w = *state;
	struct store_file one = { .name = "one more", .location = "x", .checksum = "" };
	int64_t id = exported(w, 3);
	struct files_seen seen;

	assert_int_equal(claims(w, SESSION_A, id, 9, NULL), 0);
	assert_done(true, store_files_add, w->s, SESSION_A, id, &one, 1);
	assert_kind(ERROR_INVALID,
		    store_export_load(w->s, SESSION_A, id, T + 5, (bool[]){ false }, err));
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_EXPORTED);
	/* A manifest that is no good: what was added goes with the attempt. */
	assert_done(true, store_export_failed, w->s, SESSION_A, id, 1, "3 of 4", T + 9, T + 5);
	seen = files_of(w, id);
	assert_int_equal(seen.count, 0);
	files_release(&seen);
	assert_done(false, store_files_add, w->s, SESSION_A, id, &one, 1);
	assert_done(false, store_export_load, w->s, SESSION_A, id, T + 5);
}

static void a_claim_holds_so_many(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 5), first = 0, other = 0;
	struct files_seen seen;

	assert_done(true, store_files_add, w->s, SESSION_A, id, NULL, 0); /* late, or again */
	assert_done(true, store_export_load, w->s, SESSION_A, id, T + 5);
	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	seen = claim(w, SESSION_A, id, 2, T + 6);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.position_count, 2);
	assert_string_equal(seen.files[0].name, "00000000000000000000000000.json.gz");
	assert_int_equal(seen.files[1].items, 1);
	assert_int_equal(seen.files[0].status, STORE_FILE_IN_PROGRESS);
	assert_int_equal(seen.files[0].attempts, 1);
	assert_int_equal(seen.files[0].started_ms, T + 6);
	assert_string_equal(seen.files[0].owner, SESSION_A);
	assert_int_equal(seen.positions[1].lane, seen.files[1].lane);
	assert_true(sequence_is_none(&seen.positions[1].sequence));
	first = seen.files[0].lane;
	files_release(&seen);
	assert_int_equal(claims(w, SESSION_A, id, 2, &other), 2); /* its reply was lost */
	assert_int_equal(other, first);
	assert_int_equal(claims(w, SESSION_A, id, 0, &other), 2);
	assert_int_equal(claims(w, SESSION_B, id, 9, &other), 3);
	assert_int_equal(other, first + 2);
	assert_int_equal(export_of(w->s, id).e.files_held, 5);
	assert_ok(store_lanes_release(w->s, SESSION_A, &first, 1, err));
	assert_int_equal(file_at(w, id, first).status, STORE_FILE_PENDING);
	assert_int_equal(claims(w, SESSION_A, id, 1, &other), 1);
	assert_int_equal(other, first + 1);
	seen = files_of(w, id);
	assert_int_equal(seen.count, 5);
	assert_string_equal(seen.files[4].name, "00000000000000000000000004.json.gz");
	assert_string_equal(seen.worker, "worker-b");
	files_release(&seen);
}

struct text_seen {
	char location[64], checksum[16];
};

static void saw_text(void *arg, const struct store_file *f)
{
	struct text_seen *t = arg;

	snprintf(t->location, sizeof(t->location), "%s", f->location);
	snprintf(t->checksum, sizeof(t->checksum), "%s", f->checksum);
}

static void a_files_text_comes_back_as_it_was(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 1);
	struct text_seen text;

	assert_ok(store_files(w->s, id, saw_text, &text, err));
	assert_string_equal(text.location, "data/a \"b\\c,{}.json.gz");
	assert_string_equal(text.checksum, "md5==");
}

static void a_dead_sessions_files_go_on_where_they_stood(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2), lane = 0;
	struct files_seen seen;
	struct store_file f;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	save_file(w, SESSION_A, 1, lane, "", "12345", 7);
	f = file_at(w, id, lane);
	assert_int_equal(f.records, 7);
	assert_int_equal(f.bytes, 700);
	assert_int_equal(f.updated_ms, T + 1000);
	assert_int_equal(export_of(w->s, id).e.records, 7);
	bury_a(w);
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_PENDING);
	seen = claim(w, SESSION_B, id, 1, T + 9);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.files[0].lane, lane);
	assert_int_equal(seen.files[0].attempts, 2);
	assert_int_equal(seen.files[0].retries, 0);
	assert_int_equal(seen.files[0].started_ms, T + 6);
	assert_int_equal(
		sequence_compare(&seen.positions[0].sequence, (struct sequence[]){ seq("12345") }),
		0);
	files_release(&seen);
}

static void the_last_file_completes_the_export_once(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2), first = 0;
	struct export_seen seen;
	struct store_file f;

	assert_int_equal(claims(w, SESSION_A, id, 9, &first), 2);
	save_file(w, SESSION_A, 1, first, "", "", 60);
	f = file_at(w, id, first);
	assert_int_equal(f.status, STORE_FILE_COMPLETED);
	assert_int_equal(f.records, 60);
	assert_int_equal(f.ended_ms, T + 1000);
	assert_string_equal(f.owner, "");
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_LOADING);
	save_file(w, SESSION_A, 2, first + 1, "", "9", 20);
	assert_int_equal(export_of(w->s, id).e.records, 80);
	save_file(w, SESSION_A, 3, first + 1, "9", "", 40);
	seen = export_of(w->s, id);
	assert_int_equal(seen.e.status, STORE_EXPORT_COMPLETE);
	assert_int_equal(seen.e.finished_ms, T + 3000);
	assert_int_equal(seen.e.files_done, 2);
	assert_int_equal(seen.e.files_held, 0);
	assert_int_equal(seen.e.records, 100);
	assert_int_equal(seen.e.bytes, 10000);
	assert_int_equal(claims(w, SESSION_A, id, 9, NULL), 0);
}

static void assert_position(const struct files_seen *seen, size_t i, const char *wanted)
{
	struct sequence at = seq(wanted);

	assert_true(i < seen->position_count);
	assert_int_equal(sequence_compare(&seen->positions[i].sequence, &at), 0);
	assert_false(seen->positions[i].done);
}

static void a_file_that_is_not_believed_begins_anew(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 1), lane = 0;
	struct files_seen seen;

	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	save_file(w, SESSION_A, 1, lane, "", "1000", 40);
	assert_ok(store_file_failed(w->s, SESSION_A, lane, "slow", T + 6, false, T + 7, err));
	seen = claim(w, SESSION_A, id, 1, T + 8);
	assert_position(&seen, 0, "1000");
	assert_int_equal(seen.files[0].records, 40);
	files_release(&seen);
	for (int twice = 0; twice < 2; twice++)
		assert_ok(store_file_failed(w->s, SESSION_A, lane, "md5", T + 8, true, T + 9, err));
	seen = claim(w, SESSION_A, id, 1, T + 10);
	assert_position(&seen, 0, "");
	assert_int_equal(seen.files[0].records, 0);
	assert_int_equal(seen.files[0].bytes, 0);
	files_release(&seen);
}

static void a_failed_file_is_tried_again_alone(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2), lane = 0, got = 0;
	struct files_seen seen;
	uint32_t retried;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	assert_kind(ERROR_FENCED,
		    store_file_failed(w->s, SESSION_B, lane, "md5", T + 60, false, T + 7, err));
	for (int twice = 0; twice < 2; twice++)
		assert_ok(
			store_file_failed(w->s, SESSION_A, lane, "md5", T + 60, false, T + 7, err));
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_PENDING);
	assert_int_equal(file_at(w, id, lane).retries, 1);
	assert_int_equal(claims(w, SESSION_A, id, 1, &got), 1); /* the next one: it is too early */
	assert_int_equal(got, lane + 1);
	seen = claim(w, SESSION_B, id, 1, T + 60);
	assert_int_equal(seen.files[0].lane, lane);
	assert_string_equal(seen.error, "md5");
	files_release(&seen);

	for (int twice = 0; twice < 2; twice++)
		assert_ok(store_file_failed(w->s, SESSION_B, lane, "md5 again", 0, false, T + 61,
					    err));
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_FAILED);
	assert_int_equal(export_of(w->s, id).e.files_failed, 1);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_LOADING);
	seen = claim(w, SESSION_B, id, 9, T + 999);
	assert_int_equal(seen.count, 0);
	save_file(w, SESSION_A, 1, lane + 1, "", "", 40);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_FAILED);
	assert_int_equal(export_of(w->s, id).e.finished_ms, 0);

	assert_ok(store_export_retry(w->s, id, lane + 1, T + 70, &retried, err));
	assert_int_equal(retried, 0); /* it is done */
	assert_ok(store_export_retry(w->s, id, lane, T + 70, &retried, err));
	assert_int_equal(retried, 1);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_LOADING);
	assert_int_equal(file_at(w, id, lane).retries, 0);
	assert_int_equal(claims(w, SESSION_A, id, 1, &got), 1);
	assert_int_equal(got, lane);
	save_file(w, SESSION_A, 2, lane, "", "", 60);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_COMPLETE);
	assert_int_equal(export_of(w->s, id).e.files_failed, 0);
	assert_int_equal(export_of(w->s, id).e.records, 100);
}

static void a_person_does_not_wait_for_the_next_attempt(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 3), lane = 0;
	uint32_t retried;

	assert_int_equal(claims(w, SESSION_A, id, 2, &lane), 2);
	assert_ok(store_file_failed(w->s, SESSION_A, lane, "slow", T + 600, false, T + 7, err));
	assert_ok(store_file_failed(w->s, SESSION_A, lane + 1, "bad", 0, false, T + 7, err));
	assert_ok(store_export_retry(w->s, id, 0, T + 8, &retried, err));
	assert_int_equal(retried, 2);
	assert_int_equal(claims(w, SESSION_A, id, 9, NULL), 3);
}

static void an_abandoned_export_ends_with_those_who_hold_it(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2), lane = 0;
	uint32_t retried;

	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	for (int twice = 0; twice < 2; twice++)
		assert_done(true, store_export_abandon, w->s, id, "a new baseline", T + 9);
	assert_int_equal(claims(w, SESSION_A, id, 9, NULL), 1);
	assert_int_equal(export_of(w->s, id).e.files_held, 1);
	save_file(w, SESSION_A, 1, lane, "", "", 1);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_ABANDONED);
	assert_int_equal(export_of(w->s, id).e.files_held, 0);
	assert_ok(store_export_retry(w->s, id, 0, T + 10, &retried, err));
	assert_int_equal(retried, 0);
	assert_int_equal(
		exports_of(w->s, (struct store_exports_of){ .open = true, .max = 9 }).count, 0);
}

static void another_set_of_sinks_waits_for_the_stored_one(void **state)
{
	struct world *w = *state;
	int32_t both[2] = { w->sink, w->other };
	int64_t id = loading(w, 3), lane = 0;
	struct files_seen seen;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	seen = claim_with(w, SESSION_A, id, both, 2, 2, T + 6);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.position_count, 4);
	lane = seen.files[0].lane;
	files_release(&seen);
	save_file(w, SESSION_A, 1, lane, "", "", 5); /* in one of the two */
	save_file(w, SESSION_A, 2, lane + 1, "", "77", 5);
	assert_int_equal(claims(w, SESSION_B, id, 9, NULL), 0);
	bury_a(w);
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_PENDING);
	seen = claim(w, SESSION_B, id, 0, T + 9); /* only looks: the set stays */
	assert_int_equal(seen.count, 0);
	files_release(&seen);
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_PENDING);
	/* Nobody holds any: the set is the claim's, and what it has done already is done. */
	seen = claim(w, SESSION_B, id, 9, T + 9);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.files[0].lane, lane + 1);
	files_release(&seen);
	assert_int_equal(file_at(w, id, lane).status, STORE_FILE_COMPLETED);
	assert_int_equal(export_of(w->s, id).e.files_done, 1);
	save_file(w, SESSION_B, 1, lane + 1, "77", "", 9);
	save_file(w, SESSION_B, 2, lane + 2, "", "", 9);
	assert_int_equal(status_of(w->s, id), STORE_EXPORT_COMPLETE);
}

/* --- the audit --- */
struct audit {
	char text[2000];
	char session[STORE_ID_SIZE]; /* of the last one, as the rest */
	int64_t began_ms, ended_ms;
};

static void saw_attempt(void *arg, const struct store_attempt *a)
{
	struct audit *audit = arg;
	size_t used = strlen(audit->text);

	snprintf(audit->text + used, sizeof(audit->text) - used, "%s %u %s %s%s%s%s%s; ",
		 a->lane ? "file" : "export", a->number, a->worker, a->token, *a->arn ? " " : "",
		 a->arn, *a->how ? a->how : "open", a->error);
	memcpy(audit->session, a->session, sizeof(audit->session));
	audit->began_ms = a->began_ms;
	audit->ended_ms = a->ended_ms;
}

static void assert_last(const struct audit *audit, const char *session, int64_t began_ms,
			int64_t ended_ms)
{
	assert_string_equal(audit->session, session);
	assert_int_equal(audit->began_ms, began_ms);
	assert_int_equal(audit->ended_ms, ended_ms);
}

static void attempts_are_kept(void **state)
{
	struct world *w = *state;
	struct audit audit = { 0 };
	int64_t id = loading(w, 1), lane = 0;
	struct files_seen seen;

	assert_ok(store_session_begin(w->s, SESSION_B, "worker-b", "", 10000, err));
	assert_int_equal(claims(w, SESSION_A, id, 1, &lane), 1);
	assert_ok(store_file_failed(w->s, SESSION_A, lane, ": md5", T + 7, false, T + 7, err));
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_last(&audit, SESSION_A, T + 6, T + 7);
	seen = claim(w, SESSION_A, id, 1, T + 8);
	assert_int_equal(seen.count, 1);
	files_release(&seen);
	save_file(w, SESSION_A, 1, lane, "", "77", 1);
	bury_a(w);
	/* Nobody has it, and it is known who had it and since when. */
	audit.text[0] = 0;
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_string_equal(audit.text, "export 1 worker-a one arn:1done; "
					"file 1 worker-a failed: md5; file 2 worker-a open; ");
	assert_last(&audit, SESSION_A, T + 8, 0);
	seen = claim(w, SESSION_B, id, 1, T + 9);
	assert_int_equal(seen.count, 1);
	files_release(&seen);
	audit.text[0] = 0;
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_string_equal(audit.text,
			    "export 1 worker-a one arn:1done; file 1 worker-a failed: md5; "
			    "file 2 worker-a lost; file 3 worker-b open; ");
	assert_last(&audit, SESSION_B, T + 9, 0);
	save_file(w, SESSION_B, 1, lane, "77", "", 1);
	audit.text[0] = 0;
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_non_null(strstr(audit.text, "file 2 worker-a lost; file 3 worker-b done; "));
	assert_last(&audit, SESSION_B, T + 9, T + 1000);
}

/* --- what else there is --- */
static void count_stream(void *arg, const char *name, const char *arn, const struct store_stream *s)
{
	(void)arn;
	(void)s;
	assert_string_equal(name, "orders");
	++*(size_t *)arg;
}

static void round_stream(void *arg, const struct store_round_stream *r)
{
	assert_int_equal(r->held, 3);
	++*(size_t *)arg;
}

static void round_member(void *arg, const struct store_round_member *m)
{
	(void)arg;
	assert_int_equal(m->held, 3);
}

static void streams_of_files_are_nobodys(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2);
	struct store_round_fns fns = { round_stream, round_member, NULL };
	size_t streams = 0, rounds = 0;

	assert_ok(store_join(w->s, SESSION_A, w->stream, 0, &w->sink, 1, err));
	assert_int_equal(claims(w, SESSION_A, id, 2, NULL), 2);
	assert_ok(store_streams(w->s, count_stream, &streams, err));
	assert_int_equal(streams, 1);
	assert_ok(store_round(w->s, SESSION_A, &fns, &rounds, err));
	assert_int_equal(rounds, 1);
}

static void what_is_over_is_tidied_but_for_the_last(void **state)
{
	struct world *w = *state;
	int64_t id = loading(w, 2), first = 0;
	struct store_export next = window(STORE_EXPORT_FULL, 0, T + MINUTE);
	struct store_exported what = { .manifest = "m" };
	struct files_seen seen;
	struct audit audit = { 0 };
	uint32_t removed;

	claims(w, SESSION_A, id, 9, &first);
	save_file(w, SESSION_A, 1, first, "", "", 1);
	assert_ok(store_exports_tidy(w->s, T + 10000, &removed, err));
	assert_int_equal(removed, 0);
	save_file(w, SESSION_A, 2, first + 1, "", "", 1);
	assert_ok(store_exports_tidy(w->s, T + 2000, &removed, err));
	assert_int_equal(removed, 0);
	assert_ok(store_exports_tidy(w->s, T + 2001, &removed, err));
	assert_int_equal(removed, 2);
	seen = files_of(w, id);
	assert_int_equal(seen.count, 0);
	assert_int_equal(export_of(w->s, id).e.records, 2);
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_null(strstr(audit.text, "file"));
	assert_non_null(strstr(audit.text, "export 1"));

	begin_as(w, SESSION_A, &next, T + 20);
	attempt_as(w, SESSION_A, next.id, 1, "two", 1, "two");
	assert_done(true, store_export_submitted, w->s, SESSION_A, next.id, 1, "arn:2", T + 3);
	assert_done(true, store_export_exported, w->s, SESSION_A, next.id, 1, &what, T + 4);
	assert_done(true, store_export_load, w->s, SESSION_A, next.id, T + 9000);
	assert_ok(store_exports_tidy(w->s, T + 2001, &removed, err));
	assert_int_equal(exports_of(w->s, (struct store_exports_of){ .max = 9 }).count, 1);
	assert_int_equal(status_of(w->s, next.id), STORE_EXPORT_COMPLETE);
	audit.text[0] = 0;
	assert_ok(store_attempts(w->s, id, saw_attempt, &audit, err));
	assert_string_equal(audit.text, "");
}

static void a_reader_sees_exports(void **state)
{
	struct world *w = *state;
	struct files_seen seen = { 0 };
	struct audit audit = { 0 };
	struct store *reader;
	int64_t id;

	if (strcmp(store_url, "sqlite::memory:") == 0)
		return; /* nobody else can look into it */
	id = loading(w, 2);
	reader = opened_reader(store_url);
	assert_int_equal(status_of(reader, id), STORE_EXPORT_LOADING);
	assert_ok(store_files(reader, id, saw_file, &seen, err));
	assert_int_equal(seen.count, 2);
	assert_ok(store_attempts(reader, id, saw_attempt, &audit, err));
	files_release(&seen);
	store_close(reader);
}

static void ten_thousand_files_are_a_queue(void **state)
{
	enum { COUNT = 10000, EACH = 100 };
	struct world *w = *state;
	int64_t id = loading(w, COUNT), first = 0;
	struct store_move *moves = memory_array(EACH, sizeof(*moves));
	struct files_seen seen;

	for (uint64_t turn = 1; turn <= 20; turn++) {
		struct store_save save = save_of(SESSION_A, turn, moves, EACH);

		assert_int_equal(claims(w, SESSION_A, id, EACH, &first), EACH);
		for (int i = 0; i < EACH; i++)
			moves[i] = (struct store_move){ .lane = first + i,
							.sink = w->sink,
							.done = true };
		assert_ok(store_save(w->s, &save, err));
	}
	assert_int_equal(export_of(w->s, id).e.files_done, 20 * EACH);
	assert_int_equal(claims(w, SESSION_A, id, UINT32_MAX, NULL), STORE_FILES_MAX);
	seen = files_of(w, id);
	assert_int_equal(seen.count, COUNT);
	files_release(&seen);
	free(moves);
}

static int run(const char *name)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, world_up, world_down)
	const struct CMUnitTest tests[] = {
		TEST(files_are_claimed_once_all_are_there),
		TEST(a_claim_holds_so_many),
		TEST(a_claim_tells_what_is_new),
		TEST(what_ended_meanwhile_is_not_made_up_for),
		TEST(a_files_text_comes_back_as_it_was),
		TEST(a_dead_sessions_files_go_on_where_they_stood),
		TEST(the_last_file_completes_the_export_once),
		TEST(a_file_that_is_not_believed_begins_anew),
		TEST(a_failed_file_is_tried_again_alone),
		TEST(a_person_does_not_wait_for_the_next_attempt),
		TEST(an_abandoned_export_ends_with_those_who_hold_it),
		TEST(another_set_of_sinks_waits_for_the_stored_one),
		TEST(attempts_are_kept),
		TEST(streams_of_files_are_nobodys),
		TEST(what_is_over_is_tidied_but_for_the_last),
		TEST(a_reader_sees_exports),
		TEST(ten_thousand_files_are_a_queue),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return every_store(run);
}
