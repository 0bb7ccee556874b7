/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets at paths that others use, or used: core/io/listener.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/listener.h"
#include "tests/unit/testing.h"

static struct world {
	char folder[32], path[40], other[40];
	uint32_t draws[4]; /* what getrandom() gives, if draw_count is not 0 */
	unsigned draw_count, drawn;
	bool no_renameat2;
	void (*before_swap)(void);
} world;

ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to,
		     unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to,
		     unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	if (world.drawn >= world.draw_count)
		return __real_getrandom(buf, len, flags);
	memcpy(buf, &world.draws[world.drawn++], sizeof(uint32_t));
	return sizeof(uint32_t);
}

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to,
		     unsigned flags)
{
	void (*hook)(void) = world.before_swap;

	if (world.no_renameat2) {
		errno = EINVAL;
		return -1;
	}
	if (flags == RENAME_EXCHANGE && hook) {
		world.before_swap = NULL;
		hook();
	}
	return __real_renameat2(from_dir, from, to_dir, to, flags);
}

static int set_up(void **state)
{
	(void)state;
	world = (struct world){.folder = "/tmp/stasis-listen-XXXXXX"};
	if (!mkdtemp(world.folder))
		return -1;
	snprintf(world.path, sizeof(world.path), "%s/s", world.folder);
	snprintf(world.other, sizeof(world.other), "%s/t", world.folder);
	return 0;
}

/* Whatever a test made has to be gone: nothing is left behind in secret. */
static int tear_down(void **state)
{
	(void)state;
	return rmdir(world.folder);
}

static int bind_to(const char *path, int type)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		fail_msg("socket() failed");
		return -1;
	}
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

/* As a process that was killed leaves it. */
static void leave_stale(const char *path)
{
	close(bind_to(path, SOCK_STREAM));
}

static bool answers(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		fail_msg("socket() failed");
		return false;
	}
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	return !connect(fd, (struct sockaddr *)&name, sizeof(name));
}

static void assert_listens(void)
{
	struct listener_name name;
	int fd = listener_open(&name, world.path, 4);

	assert_true(fd >= 0);
	assert_true(answers(world.path));
	listener_remove(&name);
	assert_int_equal(access(world.path, F_OK), -1);
	close(fd);
}

static void a_socket_appears_and_is_removed(void **state)
{
	(void)state;
	assert_listens();
}

static void a_dead_processs_socket_is_replaced(void **state)
{
	(void)state;
	leave_stale(world.path);
	assert_listens();
	close(bind_to(world.path, SOCK_DGRAM));
	assert_listens();
	/* A process that dies by SIGKILL, not only one that closes it. */
	if (!fork()) {
		struct listener_name name;

		listener_open(&name, world.path, 4);
		raise(SIGKILL);
	}
	wait(NULL);
	assert_int_equal(access(world.path, F_OK), 0);
	assert_listens();
}

static void a_live_socket_is_refused_with_its_process(void **state)
{
	struct listener_name live, name;
	int fd = listener_open(&live, world.path, 4), busy;
	char owner[64];

	(void)state;
	snprintf(owner, sizeof(owner), " (process %d listens there)",
		 (int)getpid());
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_string_equal(name.remark, owner);
	listener_remove(&name);
	assert_true(answers(world.path));
	listener_remove(&live);
	close(fd);

	/* Whose queue is full: it does not wait for it, either. */
	fd = bind_to(world.path, SOCK_STREAM);
	assert_int_equal(listen(fd, 0), 0);
	busy = answers(world.path);
	assert_true(busy);
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
	unlink(world.path);

	/* Of another kind. */
	fd = bind_to(world.path, SOCK_DGRAM);
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
	unlink(world.path);
}

