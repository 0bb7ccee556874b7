/* SPDX-License-Identifier: Apache-2.0 */
/* Where the host has its cgroups: jailer/cgroup_mount.c. */
#include <string.h>

#include "jailer/cgroup_mount.h"
#include "tests/unit/testing.h"

static const char mounts[] =
	"proc /proc proc rw 0 0\n"
	"cgroup /cgroup tmpfs rw,cpu 0 0\n"
	"cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n"
	"x /my\\040\\134folder cgroup rw,cpuset 0 0\n"
	"cgroup /sys/fs/cgroup/named cgroup rw,name=cpuset2 0 0\n"
	"cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\n"
	"cgroup2 /second cgroup2 rw 0 0\n";

static bool find(unsigned version, const char *controller, char *dir,
		 size_t size)
{
	return cgroup_find_mount(mounts, version, controller,
				 strlen(controller), dir, size);
}

static void version_1_is_found_by_controller(void **state)
{
	char dir[64];

	(void)state;
	assert_true(find(1, "cpu", dir, sizeof(dir)));
	assert_string_equal(dir, "/sys/fs/cgroup/cpu,cpuacct");
	assert_true(find(1, "cpuacct", dir, sizeof(dir)));
	assert_string_equal(dir, "/sys/fs/cgroup/cpu,cpuacct");
	assert_false(find(1, "cpua", dir, sizeof(dir)));
	assert_false(find(1, "memory", dir, sizeof(dir)));
	assert_false(find(1, "", dir, sizeof(dir)));
}

static void names_are_unescaped(void **state)
{
	char dir[64];

	(void)state;
	assert_true(find(1, "cpuset", dir, sizeof(dir)));
	assert_string_equal(dir, "/my \\folder");
}

static void version_2_is_the_first(void **state)
{
	char dir[64];

	(void)state;
	assert_true(find(2, "anything", dir, sizeof(dir)));
	assert_string_equal(dir, "/sys/fs/cgroup/unified");
	assert_true(find(2, "", dir, sizeof(dir)));
	assert_false(cgroup_find_mount("cgroup /c cgroup rw,cpu 0 0\n", 2,
				       "cpu", 3, dir, sizeof(dir)));
}

static void a_name_that_does_not_fit_is_none(void **state)
{
	char dir[23];

	(void)state;
	assert_true(find(2, "", dir, 23));
	assert_false(find(2, "", dir, 22));
}

static void odd_lines_do_no_harm(void **state)
{
	static const char *const odd[] = {
		"",           "\n\n",    "cgroup",           "cgroup /a cgroup",
		"a b cgroup", "   \n  ", "c /a\\04 cgroup ", "cgroup2 \n"};
	char dir[64];

	(void)state;
	for (unsigned i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		assert_false(cgroup_find_mount(odd[i], 1, "cpu", 3, dir,
					       sizeof(dir)));
		assert_false(cgroup_find_mount(odd[i], 2, "cpu", 3, dir,
					       sizeof(dir)));
	}
}

static void lists_have_whole_words(void **state)
{
	(void)state;
	assert_true(cgroup_lists("cpuset cpu io", " \n", "cpu", 3));
	assert_true(cgroup_lists("cpuset cpu io\n", " \n", "io", 2));
	assert_true(cgroup_lists("cpuset", " ", "cpuset.cpus", 6));
	assert_false(cgroup_lists("cpuset io", " ", "cpu", 3));
	assert_false(cgroup_lists("cpu", " ", "cpuset", 6));
	assert_false(cgroup_lists("", " ", "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_found_by_controller),
		cmocka_unit_test(names_are_unescaped),
		cmocka_unit_test(version_2_is_the_first),
		cmocka_unit_test(a_name_that_does_not_fit_is_none),
		cmocka_unit_test(odd_lines_do_no_harm),
		cmocka_unit_test(lists_have_whole_words),
	};

	return RUN_TESTS("jailer_cgroup", tests);
}
