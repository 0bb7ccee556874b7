/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to what others share with us, opened blocking, and do not read:
 * core/io/io_nowait.c.  A test that would wait is ended by its alarm.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "tests/unit/testing.h"

static bool old_kernel; /* before 6.5: pipes do not know RWF_NOWAIT */

ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int count,
			   off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int count,
			   off_t offset, int flags);

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int count,
			   off_t offset, int flags)
{
	assert_int_equal(flags, RWF_NOWAIT);
	if (old_kernel) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_pwritev64v2(fd, iov, count, offset, flags);
}

static char data[16384], got[1 << 20];

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 23);
	alarm(5);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	alarm(0);
	old_kernel = false;
	return 0;
}

/* Write until it takes no more; how much that was.  Flags stay as they are. */
static size_t fill(int fd, size_t step)
{
	int flags = fcntl(fd, F_GETFL);
	size_t sum = 0;
	ssize_t n;

	assert_false(flags & O_NONBLOCK);
	while ((n = io_write_nowait(fd, IO_UNKNOWN, data + sum % 23, step)) > 0)
		sum += (size_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	return sum;
}

static void assert_read(int fd, size_t len)
{
	size_t n = 0;

	while (n < len) {
		ssize_t r = read(fd, got + n, sizeof(got) - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_int_equal(n, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(got[i], 'a' + i % 23);
}

static void pipe_of(size_t step)
{
	unsigned fds_before = testing_count_fds();
	int fds[2];
	size_t len;

	assert_int_equal(pipe(fds), 0);
	len = fill(fds[1], step);
	assert_true(len >= step);
	assert_read(fds[0], len);
	/* It goes on where a reader makes room. */
	assert_true(io_write_nowait(fds[1], IO_UNKNOWN, data, 23) > 0);
	assert_read(fds[0], 23);
	close(fds[0]);
	assert_int_equal(io_write_nowait(fds[1], IO_UNKNOWN, data, 5), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
	assert_int_equal(testing_count_fds(), fds_before);
}

static void a_full_pipe_is_not_waited_for(void **state)
{
	(void)state;
	pipe_of(70);
	pipe_of(9000);
}

static void nor_by_an_old_kernel(void **state)
{
	(void)state;
	old_kernel = true;
	pipe_of(70);
	pipe_of(9000);
}

static void a_full_socket_is_not_waited_for(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_read(fds[0], fill(fds[1], 1000));
	close(fds[0]);
	assert_int_equal(io_write_nowait(fds[1], IO_UNKNOWN, data, 5), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

/* Nobody reads its other side; or its user stopped it with Ctrl-S. */
static void a_full_terminal_is_not_waited_for(void **state)
{
	int master, terminal;

	(void)state;
	assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
	assert_true(fill(terminal, 4000) > 100);
	close(terminal);
	close(master);

	assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
	assert_int_equal(write(master, "\023", 1), 1);
	assert_int_equal(fill(terminal, 4000), 0);
	close(terminal);
	close(master);
}

/* Lines that become longer on their way: CR LF. */
static void lines_fill_a_terminal_too(void **state)
{
	int master, terminal;
	ssize_t n;

	(void)state;
	assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
	memset(data, '\n', sizeof(data));
	do {
		n = io_write_nowait(terminal, IO_UNKNOWN, data, 3000);
	} while (n > 0);
	assert_int_equal(errno, EAGAIN);
	close(terminal);
	close(master);
}

static void a_file_is_written_where_it_stands(void **state)
{
	int fd = testing_file("12345", 5);

	(void)state;
	assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
	assert_int_equal(io_write_nowait(fd, IO_UNKNOWN, "xy", 2), 2);
	assert_int_equal(pread(fd, got, 5, 0), 5);
	assert_memory_equal(got, "12xy5", 5);
	close(fd);
	assert_int_equal(io_write_nowait(fd, IO_UNKNOWN, "xy", 2), -1);
	assert_int_equal(errno, EBADF);
}

static void what_does_not_block_is_just_written(void **state)
{
	int fds[2];

	(void)state;
	testing_pipe(fds);
	testing_fill(fds[1]);
	assert_int_equal(io_write_nowait(fds[1], IO_UNKNOWN, data, 5000), -1);
	assert_int_equal(errno, EAGAIN);
	close(fds[0]);
	close(fds[1]);
}

/* A log's FIFO keeps as many lines as fit, not as many as a pipe has slots. */
static void a_fifo_of_ours_takes_many_lines(void **state)
{
	char folder[] = "/tmp/stasis-fifo-XXXXXX", path[64];
	struct err e;
	int fd;

	(void)state;
	old_kernel = true;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = io_open_sink(path, &e);
	assert_true(fd >= 0);
	assert_int_equal(io_kind(fd), IO_PIPE);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(io_write_nowait(fd, IO_PIPE, data, 100), 100);
	close(fd);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

#define NOWAIT_TEST(test) \
	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NOWAIT_TEST(a_full_pipe_is_not_waited_for),
		NOWAIT_TEST(nor_by_an_old_kernel),
		NOWAIT_TEST(a_full_socket_is_not_waited_for),
		NOWAIT_TEST(a_full_terminal_is_not_waited_for),
		NOWAIT_TEST(lines_fill_a_terminal_too),
		NOWAIT_TEST(a_file_is_written_where_it_stands),
		NOWAIT_TEST(what_does_not_block_is_just_written),
		cmocka_unit_test(a_fifo_of_ours_takes_many_lines),
	};

	return RUN_TESTS("io_nowait", tests);
}
