/* SPDX-License-Identifier: Apache-2.0 */
/* A working set is recorded once, and read ahead of the next: the parts of an
 * instance that do it. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "snapshot/publish.h"
#include "snapshot/working_set.h"
#include "tests/unit/memory_world.h"
#include "vmm/instance/working_set_reader.h"
#include "vmm/instance/working_set_recorder.h"

enum { AROUND = 65536, ADVICE_MAX = 64 };

static struct {
	char folder[32], memory[48], set[64];
	struct published files; /* memory and id of it */
	struct event_loop loop;

	/* Written by the reader's thread, read when that has ended. */
	struct {
		off_t at, len;
	} advice[ADVICE_MAX];
	unsigned advice_count;
	bool advice_stuck;
	sem_t advice_may_end;

	uint64_t waited_ms; /* what timers were set to, which is at once */
	unsigned looks;
} w;

/* ---------------------------------------------------------------- the world */

int __wrap_posix_fadvise64(int fd, off_t at, off_t len, int advice);

int __wrap_posix_fadvise64(int fd, off_t at, off_t len, int advice)
{
	assert_true(fd >= 0);
	if (advice == POSIX_FADV_DONTNEED)
		return 0;
	assert_int_equal(advice, POSIX_FADV_WILLNEED);
	if (w.advice_stuck)
		sem_wait(&w.advice_may_end);
	if (w.advice_count < ADVICE_MAX) {
		w.advice[w.advice_count].at = at;
		w.advice[w.advice_count].len = len;
	}
	w.advice_count++;
	return 0;
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old);

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *old)
{
	const struct itimerspec now = {.it_value.tv_nsec = 1};

	w.waited_ms += (uint64_t)when->it_value.tv_sec * 1000 +
		       (uint64_t)when->it_value.tv_nsec / 1000000;
	w.looks++;
	return __real_timerfd_settime(fd, flags, &now, old);
}

