/* SPDX-License-Identifier: Apache-2.0 */
/* Two files that become visible together: snapshot/publish.c. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "snapshot/codec.h"
#include "snapshot/state_file.h"
#include "tests/unit/publish_world.h"

/* -------------------------------------------------------------------- tests */

static void a_snapshot_is_found(void **state)
{
	unsigned before = testing_count_fds();
	struct stat st;
	struct err e;

	(void)state;
	assert_ok(write_snapshot(memory_path, 1, true, &e), e);
	assert_int_equal(which(memory_path), 1);
	assert_false(exists(next(state_path)) || exists(next(memory_path)));
	assert_int_equal(stat(memory_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(testing_count_fds(), before);
}

static void a_snapshot_can_be_state_alone(void **state)
{
	struct err e;

	(void)state;
	assert_ok(write_snapshot(NULL, 1, true, &e), e);
	assert_ok(write_snapshot(NULL, 2, false, &e), e);
	assert_int_equal(which(NULL), 2);
	assert_false(exists(next(state_path)));
}

/* What must be on the disk before what. */
static void it_is_synced_in_this_order(void **state)
{
	struct err e;
	char order[512], *dir = strrchr(folder, '/') + 1;

	(void)state;
	assert_ok(write_snapshot(memory_path, 1, true, &e), e);
	snprintf(order, sizeof(order),
		 "fsync memory.next;fsync state.next;open64 ;fsync %s;"
		 "rename memory.next;open64 ;fsync %s;"
		 "rename state.next;open64 ;fsync %s;",
		 dir, dir, dir);
	assert_string_equal(strstr(trace, "fsync"), order);
	assert_ok(write_snapshot(memory_path, 2, false, &e), e);
	assert_null(strstr(trace, "fsync"));
}

static void who_dies_at_any_step_leaves_old_or_new(void **state)
{
	bool was_new = false;
	struct err e;

	for (int at = 1;; at++) {
		bool lived;
		int n;

		empty_folder(state);
		assert_ok(write_snapshot(memory_path, 1, false, &e), e);
		lived = killed_at(at, memory_path, 2);
		n = which(memory_path);
		/* Never back to the old one. */
		assert_in_range(n, was_new ? 2 : 1, 2);
		was_new = n == 2;
		/* And the next one is not in the way of what was left. */
		assert_ok(write_snapshot(memory_path, 3, false, &e), e);
		assert_int_equal(which(memory_path), 3);
		assert_false(exists(next(state_path)) ||
			     exists(next(memory_path)));
		if (lived)
			break;
	}
	assert_true(was_new);
}

/* The first one there is: nothing, or it. */
static void who_dies_at_any_step_of_the_first_leaves_none_or_it(void **state)
{
	bool lived = false;

	for (int at = 1; !lived; at++) {
		int n;

		empty_folder(state);
		lived = killed_at(at, memory_path, 2);
		n = which(memory_path);
		assert_true(n == 2 || (n == -1 && !lived));
	}
}

/* Leftovers hold the only state that belongs to the memory that is there. */
static void who_dies_after_one_who_died_leaves_a_whole_one(void **state)
{
	int between = 0;
	struct err e;

	/* Find the place: new memory, old state. */
	do {
		empty_folder(state);
		assert_ok(write_snapshot(memory_path, 1, false, &e), e);
		assert_false(killed_at(++between, memory_path, 2));
	} while (which(memory_path) != 2);
	assert_true(exists(next(state_path)));

	for (int at = 1;; at++) {
		empty_folder(state);
		assert_ok(write_snapshot(memory_path, 1, false, &e), e);
		killed_at(between, memory_path, 2);
		if (killed_at(at, memory_path, 3))
			break;
		assert_in_range(which(memory_path), 2, 3);
	}
	assert_int_equal(which(memory_path), 3);
}

static void who_fails_at_any_step_leaves_old_or_new(void **state)
{
	unsigned before = testing_count_fds();
	int failures = 0;
	struct err e;

	for (int at = 1;; at++) {
		int r;

		empty_folder(state);
		assert_ok(write_snapshot(memory_path, 1, false, &e), e);
		fail_at = at;
		r = write_snapshot(memory_path, 2, true, &e);
		fail_at = 0;
		assert_int_equal(testing_count_fds(), before);
		assert_in_range(which(memory_path), 1, 2);
		if (!r)
			assert_int_equal(which(memory_path), 2);
		failures += r != 0;
		assert_ok(write_snapshot(memory_path, 3, false, &e), e);
		if (calls < at && !r)
			break;
	}
	assert_true(failures > 10);
}

static void abandoning_leaves_the_old_one_alone(void **state)
{
	struct publish p;
	struct err e;

	(void)state;
	assert_ok(write_snapshot(memory_path, 1, true, &e), e);
	assert_ok(publish_begin(&p, state_path, memory_path, &e), e);
	assert_int_equal(fill(&p, 2, &e), 0);
	publish_abandon(&p);
	publish_abandon(&p);
	assert_int_equal(which(memory_path), 1);
	assert_false(exists(next(state_path)) || exists(next(memory_path)));
}

static void two_writers_do_not_mix(void **state)
{
	struct publish p, other;
	struct err e;

	(void)state;
	assert_ok(publish_begin(&p, state_path, memory_path, &e), e);
	assert_err(publish_begin(&other, state_path, memory_path, &e), e,
		   "another snapshot is being written there");
	/* Not even if only the memory is the same. */
	assert_err(publish_begin(&other, "/tmp/stasis-publish-other",
				 memory_path, &e),
		   e, "another snapshot is being written there");
	assert_false(exists("/tmp/stasis-publish-other.next"));
	assert_int_equal(fill(&p, 1, &e), 0);
	assert_ok(publish_commit(&p, true, &e), e);
	assert_int_equal(which(memory_path), 1);
}

/* What the memory was mapped from stays what it was. */
static void who_has_the_old_one_open_keeps_it(void **state)
{
	struct published p;
	uint8_t byte = 0;
	struct err e;

	(void)state;
	assert_ok(write_snapshot(memory_path, 1, true, &e), e);
	assert_ok(publish_open(&p, state_path, memory_path, &e), e);
	assert_ok(write_snapshot(memory_path, 2, true, &e), e);
	assert_int_equal(io_pread(p.memory_fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 1);
	publish_close(&p);
}

static void files_of_different_snapshots_are_refused(void **state)
{
	char other[160];
	struct published p;
	struct err e;

	(void)state;
	assert_ok(write_snapshot(memory_path, 1, true, &e), e);
	snprintf(other, sizeof(other), "%s.other", memory_path);
	assert_int_equal(rename(memory_path, other), 0);
	assert_ok(write_snapshot(memory_path, 2, true, &e), e);
	assert_err(publish_open(&p, state_path, other, &e), e,
		   "do not belong together");
	assert_null(p.body);
	assert_int_equal(p.memory_fd, -1);
	/* Memory too short to have an identity. */
	assert_int_equal(truncate(memory_path, ID_AT + 8), 0);
	assert_err(publish_open(&p, state_path, memory_path, &e), e,
		   "do not belong together");
}

static void an_absurd_place_of_the_identity_is_refused(void **state)
{
	struct snapshot_id id = {.offset = UINT64_MAX - 3};
	AUTO_CLOSE int fd =
		open(state_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	AUTO_CLOSE int memory =
		open(memory_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct published p;
	struct snap s;
	size_t len;
	struct err e;

	(void)state;
	snap_save(&s, 1);
	snapshot_id_state(&id, &s);
	state_file_save(fd, snap_data(&s, &len), 36, &e);
	snap_fini(&s);
	assert_err(publish_open(&p, state_path, memory_path, &e), e,
		   "do not belong together");
}

static void what_is_missing_is_named(void **state)
{
	struct published p;
	struct err e;

	(void)state;
	assert_err(publish_open(&p, state_path, NULL, &e), e,
		   "/state: No such");
	assert_ok(write_snapshot(NULL, 1, true, &e), e);
	assert_err(publish_open(&p, state_path, memory_path, &e), e,
		   "/memory: No such");
}

static void a_state_without_identity_is_refused(void **state)
{
	AUTO_CLOSE int fd =
		open(state_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct published p;
	struct err e;

	(void)state;
	assert_ok(state_file_save(fd, "no section", 10, &e), e);
	assert_err(publish_open(&p, state_path, NULL, &e), e,
		   "/state: snapshot: a section is not the expected one");
}

static void names_that_cannot_work_are_refused(void **state)
{
	char far[PATH_MAX + 10];
	struct publish p;
	struct err e;

	(void)state;
	memset(far, 'a', sizeof(far));
	far[PATH_MAX - 6] = '\0';
	assert_err(publish_begin(&p, far, NULL, &e), e, "1 to 4089 bytes");
	assert_err(publish_begin(&p, "", NULL, &e), e, "1 to 4089 bytes");
	assert_err(publish_begin(&p, state_path, state_path, &e), e,
		   "cannot be state and memory");
	assert_err(publish_begin(&p, "x.next", NULL, &e), e, "not complete");
	assert_err(publish_begin(&p, folder, NULL, &e), e, "is no file");
	assert_err(publish_begin(&p, state_path, "/dev/null", &e), e,
		   "is no file");
	assert_err(publish_begin(&p, "/nonexistent/s", NULL, &e), e,
		   "cannot create /nonexistent/s.next: No such");
	assert_false(exists(next(state_path)));
}

/* Two spellings of one name. */
static void state_and_memory_are_two_files(void **state)
{
	char spelled[128];
	struct publish p;
	struct err e;

	(void)state;
	snprintf(spelled, sizeof(spelled), "%s/./state", folder);
	assert_err(publish_begin(&p, state_path, spelled, &e), e,
		   "another snapshot is being written there");
	assert_false(exists(next(state_path)));
}

/* Somebody else's link must not lead us elsewhere. */
static void a_link_in_the_way_is_not_followed(void **state)
{
	char victim[128];
	struct publish p;
	struct err e;

	(void)state;
	snprintf(victim, sizeof(victim), "%s/victim", folder);
	assert_int_equal(symlink(victim, next(state_path)), 0);
	assert_err(publish_begin(&p, state_path, NULL, &e), e, "cannot open");
	assert_false(exists(victim));
}

int main(void)
{
	static const struct log_config quiet = {.level = LOG_OFF, .fd = 2};
	static const struct CMUnitTest tests[] = {
		in_folder(a_snapshot_is_found),
		in_folder(a_snapshot_can_be_state_alone),
		in_folder(it_is_synced_in_this_order),
		in_folder(who_dies_at_any_step_leaves_old_or_new),
		in_folder(who_dies_at_any_step_of_the_first_leaves_none_or_it),
		in_folder(who_dies_after_one_who_died_leaves_a_whole_one),
		in_folder(who_fails_at_any_step_leaves_old_or_new),
		in_folder(abandoning_leaves_the_old_one_alone),
		in_folder(two_writers_do_not_mix),
		in_folder(who_has_the_old_one_open_keeps_it),
		in_folder(files_of_different_snapshots_are_refused),
		in_folder(an_absurd_place_of_the_identity_is_refused),
		in_folder(what_is_missing_is_named),
		in_folder(a_state_without_identity_is_refused),
		in_folder(names_that_cannot_work_are_refused),
		in_folder(state_and_memory_are_two_files),
		in_folder(a_link_in_the_way_is_not_followed),
	};

	log_configure(&quiet);
	return RUN_TESTS("publish", tests);
}
