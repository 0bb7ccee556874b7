/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and reading files: core/io/io.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "tests/unit/testing.h"

/* A folder of its own for each test that needs names. */
static int make_folder(void **state)
{
	static char path[] = "/tmp/stasis-io-XXXXXX";

	snprintf(path, sizeof(path), "/tmp/stasis-io-XXXXXX");
	*state = mkdtemp(path);
	return !*state;
}

static int remove_folder(void **state)
{
	return rmdir(*state);
}

static void open_gives_the_size(void **state)
{
	AUTO_CLOSE int file = testing_file("12345", 5);
	uint64_t size;
	struct err e;
	AUTO_CLOSE int fd = io_open_file(testing_file_path(file), &size, &e);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(size, 5);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void open_of_nothing_says_why(void **state)
{
	uint64_t size;
	struct err e;

	(void)state;
	assert_err(io_open_file("/nonexistent/file", &size, &e), e,
		   "cannot open /nonexistent/file: No such file");
}

static void open_refuses_a_folder(void **state)
{
	unsigned before = testing_count_fds();
	uint64_t size;
	struct err e;

	(void)state;
	assert_err(io_open_file("/", &size, &e), e, "is a directory");
	assert_int_equal(testing_count_fds(), before);
}

static void open_refuses_a_device(void **state)
{
	uint64_t size;
	struct err e;

	(void)state;
	assert_err(io_open_file("/dev/null", &size, &e), e, "is not a file");
}

/* O_NONBLOCK is for the opening: io_uring reads such a file without waiting. */
static void opened_file_may_wait(void **state)
{
	AUTO_CLOSE int file = testing_file("x", 1);
	AUTO_CLOSE int fd = -1;
	uint64_t size;
	struct err e;

	(void)state;
	fd = io_open_file(testing_file_path(file), &size, &e);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE),
			 O_RDONLY);
}

static void open_does_not_wait_for_a_fifo(void **state)
{
	char path[64];
	uint64_t size;
	struct err e;

	snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_err(io_open_file(path, &size, &e), e, "is not a file");
	unlink(path);
}

static void pread_ends_with_the_file(void **state)
{
	AUTO_CLOSE int fd = testing_file("12345", 5);
	char buf[8] = "";

	(void)state;
	assert_int_equal(io_pread(fd, buf, sizeof(buf), 3), 2);
	assert_string_equal(buf, "45");
	assert_int_equal(io_pread(fd, buf, sizeof(buf), 5), 0);
}

static void pread_fails_with_errno(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(io_pread(-1, buf, sizeof(buf), 0), -1);
	assert_int_equal(errno, EBADF);
}

static void read_file_ends_with_nul(void **state)
{
	AUTO_CLOSE int fd = testing_file("ab\0c", 4);
	size_t len;
	struct err e;
	AUTO_FREE char *text = io_read_file(testing_file_path(fd), 4, &len, &e);

	(void)state;
	assert_non_null(text);
	assert_int_equal(len, 4);
	assert_memory_equal(text, "ab\0c", 5);
}

static void read_file_of_nothing_is_empty(void **state)
{
	AUTO_CLOSE int fd = testing_file("", 0);
	size_t len;
	struct err e;
	AUTO_FREE char *text = io_read_file(testing_file_path(fd), 4, &len, &e);

	(void)state;
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
}

static void read_file_refuses_the_too_large(void **state)
{
	AUTO_CLOSE int fd = testing_file("12345", 5);
	size_t len;
	struct err e;

	(void)state;
	assert_null(io_read_file(testing_file_path(fd), 4, &len, &e));
	assert_contains(e.text, "larger than 4 bytes");
}

/* In pieces, by a process that is still at it: a shell's <(...), say. */
static void read_file_takes_a_pipe_too(void **state)
{
	char path[64];
	struct err e;
	size_t len;

	snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
	assert_int_equal(mkfifo(path, 0600), 0);
	if (!fork()) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		for (unsigned i = 0; i < 3; i++) {
			usleep(5000);
			if (write(fd, "abc", 3) != 3)
				exit(1);
		}
		exit(0);
	}
	AUTO_FREE char *text = io_read_file(path, 9, &len, &e);

	wait(NULL);
	unlink(path);
	assert_non_null(text);
	assert_string_equal(text, "abcabcabc");
	assert_int_equal(len, 9);
}

static void read_file_is_bounded_whatever_it_is(void **state)
{
	struct err e;
	size_t len;

	(void)state;
	assert_null(io_read_file("/dev/zero", 1 << 20, &len, &e));
	assert_contains(e.text, "/dev/zero is larger than 1048576 bytes");
	assert_null(io_read_file("/", 10, &len, &e));
	assert_contains(e.text, "cannot read /: Is a directory");
	assert_null(io_read_file("/no/such", 10, &len, &e));
	assert_contains(e.text, "cannot open /no/such");
}

