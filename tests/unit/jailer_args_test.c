/* SPDX-License-Identifier: Apache-2.0 */
/* The jailer's command line: jailer/args.c. */
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "jailer/args.h"
#include "tests/unit/testing.h"

#define REQUIRED \
	"--id", "vm-1", "--exec-file", "/bin/vmm", "--uid", "7", "--gid", "8"

/* Parse the required words, and these. */
#define PARSE(args, e, ...)                                                   \
	args_parse((args),                                                    \
		   (int)ARRAY_SIZE(                                           \
			   ((const char *const[]){REQUIRED, ##__VA_ARGS__})), \
		   (char **)(const char *const[]){REQUIRED, ##__VA_ARGS__},   \
		   (e))

static void the_defaults_are_firecrackers(void **state)
{
	struct jailer_args args;
	struct err e;

	(void)state;
	assert_ok(PARSE(&args, &e), e);
	assert_string_equal(args.id, "vm-1");
	assert_string_equal(args.exec_file, "/bin/vmm");
	assert_int_equal(args.uid, 7);
	assert_int_equal(args.gid, 8);
	assert_string_equal(args.base, "/srv/jailer");
	assert_int_equal(args.cgroup_version, 1);
	assert_null(args.parent_cgroup);
	assert_int_equal(args.cgroup_count, 0);
	assert_int_equal(args.no_file, 2048);
	assert_int_equal(args.fsize, JAIL_NO_LIMIT);
	assert_null(args.netns);
	assert_false(args.daemonize || args.new_pid_ns);
	assert_int_equal(args.extra_count, 0);
}

static void all_options_are_taken(void **state)
{
	struct jailer_args args;
	struct err e;

	(void)state;
	assert_ok(PARSE(&args, &e, "--chroot-base-dir", "/b", "--netns", "/n",
			"--cgroup-version", "2", "--cgroup", "cpu.max=1 2",
			"--cgroup", "io.max=8:0 rbps=9", "--parent-cgroup",
			"a/b", "--resource-limit", "fsize=0",
			"--resource-limit", "no-file=18446744073709551614",
			"--daemonize", "--new-pid-ns"),
		  e);
	assert_string_equal(args.base, "/b");
	assert_string_equal(args.netns, "/n");
	assert_int_equal(args.cgroup_version, 2);
	assert_int_equal(args.cgroup_count, 2);
	assert_string_equal(args.cgroup[0], "cpu.max=1 2");
	assert_string_equal(args.cgroup[1], "io.max=8:0 rbps=9");
	assert_string_equal(args.parent_cgroup, "a/b");
	assert_int_equal(args.fsize, 0);
	assert_int_equal(args.no_file, UINT64_MAX - 1);
	assert_true(args.daemonize && args.new_pid_ns);
}

static void what_follows_two_dashes_is_the_vmms(void **state)
{
	struct jailer_args args;
	struct err e;

	(void)state;
	assert_ok(PARSE(&args, &e, "--daemonize", "--", "--id", "x", "--"), e);
	assert_string_equal(args.id, "vm-1");
	assert_int_equal(args.extra_count, 3);
	assert_string_equal(args.extra[0], "--id");
	assert_string_equal(args.extra[2], "--");
	assert_ok(PARSE(&args, &e, "--"), e);
	assert_int_equal(args.extra_count, 0);
}

static void each_required_option_is_asked_for(void **state)
{
	static const char *const names[] = {"--id", "--exec-file", "--uid",
					    "--gid"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const char *const all[] = {REQUIRED};
		const char *argv[ARRAY_SIZE(all)];
		struct jailer_args args;
		int argc = 0;
		struct err e;

		for (unsigned j = 0; j < ARRAY_SIZE(all); j += 2) {
			if (strcmp(all[j], names[i]) != 0) {
				argv[argc++] = all[j];
				argv[argc++] = all[j + 1];
			}
		}
		assert_err(args_parse(&args, argc, (char **)argv, &e), e,
			   names[i]);
		argv[argc++] = "--help";
		assert_ok(args_parse(&args, argc, (char **)argv, &e), e);
		assert_true(args.help);
	}
}

/* One option instead of the required one of that name. */
static int with(const char *option, const char *value, struct err *e)
{
	const char *argv[] = {REQUIRED, option, value};
	int argc = (int)ARRAY_SIZE(argv);
	struct jailer_args args;

	for (int i = 0; i < argc - 2; i += 2) {
		if (!strcmp(argv[i], option)) {
			argv[i + 1] = value;
			argc = (int)ARRAY_SIZE(argv) - 2;
		}
	}
	return args_parse(&args, argc, (char **)argv, e);
}

static void ids_have_64_letters_digits_and_dashes(void **state)
{
	static const char *const bad[] = {"",    "a/b", "..",  "a.b",
					  "a_b", "a b", "a\n", "\xc3\xa4"};
	char longest[66];
	struct err e;

	(void)state;
	memset(longest, 'Z', 65);
	longest[65] = '\0';
	assert_err(with("--id", longest, &e), e, "1 to 64 letters");
	longest[64] = '\0';
	assert_ok(with("--id", longest, &e), e);
	assert_ok(with("--id", "-aZ09-", &e), e);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(with("--id", bad[i], &e), e, "1 to 64 letters");
}

static void owners_are_numbers_that_the_kernel_takes(void **state)
{
	static const char *const bad[] = {"",           "-1",
					  "+1",         " 1",
					  "1 ",         "root",
					  "0x1",        "1.",
					  "4294967295", /* "leave as it is" */
					  "4294967296", "18446744073709551616"};
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_err(with("--uid", bad[i], &e), e, "--uid");
		assert_err(with("--gid", bad[i], &e), e, "--gid");
	}
	assert_ok(with("--uid", "0", &e), e);
	assert_ok(with("--gid", "4294967294", &e), e);
}

static void cgroup_lines_name_a_controllers_file(void **state)
{
	static const char *const bad[] = {
		"",         "cpu.max",     "cpu.max=",  "=1",
		"cpu=1",    ".max=1",      "cpu.=1",    "cpu/../x.max=1",
		"../a.b=1", "cpu.ma x=1",  "CPU.max=1", "cpu.max\n=1",
		".=1",      "cpu.max/x=1",
	};
	static const char *const good[] = {
		"cpuset.cpus=0-3", "memory.memsw.limit_in_bytes=1",
		"pids.max=max", "hugetlb.2mb.max==", "cpu.max=a.b=c"};
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(with("--cgroup", bad[i], &e), e,
			   "CONTROLLER.FILE=VALUE");
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(with("--cgroup", good[i], &e), e);
}

static void there_are_not_too_many_cgroup_lines(void **state)
{
	const char *argv[8 + 2 * (JAIL_CGROUPS_MAX + 1)] = {REQUIRED};
	struct jailer_args args;
	struct err e;

	(void)state;
	for (unsigned i = 8; i < ARRAY_SIZE(argv); i += 2) {
		argv[i] = "--cgroup";
		argv[i + 1] = "a.b=c";
	}
	assert_err(args_parse(&args, ARRAY_SIZE(argv), (char **)argv, &e), e,
		   "more than 32 times");
	assert_ok(args_parse(&args, ARRAY_SIZE(argv) - 2, (char **)argv, &e),
		  e);
	assert_int_equal(args.cgroup_count, JAIL_CGROUPS_MAX);
}

static void a_parent_cgroup_stays_below(void **state)
{
	static const char *const bad[] = {"",     "/",        "/a",   ".",
					  "..",   "a/..",     "../a", "a/./b",
					  "a//b", "a/../../b"};
	static const char *const good[] = {"a",           "a/b/c", "a/",
					   "a.slice/..b", "...",   "a b"};
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(with("--parent-cgroup", bad[i], &e), e,
			   "without . and ..");
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(with("--parent-cgroup", good[i], &e), e);
}

static void other_values_are_refused_by_name(void **state)
{
	static const char *const limits[] = {
		"",           "fsize",     "fsize=",
		"fsize=-1",   "=5",        "nproc=5",
		"no-file=5k", "no_file=5", "fsize=18446744073709551615"};
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++)
		assert_err(with("--resource-limit", limits[i], &e), e,
			   "fsize=BYTES or no-file=NUMBER");
	assert_err(with("--cgroup-version", "3", &e), e, "choose 1 or 2");
	assert_err(with("--cgroup-version", "", &e), e, "choose 1 or 2");
	assert_err(with("--node", "0", &e), e, "unknown option --node");
}

static void options_that_repeat_say_so(void **state)
{
	struct jailer_args args;
	struct err e;

	(void)state;
	assert_err(PARSE(&args, &e, "--uid", "9"), e, "--uid is given twice");
	assert_err(PARSE(&args, &e, "--daemonize", "--daemonize"), e, "twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults_are_firecrackers),
		cmocka_unit_test(all_options_are_taken),
		cmocka_unit_test(what_follows_two_dashes_is_the_vmms),
		cmocka_unit_test(each_required_option_is_asked_for),
		cmocka_unit_test(ids_have_64_letters_digits_and_dashes),
		cmocka_unit_test(owners_are_numbers_that_the_kernel_takes),
		cmocka_unit_test(cgroup_lines_name_a_controllers_file),
		cmocka_unit_test(there_are_not_too_many_cgroup_lines),
		cmocka_unit_test(a_parent_cgroup_stays_below),
		cmocka_unit_test(other_values_are_refused_by_name),
		cmocka_unit_test(options_that_repeat_say_so),
	};

	return RUN_TESTS("jailer_args", tests);
}
