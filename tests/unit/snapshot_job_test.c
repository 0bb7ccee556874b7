/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes a snapshot (vmm/instance/snapshot_job.c): what a diff
 * may go over, and that the main thread does not wait for the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "snapshot/publish.h"
#include "snapshot/state_file.h"
#include "tests/unit/snapshot_job_world.h"
#include "tests/unit/testing.h"

/* --------------------------------------------------- what a diff goes over */

static void write_file(const char *path, uint64_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
}

static void assert_refused(const char *part)
{
	struct snapshot_job *job = job_start(true, true);

	assert_int_equal(job_end(job), -1);
	assert_contains(job_world.e.text, part);
	assert_contains(job_world.e.text, job_world.memory);
	assert_false(job_file_exists("state"));
	assert_false(job_file_exists("state.next"));
	assert_false(job_file_exists("memory.next"));
	assert_int_equal(atomic_load(&job_world.bad_closes), 0);
}

static void a_base_of_another_size_is_refused_with_both_sizes(void **state)
{
	struct stat st;

	(void)state;
	write_file(job_world.memory, 4096);
	assert_refused("it has 4096 bytes, and the guest's RAM 16777216");
	assert_contains(job_world.e.text, "give another name, or remove it");
	assert_int_equal(stat(job_world.memory, &st), 0);
	assert_int_equal(st.st_size, 4096);
}

static void a_base_of_another_snapshot_is_refused(void **state)
{
	(void)state;
	job_write_base(8);
	assert_refused("the diff was not made for this base");
}