static void only_sockets_are_ever_replaced(void **state)
{
	struct listener_name name;
	struct stat st;

	(void)state;
	close(open(world.path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_string_equal(name.remark, " (it is not a socket)");
	assert_int_equal(unlink(world.path), 0);

	assert_int_equal(mkdir(world.path, 0700), 0);
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(rmdir(world.path), 0);

	/* Nor what a link shows. */
	leave_stale(world.other);
	assert_int_equal(symlink("t", world.path), 0);
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(lstat(world.path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(world.path), 0);
	assert_int_equal(unlink(world.other), 0);
}

static int racer = -1;
static struct listener_name racers_name;

/* Another process finds the same stale socket, and is faster. */
static void another_takes_it(void)
{
	racer = listener_open(&racers_name, world.path, 4);
}

static void of_two_who_find_it_dead_one_gets_it(void **state)
{
	struct listener_name name;

	(void)state;
	leave_stale(world.path);
	world.before_swap = another_takes_it;
	assert_int_equal(listener_open(&name, world.path, 4), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_true(racer >= 0);
	assert_true(answers(world.path));
	listener_remove(&racers_name);
	close(racer);
}

static void vanishes(void)
{
	unlink(world.path);
}

static void one_that_vanishes_meanwhile_is_no_problem(void **state)
{
	(void)state;
	leave_stale(world.path);
	world.before_swap = vanishes;
	assert_listens();
}

static void a_file_system_without_exchange_will_do(void **state)
{
	(void)state;
	world.no_renameat2 = true;
	assert_listens();
	leave_stale(world.path);
	assert_listens();
	close(open(world.path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(
		listener_open(&(struct listener_name){0}, world.path, 4), -1);
	assert_int_equal(unlink(world.path), 0);
}

static void a_temporary_name_that_is_taken_is_left_alone(void **state)
{
	char taken[64];

	(void)state;
	world.draws[0] = world.draws[1] = 0x1234;
	world.draws[2] = 0x5678;
	world.draw_count = 3;
	snprintf(taken, sizeof(taken), "%s/.00001234", world.folder);
	close(open(taken, O_CREAT | O_WRONLY, 0600));
	assert_listens();
	assert_int_equal(world.drawn, 3);
	assert_int_equal(unlink(taken), 0);
}

static void what_took_its_place_is_not_removed(void **state)
{
	struct listener_name name;
	int fd = listener_open(&name, world.path, 4);

	(void)state;
	assert_true(fd >= 0);
	leave_stale(world.other);
	assert_int_equal(rename(world.other, world.path), 0);
	listener_remove(&name);
	assert_int_equal(unlink(world.path), 0);
	close(fd);
}

static void a_path_that_cannot_be_says_why(void **state)
{
	char path[LISTENER_PATH_MAX + 2];
	struct listener_name name;

	(void)state;
	snprintf(path, sizeof(path), "%s/no/s", world.folder);
	assert_int_equal(listener_open(&name, path, 4), -1);
	assert_int_equal(errno, ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(listener_open(&name, path, 4), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

/* Beside it there is no room for a longer name. */
static void the_longest_path_can_be_had(void **state)
{
	char folder[LISTENER_PATH_MAX], path[LISTENER_PATH_MAX + 1];
	struct listener_name name;
	int fd;

	(void)state;
	memset(folder, 'f', sizeof(folder));
	memcpy(folder, world.folder, strlen(world.folder));
	folder[strlen(world.folder)] = '/';
	folder[LISTENER_PATH_MAX - 2] = '\0';
	assert_int_equal(mkdir(folder, 0700), 0);
	snprintf(path, sizeof(path), "%s/s", folder);
	assert_int_equal(strlen(path), LISTENER_PATH_MAX);
	fd = listener_open(&name, path, 4);
	assert_true(fd >= 0);
	assert_int_equal(access(path, F_OK), 0);
	listener_remove(&name);
	close(fd);
	assert_int_equal(rmdir(folder), 0);
}

#define LISTENER_TEST(test) \
	cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(a_socket_appears_and_is_removed),
		LISTENER_TEST(a_dead_processs_socket_is_replaced),
		LISTENER_TEST(a_live_socket_is_refused_with_its_process),
		LISTENER_TEST(only_sockets_are_ever_replaced),
		LISTENER_TEST(of_two_who_find_it_dead_one_gets_it),
		LISTENER_TEST(one_that_vanishes_meanwhile_is_no_problem),
		LISTENER_TEST(a_file_system_without_exchange_will_do),
		LISTENER_TEST(a_temporary_name_that_is_taken_is_left_alone),
		LISTENER_TEST(what_took_its_place_is_not_removed),
		LISTENER_TEST(a_path_that_cannot_be_says_why),
		LISTENER_TEST(the_longest_path_can_be_had),
	};

	return RUN_TESTS("listener", tests);
}
