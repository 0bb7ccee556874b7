/* SPDX-License-Identifier: Apache-2.0 */
/* Checked arithmetic, alignment, scoped clean-up: core/base/util.h. */
#include <fcntl.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"

static void mul_that_wraps_is_refused(void **state)
{
	uint64_t product;

	(void)state;
	assert_true(checked_mul(1ull << 32, (1ull << 32) - 1, &product));
	assert_true(product == 0xffffffff00000000);
	assert_false(checked_mul(1ull << 32, 1ull << 32, &product));
}

static void align_keeps_multiples(void **state)
{
	(void)state;
	assert_int_equal(align_down(8192, 4096), 8192);
	assert_int_equal(align_up(8192, 4096), 8192);
	assert_int_equal(align_down(8191, 4096), 4096);
	assert_int_equal(align_up(8193, 4096), 12288);
	assert_int_equal(align_up(0, 4096), 0);
}

/* Or whoever has the number next would lose it. */
static void what_was_closed_is_not_closed_again(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), first = fd, second;

	(void)state;
	util_close(&fd);
	assert_int_equal(fd, -1);
	second = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(second, first);
	util_close(&fd);
	assert_int_equal(fcntl(second, F_GETFD), FD_CLOEXEC);
	util_close(&second);
}

static void min_and_max(void **state)
{
	(void)state;
	assert_true(min_u64(1, UINT64_MAX) == 1);
	assert_true(max_u64(1, UINT64_MAX) == UINT64_MAX);
}

static void scoped_descriptor_is_closed(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	{
		AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(testing_count_fds(), before + 1);
	}
	assert_int_equal(testing_count_fds(), before);
}

static void taken_descriptor_stays_open(void **state)
{
	unsigned before = testing_count_fds();
	int kept;

	(void)state;
	{
		AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		kept = take_fd(&fd);
		assert_int_equal(fd, -1);
	}
	assert_int_equal(testing_count_fds(), before + 1);
	close(kept);
}

struct outer {
	int before, member;
};

static void container_of_finds_the_outer(void **state)
{
	struct outer o = {0};

	(void)state;
	assert_ptr_equal(container_of(&o.member, struct outer, member), &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mul_that_wraps_is_refused),
		cmocka_unit_test(align_keeps_multiples),
		cmocka_unit_test(what_was_closed_is_not_closed_again),
		cmocka_unit_test(min_and_max),
		cmocka_unit_test(scoped_descriptor_is_closed),
		cmocka_unit_test(taken_descriptor_stays_open),
		cmocka_unit_test(container_of_finds_the_outer),
	};

	return RUN_TESTS("util", tests);
}
