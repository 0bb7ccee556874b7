/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/fd_limit.h"
#include "tests/unit/testing.h"

static struct rlimit before;

static int keep_limit(void **state)
{
	(void)state;
	return getrlimit(RLIMIT_NOFILE, &before);
}

static int restore_limit(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_NOFILE, &before);
}

static void set_soft(rlim_t soft)
{
	struct rlimit limit = {soft, before.rlim_max};

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t soft(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_max, before.rlim_max);
	return limit.rlim_cur;
}

static void a_low_limit_is_raised(void **state)
{
	(void)state;
	set_soft(100);
	fd_limit_raise();
	assert_int_equal(soft(), before.rlim_max < FD_LIMIT_WANTED
					 ? before.rlim_max
					 : FD_LIMIT_WANTED);
}

static void a_high_limit_stays(void **state)
{
	(void)state;
	if (before.rlim_max <= FD_LIMIT_WANTED)
		skip();
	set_soft(FD_LIMIT_WANTED + 1);
	fd_limit_raise();
	assert_int_equal(soft(), FD_LIMIT_WANTED + 1);
}

static void the_last_are_reserved(void **state)
{
	(void)state;
	set_soft(FD_LIMIT_WANTED);
	fd_limit_raise();
	assert_true(fd_limit_allows(FD_LIMIT_WANTED - FD_RESERVE - 1));
	assert_false(fd_limit_allows(FD_LIMIT_WANTED - FD_RESERVE));
}

/* The hard limit keeps it so low; for good, so in another process. */
static void of_few_a_quarter_is_reserved(void **state)
{
	const struct rlimit few = {100, 100};
	int status;
	pid_t child = fork();

	(void)state;
	if (!child) {
		if (setrlimit(RLIMIT_NOFILE, &few))
			_exit(2);
		fd_limit_raise();
		_exit(!fd_limit_allows(74) || fd_limit_allows(75));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, keep_limit, restore_limit)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_low_limit_is_raised),
		TEST(a_high_limit_stays),
		TEST(the_last_are_reserved),
		TEST(of_few_a_quarter_is_reserved),
	};

	return RUN_TESTS("fd_limit", tests);
}