static void a_dash_is_standard_input(void **state)
{
	int saved = dup(STDIN_FILENO), fds[2];
	struct err e;
	size_t len;

	(void)state;
	assert_true(saved >= 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "{}", 2), 2);
	close(fds[1]);
	dup2(fds[0], STDIN_FILENO);
	close(fds[0]);
	AUTO_FREE char *text = io_read_input("-", 10, &len, &e);

	if (saved >= 0)
		dup2(saved, STDIN_FILENO);
	close(saved);
	assert_string_equal(text, "{}");
	assert_null(io_read_file("-", 10, &len, &e));
}

static void read_text_drops_the_last_newline(void **state)
{
	AUTO_CLOSE int fd = testing_file("a\nb\n", 4);
	char buf[16];

	(void)state;
	assert_true(io_read_text(AT_FDCWD, testing_file_path(fd), buf,
				 sizeof(buf)));
	assert_string_equal(buf, "a\nb");
}

static void read_text_stays_within_the_buffer(void **state)
{
	AUTO_CLOSE int fd = testing_file("123456", 6);
	char buf[4];

	(void)state;
	assert_true(io_read_text(AT_FDCWD, testing_file_path(fd), buf,
				 sizeof(buf)));
	assert_string_equal(buf, "123");
}

static void read_text_of_nothing_is_false(void **state)
{
	AUTO_CLOSE int fd = testing_file("", 0);
	char buf[4];

	(void)state;
	assert_false(io_read_text(AT_FDCWD, testing_file_path(fd), buf,
				  sizeof(buf)));
	assert_false(io_read_text(AT_FDCWD, "/nonexistent", buf, sizeof(buf)));
}

static void pwrite_writes_all_there(void **state)
{
	AUTO_CLOSE int fd = testing_file("abcdef", 6);
	char text[16] = "";

	(void)state;
	assert_int_equal(io_pwrite(fd, "XY", 2, 5), 0);
	assert_int_equal(io_pwrite(fd, "", 0, 0), 0);
	assert_int_equal(io_pread(fd, text, sizeof(text), 0), 7);
	assert_string_equal(text, "abcdeXY");
}

/* Also when some of it was written. */
static void pwrite_that_does_not_fit_fails(void **state)
{
	AUTO_CLOSE int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	AUTO_CLOSE int fd = testing_file("", 0);
	struct rlimit old, limit;
	int r;

	(void)state;
	assert_int_equal(io_pwrite(full, "x", 1, 0), -1);
	assert_int_equal(errno, ENOSPC);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){3, old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &limit);
	r = io_pwrite(fd, "12345", 5, 0);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(r, -1);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3);
}

struct looks {
	unsigned count, stop_at;
};

static bool count_looks(void *context)
{
	struct looks *looks = context;

	return ++looks->count != looks->stop_at;
}

/* Only data is written back, a piece at a time, and it can be cancelled. */
static void holes_are_not_written_back(void **state)
{
	AUTO_CLOSE int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	const off_t mib = 1 << 20, size = 4096 * mib;
	struct looks looks = {0};
	const struct go_on go_on = {count_looks, &looks};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(io_write_back(fd, &go_on), 0);
	assert_int_equal(looks.count, 0);
	for (off_t at = 0; at < 20; at++)
		assert_int_equal(io_pwrite(fd, "x", 1, 100 * mib + at * mib),
				 0);
	assert_int_equal(io_pwrite(fd, "x", 1, size - 1), 0);
	assert_int_equal(io_write_back(fd, &go_on), 0);
	/* Each of 21 pieces is begun, and waited for. */
	assert_in_range(looks.count, 42, 44);
	looks = (struct looks){.stop_at = 5};
	assert_int_equal(io_write_back(fd, &go_on), 0);
	assert_int_equal(looks.count, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_gives_the_size),
		cmocka_unit_test(open_of_nothing_says_why),
		cmocka_unit_test(open_refuses_a_folder),
		cmocka_unit_test(open_refuses_a_device),
		cmocka_unit_test(opened_file_may_wait),
		cmocka_unit_test_setup_teardown(open_does_not_wait_for_a_fifo,
						make_folder, remove_folder),
		cmocka_unit_test(pread_ends_with_the_file),
		cmocka_unit_test(pread_fails_with_errno),
		cmocka_unit_test(read_file_ends_with_nul),
		cmocka_unit_test(read_file_of_nothing_is_empty),
		cmocka_unit_test(read_file_is_bounded_whatever_it_is),
		cmocka_unit_test(a_dash_is_standard_input),
		cmocka_unit_test_setup_teardown(read_file_takes_a_pipe_too,
						make_folder, remove_folder),
		cmocka_unit_test(read_file_refuses_the_too_large),
		cmocka_unit_test(read_text_drops_the_last_newline),
		cmocka_unit_test(read_text_stays_within_the_buffer),
		cmocka_unit_test(read_text_of_nothing_is_false),
		cmocka_unit_test(pwrite_writes_all_there),
		cmocka_unit_test(pwrite_that_does_not_fit_fails),
		cmocka_unit_test(holes_are_not_written_back),
	};

	return RUN_TESTS("io", tests);
}
