/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM into a file: snapshot/memory/memory_file.c, pagemap.c. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/base/util.h"
#include "tests/unit/memory_world.h"

/* ------------------------------------------------------------------- saving */

static void what_is_saved_is_ram(void **state)
{
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	touch_places(1);
	fd = full(&e);
	assert_file_is_ram(fd, &world.mem);
	assert_true(bytes_taken(fd) >= PLACES * PIECE);
	assert_true(bytes_taken(fd) < (PLACES + 1) * PIECE);
}

static void pages_of_zeroes_are_holes(void **state)
{
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct err e;

	(void)state;
	memset(ram(PIECE), 1, 3 * PIECE);
	memset(ram(2 * PIECE), 0, PIECE); /* touched, and zero */
	ram(3 * PIECE - 1)[0] = 0;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, 2 * PIECE);
	assert_true(is_data(fd, PIECE));
	assert_false(is_data(fd, 2 * PIECE));
	assert_true(is_data(fd, 3 * PIECE));
	/* The last byte alone keeps a page. */
	ram(3 * PIECE - 1)[0] = 1;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, 2 * PIECE + world.page);
}

/* Or each snapshot would fill page tables for all of RAM. */
static void what_was_never_touched_is_not_read(void **state)
{
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	guest_mem_expect_little(&world.mem, LOW, SIZE_0);
	ram(PIECE)[0] = 1;
	fd = full(&e);
	assert_int_equal(resident(ram(0), SIZE_0), 1);
	assert_int_equal(byte_at(fd, PIECE), 1);
}

static void without_proc_everything_is_read(void **state)
{
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	touch_places(1);
	world.no_pagemap = true;
	fd = full(&e);
	assert_file_is_ram(fd, &world.mem);
	assert_true(bytes_taken(fd) < (PLACES + 1) * PIECE);
}

/* Pages of userfaultfd have content before anybody touched them. */
static void all_can_be_read_on_request(void **state)
{
	AUTO_CLOSE int fd = sparse_file();
	AUTO_CLOSE int pages = testing_file("later", 5);
	struct memory_save s = save_to(fd);
	struct err e;

	(void)state;
	/* Behind the module's back, and not in the page table. */
	assert_ptr_equal(mmap(ram(PIECE), world.page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED, pages, 0),
			 ram(PIECE));
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, 0);
	s.read_all = true;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(byte_at(fd, PIECE), 'l');
}

/* As without_proc, but what is known of pages comes as before Linux 6.7. */
static void an_older_kernel_is_asked_page_by_page(void **state)
{
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	guest_mem_expect_little(&world.mem, LOW, SIZE_0);
	world.no_scan = true;
	touch_places(1);
	fd = full(&e);
	assert_file_is_ram(fd, &world.mem);
	assert_true(bytes_taken(fd) < (PLACES + 1) * PIECE);
	assert_true(world.scans > 0);
}

static void an_older_kernel_reads_nothing_for_what_was_not_touched(void **state)
{
	world.no_scan = true;
	what_was_never_touched_is_not_read(state);
}

/* A guest that has much memory and uses little of it, and then its clone. */
static void what_is_not_used_costs_nothing(void **state)
{
	const struct guest_mem_region region = {.gpa = LOW, .size = 4ull << 30};
	const uint64_t at[] = {PIECE, (1ull << 30) + PIECE, region.size - 1};
	struct guest_mem large, clone;
	AUTO_CLOSE int fd = sparse_file();
	AUTO_CLOSE int again = sparse_file();
	struct memory_save s = {.mem = &large, .fd = fd};
	struct err e;

	(void)state;
	assert_ok(guest_mem_create(&large, &region, 1, &e), e);
	guest_mem_expect_little(&large, LOW, region.size);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		large.region[0].host[at[i]] = (uint8_t)(i + 1);
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, 3 * world.page);
	assert_true(world.scans < 50);

	assert_ok(guest_mem_create(&clone, &region, 1, &e), e);
	assert_ok(memory_file_map(&clone, fd, &e), e);
	clone.region[0].host[2 * at[1]] = 9;
	world.scans = 0;
	s = (struct memory_save){.mem = &clone, .fd = again};
	assert_ok(memory_file_save(&s, &e), e);
	assert_true(world.scans < 50);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(byte_at(again, at[i]), i + 1);
	assert_int_equal(byte_at(again, 2 * at[1]), 9);
	guest_mem_destroy(&large);
	guest_mem_destroy(&clone);
}

struct calls {
	unsigned count, stop_at;
	uint64_t done, total;
};

static bool count_call(void *context, uint64_t done, uint64_t total)
{
	struct calls *c = context;

	assert_true(done >= c->done && done - c->done <= MEMORY_FILE_CHUNK);
	c->done = done;
	c->total = total;
	return ++c->count != c->stop_at;
}

static void progress_is_told_and_can_stop_it(void **state)
{
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct calls calls = {0};
	unsigned count;
	struct err e;

	(void)state;
	touch_places(1);
	s.go_on = count_call;
	s.context = &calls;
	assert_ok(memory_file_save(&s, &e), e);
	count = calls.count;
	assert_int_equal(count, 4);
	assert_int_equal(calls.done, SIZE);
	assert_int_equal(calls.total, SIZE);
	for (unsigned at = 1; at <= count; at++) {
		calls = (struct calls){.stop_at = at};
		assert_err(memory_file_save(&s, &e), e, "it was cancelled");
		assert_int_equal(calls.count, at);
	}
}

static void a_full_disk_and_bad_blocks_are_named(void **state)
{
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct err e;

	(void)state;
	touch_places(1);
	world.fails_with = ENOSPC;
	world.fails_at = SIZE_0 + 5 * PIECE + 100;
	assert_err(memory_file_save(&s, &e), e,
		   "cannot write guest RAM to its file: No space left");
	world.fails_with = EIO;
	world.fails_at = 0;
	assert_err(memory_file_save(&s, &e), e, "Input/output error");
}

static void a_limit_on_files_is_named(void **state)
{
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct rlimit old, limit;
	struct err e;
	int r;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){SIZE - 1, old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &limit);
	r = memory_file_save(&s, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_err(r, e, "file of 8 MiB for guest RAM: File too large");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_ram(what_is_saved_is_ram),
		with_ram(pages_of_zeroes_are_holes),
		with_ram(what_was_never_touched_is_not_read),
		with_ram(without_proc_everything_is_read),
		with_ram(all_can_be_read_on_request),
		with_ram(an_older_kernel_is_asked_page_by_page),
		with_ram(
			an_older_kernel_reads_nothing_for_what_was_not_touched),
		with_ram(what_is_not_used_costs_nothing),
		with_ram(progress_is_told_and_can_stop_it),
		with_ram(a_full_disk_and_bad_blocks_are_named),
		with_ram(a_limit_on_files_is_named),
	};

	return RUN_TESTS("memory_file", tests);
}