static int set_up(void **state)
{
	struct err e;
	uint8_t bytes[PIECE];
	int fd;

	world_create(state);
	memset(&w, 0, sizeof(w));
	snprintf(w.folder, sizeof(w.folder), "/tmp/working_set.XXXXXX");
	if (!mkdtemp(w.folder) || loop_init(&w.loop, &e))
		return -1;
	snprintf(w.memory, sizeof(w.memory), "%s/memory", w.folder);
	snprintf(w.set, sizeof(w.set), "%s.ws", w.memory);
	fd = open(w.memory, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(bytes, 1, sizeof(bytes));
	for (uint64_t at = 0; at < SIZE; at += PIECE)
		assert_int_equal(io_pwrite(fd, bytes, PIECE, at), 0);
	assert_ok(memory_file_map(&world.mem, fd, &e), e);
	w.files.memory_fd = fd;
	w.files.memory_size = SIZE;
	memcpy(w.files.id.bytes, "this snapshot's", 16);
	return 0;
}

static int tear_down(void **state)
{
	char next[80];

	snprintf(next, sizeof(next), "%s.next", w.set);
	assert_int_equal(access(next, F_OK), -1);
	unlink(w.set);
	unlink(w.memory);
	assert_int_equal(rmdir(w.folder), 0);
	close(w.files.memory_fd);
	loop_fini(&w.loop);
	return world_destroy(state);
}

static void touch(uint64_t offset)
{
	ram(offset)[3] = 9;
}

static struct working_set_recorder *recorder(void)
{
	struct err e = {""};
	struct working_set_recorder *rec = working_set_recorder_create(
		&world.mem, &w.loop, w.memory, &w.files, &e);

	if (!rec)
		fail_msg("%s", e.text);
	return rec;
}

/* The one ready source; there must be one. */
static void run_timer(void)
{
	struct epoll_event event;

	assert_int_equal(epoll_wait(w.loop.epoll_fd, &event, 1, 1000), 1);
	((struct event_source *)event.data.ptr)
		->ready(event.data.ptr, event.events);
}

static struct working_set recorded(void)
{
	struct working_set set;
	struct err e;

	assert_ok(working_set_load(&set, w.set, w.files.id.bytes, SIZE, &e), e);
	return set;
}

/* Until the reader has done all, which it has when it closes the memory. */
static void read_ahead(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	unsigned before = testing_count_fds();
	struct working_set_reader *reader;

	w.advice_count = 0;
	reader = working_set_reader_start(w.memory, &w.files);
	for (unsigned i = 0; i < 5000 && testing_count_fds() != before; i++)
		nanosleep(&moment, NULL);
	assert_int_equal(testing_count_fds(), before);
	working_set_reader_destroy(reader);
}

static void write_set(const void *bytes, size_t len)
{
	int fd = open(w.set, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(io_pwrite(fd, bytes, len, 0), 0);
	close(fd);
}

/* ---------------------------------------------------------------- recording */

static void what_is_touched_until_the_end_is_written(void **state)
{
	struct working_set_recorder *rec = recorder();
	struct working_set set;

	(void)state;
	working_set_recorder_start(rec);
	touch(4 << 20);
	run_timer();
	touch(1 << 20);
	assert_int_equal(access(w.set, F_OK), -1);
	working_set_recorder_finish(rec);
	set = recorded();
	assert_int_equal(set.range_count, 2);
	assert_int_equal(set.range[0].page / (AROUND / 4096),
			 (4 << 20) / AROUND);
	assert_int_equal(set.range[1].page / (AROUND / 4096),
			 (1 << 20) / AROUND);
	working_set_fini(&set);
}

static void what_the_vmm_touched_before_comes_first(void **state)
{
	struct working_set_recorder *rec;
	struct working_set set;

	(void)state;
	touch(SIZE_0);
	rec = recorder();
	working_set_recorder_start(rec);
	touch(0);
	working_set_recorder_finish(rec);
	set = recorded();
	assert_int_equal(set.range[0].page, SIZE_0 / 4096);
	assert_int_equal(set.range[1].page, 0);
	working_set_fini(&set);
}

static void it_ends_by_itself_after_a_while(void **state)
{
	struct working_set_recorder *rec = recorder();
	struct working_set set;
	unsigned i = 0;

	(void)state;
	working_set_recorder_start(rec);
	/* Resumed again, which changes nothing. */
	working_set_recorder_start(rec);
	while (access(w.set, F_OK)) {
		assert_true(i < 100);
		touch((uint64_t)i++ * AROUND);
		run_timer();
	}
	assert_int_equal(w.waited_ms, WORKING_SET_RECORD_MS);
	assert_true(w.looks < 20);
	set = recorded();
	assert_int_equal(set.range_count, i);
	working_set_fini(&set);
	/* And what happens later is not in it. */
	unlink(w.set);
	touch(7 << 20);
	working_set_recorder_finish(rec);
	assert_int_equal(access(w.set, F_OK), -1);
}

static void who_may_read_the_memory_may_read_it_too(void **state)
{
	struct working_set_recorder *rec;
	struct stat st;

	(void)state;
	assert_int_equal(fchmod(w.files.memory_fd, 0764), 0);
	rec = recorder();
	working_set_recorder_start(rec);
	working_set_recorder_finish(rec);
	assert_int_equal(stat(w.set, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0664);
}

static void a_guest_that_never_ran_leaves_nothing(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	working_set_recorder_finish(recorder());
	assert_int_equal(access(w.set, F_OK), -1);
	assert_int_equal(testing_count_fds(), before);
	working_set_recorder_finish(NULL);
}

static void what_cannot_be_recorded_is_refused_at_once(void **state)
{
	unsigned before = testing_count_fds();
	struct err e;

	(void)state;
	assert_null(working_set_recorder_create(
		&world.mem, &w.loop, "/nowhere/memory", &w.files, &e));
	assert_contains(e.text, "cannot record the working set");
	assert_contains(e.text, "/nowhere/memory.ws");
	world.no_pagemap = true;
	assert_null(working_set_recorder_create(&world.mem, &w.loop, w.memory,
						&w.files, &e));
	assert_contains(e.text, "cannot tell which pages");
	assert_int_equal(testing_count_fds(), before);
}

static void a_disk_that_is_full_costs_the_set_alone(void **state)
{
	struct working_set_recorder *rec = recorder();

	(void)state;
	working_set_recorder_start(rec);
	touch(0);
	world.fails_at = 0;
	world.fails_with = 28; /* ENOSPC */
	working_set_recorder_finish(rec);
	assert_int_equal(access(w.set, F_OK), -1);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The guest's pause does not wait for it. */
static void a_disk_that_is_slow_has_the_set_later(void **state)
{
	struct working_set_recorder *rec = recorder();
	struct working_set set;
	uint64_t began = now_ms();

	(void)state;
	working_set_recorder_start(rec);
	touch(0);
	world.write_ms = 1500;
	working_set_recorder_finish(rec);
	assert_true(now_ms() - began < 1500);
	assert_int_equal(access(w.set, F_OK), -1);
	for (unsigned i = 0; i < 5000 && access(w.set, F_OK); i++)
		usleep(1000);
	set = recorded();
	assert_int_equal(set.range_count, 1);
	working_set_fini(&set);
}

/* ------------------------------------------------------------ reading ahead */

static void what_was_recorded_is_read_in_its_order(void **state)
{
	static const uint64_t order[] = {4 << 20, 0, SIZE - AROUND, 1 << 20};
	struct working_set_recorder *rec = recorder();
	struct working_set set;

	(void)state;
	working_set_recorder_start(rec);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		touch(order[i]);
		run_timer();
	}
	working_set_recorder_finish(rec);
	set = recorded();
	read_ahead();
	assert_int_equal(w.advice_count, ARRAY_SIZE(order));
	for (unsigned i = 0; i < w.advice_count; i++) {
		assert_int_equal(w.advice[i].at, set.range[i].page * 4096ll);
		assert_int_equal(w.advice[i].len, set.range[i].count * 4096ll);
		assert_int_equal(w.advice[i].at / AROUND, order[i] / AROUND);
	}
	working_set_fini(&set);
}

static void long_ranges_are_read_in_pieces(void **state)
{
	struct working_set_recorder *rec = recorder();
	off_t next = 0;

	(void)state;
	working_set_recorder_start(rec);
	for (uint64_t at = 0; at < SIZE; at += world.page)
		touch(at);
	working_set_recorder_finish(rec);
	read_ahead();
	assert_int_equal(w.advice_count, SIZE >> 20);
	for (unsigned i = 0; i < w.advice_count; i++) {
		assert_int_equal(w.advice[i].at, next);
		next += w.advice[i].len;
	}
	assert_int_equal(next, SIZE);
}

static void what_is_not_its_own_is_not_read(void **state)
{
	struct working_set_recorder *rec = recorder();

	(void)state;
	working_set_recorder_start(rec);
	touch(0);
	working_set_recorder_finish(rec);
	read_ahead();
	assert_int_equal(w.advice_count, 1);
	/* Another snapshot, at the same name. */
	w.files.id.bytes[0] ^= 1;
	read_ahead();
	assert_int_equal(w.advice_count, 0);
	w.files.id.bytes[0] ^= 1;
	w.files.memory_size += 4096;
	read_ahead();
	assert_int_equal(w.advice_count, 0);
	w.files.memory_size -= 4096;
	write_set("no working set", 14);
	read_ahead();
	assert_int_equal(w.advice_count, 0);
	unlink(w.set);
	assert_int_equal(mkfifo(w.set, 0600), 0);
	read_ahead();
	assert_int_equal(w.advice_count, 0);
	unlink(w.set);
	assert_null(working_set_reader_start(w.memory, &w.files));
	working_set_reader_destroy(NULL);
}

/* The end of the process does not wait for the queue of the disk. */
static void a_reader_that_is_stuck_is_left(void **state)
{
	struct working_set_recorder *rec = recorder();
	unsigned before;
	static struct working_set_reader *left; /* reachable: its thread's */
	uint64_t began;

	(void)state;
	working_set_recorder_start(rec);
	touch(0);
	working_set_recorder_finish(rec);
	before = testing_count_fds();
	w.advice_stuck = true;
	sem_init(&w.advice_may_end, 0, 0);
	left = working_set_reader_start(w.memory, &w.files);
	assert_non_null(left);
	began = now_ms();
	working_set_reader_destroy(left);
	assert_true(now_ms() - began < 400);
	sem_post(&w.advice_may_end);
	for (unsigned i = 0; i < 5000 && testing_count_fds() != before; i++)
		usleep(1000);
	assert_int_equal(testing_count_fds(), before);
}

#define with_files(test) \
	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_files(what_is_touched_until_the_end_is_written),
		with_files(what_the_vmm_touched_before_comes_first),
		with_files(it_ends_by_itself_after_a_while),
		with_files(who_may_read_the_memory_may_read_it_too),
		with_files(a_guest_that_never_ran_leaves_nothing),
		with_files(what_cannot_be_recorded_is_refused_at_once),
		with_files(a_disk_that_is_full_costs_the_set_alone),
		with_files(a_disk_that_is_slow_has_the_set_later),
		with_files(what_was_recorded_is_read_in_its_order),
		with_files(long_ranges_are_read_in_pieces),
		with_files(what_is_not_its_own_is_not_read),
		with_files(a_reader_that_is_stuck_is_left),
	};

	log_configure(&(struct log_config){.level = LOG_OFF, .fd = -1});
	return RUN_TESTS("working_set_use", tests);
}