static void a_base_that_cannot_be_read_is_refused(void **state)
{
	bool root = !geteuid();

	(void)state;
	job_write_base(JOB_BASE);
	assert_int_equal(chmod(job_world.memory, 0), 0);
	if (root) {
		assert_int_equal(chmod(job_world.folder, 0777), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_refused("Permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
}

static void what_is_no_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir(job_world.memory, 0700), 0);
	assert_refused("is no file");
	assert_int_equal(rmdir(job_world.memory), 0);
	assert_int_equal(mkfifo(job_world.memory, 0600), 0);
	assert_refused("a diff cannot be sent to a pipe or socket");
}

static void over_its_base_a_diff_is_the_whole_memory(void **state)
{
	(void)state;
	job_write_base(JOB_BASE);
	job_dirty(3 << 20, 9);
	assert_int_equal(job_end(job_start(true, true)), 0);
	assert_int_equal(job_byte_at(3 << 20), 9);
	assert_int_equal(job_byte_at(5 << 20), JOB_FILL);
	assert_int_equal(atomic_load(&job_world.bad_closes), 0);
}

static void assert_sparse(void)
{
	struct stat st;

	job_dirty(3 << 20, 9);
	assert_int_equal(job_end(job_start(true, true)), 0);
	assert_int_equal(job_byte_at(3 << 20), 9);
	assert_int_equal(stat(job_world.memory, &st), 0);
	assert_int_equal(st.st_size, JOB_RAM);
	assert_true(st.st_blocks * 512 < JOB_RAM / 4);
}

static void over_nothing_a_diff_is_sparse(void **state)
{
	(void)state;
	assert_sparse();
}

/* A launcher prepared its owner and mode. */
static void over_an_empty_file_a_diff_is_sparse(void **state)
{
	(void)state;
	write_file(job_world.memory, 0);
	assert_sparse();
}

/* ------------------------------------------------------------ nobody waits */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The guest is resumed while the thread is stuck in @call. */
static void resume_while_stuck_in(enum job_call call, bool diff)
{
	struct snapshot_job *job;
	uint64_t began;

	job_get_stuck_in(call);
	job = job_start(diff, true);
	job_wait_until_stuck();
	began = now_ms();
	snapshot_job_let_go(job);
	assert_true(now_ms() - began < 200);
	job_get_unstuck();
	assert_int_equal(job_end(job), -1);
	assert_contains(job_world.e.text, "was cancelled");
	assert_false(job_file_exists("state.next"));
	assert_false(job_file_exists("memory.next"));
}

static void to_resume_does_not_wait_for_the_copy_of_the_base(void **state)
{
	(void)state;
	job_write_base(JOB_BASE);
	resume_while_stuck_in(JOB_PREAD, true);
	/* Nor was it copied to its end. */
	assert_true(atomic_load(&job_world.calls[JOB_PREAD]) < 6);
	assert_int_equal(job_byte_at(5 << 20), JOB_FILL);
}

static void to_resume_does_not_wait_for_a_write(void **state)
{
	(void)state;
	job_dirty(3 << 20, 9);
	resume_while_stuck_in(JOB_PWRITE, false);
	assert_false(job_file_exists("memory"));
}

static void what_was_read_is_published_though_the_guest_goes_on(void **state)
{
	struct snapshot_job *job;

	(void)state;
	job_get_stuck_in(JOB_FSYNC);
	job = job_start(false, true);
	job_wait_until_stuck();
	snapshot_job_let_go(job);
	job_get_unstuck();
	assert_int_equal(job_end(job), 0);
	assert_true(job_file_exists("memory") && job_file_exists("state"));
}

static uint64_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Files that are filled in place: until the memory is on the disk, the state is
 * the old one, which does not match it. */
static void the_state_is_written_last(void **state)
{
	AUTO_CLOSE int state_fd = testing_file("old", 3);
	AUTO_CLOSE int memory_fd = testing_file("", 0);
	struct snapshot_job *job;
	char path[2][64];

	(void)state;
	snprintf(path[0], sizeof(path[0]), "%s", testing_file_path(state_fd));
	snprintf(path[1], sizeof(path[1]), "%s", testing_file_path(memory_fd));
	job_state_path = path[0];
	job_memory_path = path[1];
	job_dirty(3 << 20, 9);
	job_get_stuck_in(JOB_SYNC_RANGE);
	job = job_start(false, true);
	job_wait_until_stuck();
	assert_int_equal(size_of(memory_fd), JOB_RAM);
	assert_int_equal(size_of(state_fd), 3);
	job_get_unstuck();
	assert_int_equal(job_end(job), 0);
	assert_true(size_of(state_fd) > 3);
}

static void the_end_cancels_what_waits_for_the_disk(void **state)
{
	struct snapshot_job *job;

	(void)state;
	job_dirty(3 << 20, 9);
	job_get_stuck_in(JOB_SYNC_RANGE);
	job = job_start(false, true);
	job_wait_until_stuck();
	job_be_slow(); /* but not stuck: 40 calls of 40 ms */
	assert_true(snapshot_job_destroy(job));
	assert_false(job_file_exists("memory"));
	assert_false(job_file_exists("memory.next"));
	assert_false(job_file_exists("state.next"));
}

/* It stays reachable, as its thread needs it. */
static struct snapshot_job *left;

static void the_end_leaves_a_thread_that_is_stuck(void **state)
{
	unsigned before = testing_count_fds();
	uint64_t began;

	(void)state;
	job_write_base(JOB_BASE);
	job_get_stuck_in(JOB_FSYNC);
	left = job_start(false, true);
	job_wait_until_stuck();
	began = now_ms();
	assert_false(snapshot_job_destroy(left));
	/* Not for ever: this machine may be slow. */
	assert_true(now_ms() - began < 5000);
	/* Nothing is left, but what was there before. */
	assert_false(job_file_exists("state.next"));
	assert_false(job_file_exists("memory.next"));
	job_get_unstuck();
	/* It publishes nothing, although it comes back. */
	for (unsigned i = 0; i < 5000 && testing_count_fds() > before + 1; i++)
		usleep(1000);
	assert_int_equal(testing_count_fds(), before + 1);
	assert_false(job_file_exists("state"));
	assert_int_equal(job_byte_at(5 << 20), JOB_FILL);
}

#define with_job(test) \
	cmocka_unit_test_setup_teardown(test, job_set_up, job_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_job(a_base_of_another_size_is_refused_with_both_sizes),
		with_job(a_base_of_another_snapshot_is_refused),
		with_job(a_base_that_cannot_be_read_is_refused),
		with_job(what_is_no_file_is_refused),
		with_job(over_its_base_a_diff_is_the_whole_memory),
		with_job(over_nothing_a_diff_is_sparse),
		with_job(over_an_empty_file_a_diff_is_sparse),
		with_job(to_resume_does_not_wait_for_the_copy_of_the_base),
		with_job(to_resume_does_not_wait_for_a_write),
		with_job(what_was_read_is_published_though_the_guest_goes_on),
		with_job(the_state_is_written_last),
		with_job(the_end_cancels_what_waits_for_the_disk),
		with_job(the_end_leaves_a_thread_that_is_stuck),
	};

	alarm(60);
	log_configure(&(struct log_config){.level = LOG_OFF, .fd = -1});
	return RUN_TESTS("snapshot_job", tests);
}
