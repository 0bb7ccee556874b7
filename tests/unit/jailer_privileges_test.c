/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up privileges, and seeing whether it worked: jailer/privileges.c.  In
 * children; what takes root is skipped without.
 */
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jailer/privileges.h"
#include "tests/unit/testing.h"

enum { UID = 12345, GID = 12346 };

/* What a child finds: the words of its check, or "" if all is well. */
static const char *in_child(void (*act)(void), uid_t uid, gid_t gid)
{
	static char text[1024];
	int ends[2], status;
	ssize_t len;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct err e = {""};

		act();
		if (!privileges_check(uid, gid, &e))
			e.text[0] = '\0';
		len = write(ends[1], e.text, strlen(e.text) + 1);
		_exit(len < 0);
	}
	close(ends[1]);
	len = read(ends[0], text, sizeof(text));
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(len > 0);
	return text;
}

static void nothing(void)
{
}

/* From a caller that has groups. */
static void drop(void)
{
	const gid_t groups[] = {1, 2};
	struct err e;

	if (setgroups(2, groups) || privileges_drop(UID, GID, &e))
		_exit(1);
}

static void drop_to_root(void)
{
	struct err e;

	if (privileges_drop(0, 0, &e))
		_exit(1);
}

/* As a naive jailer does. */
static void change_user(void)
{
	if (setgroups(0, NULL) || setresgid(GID, GID, GID) ||
	    setresuid(UID, UID, UID))
		_exit(1);
}

static void change_user_keeping_groups(void)
{
	const gid_t groups[] = {1, 2};

	if (setgroups(2, groups) || setresgid(GID, GID, GID) ||
	    setresuid(UID, UID, UID))
		_exit(1);
}

static void change_effective_user(void)
{
	if (setgroups(0, NULL) || setresgid(GID, GID, GID) ||
	    setresuid(-1, UID, -1))
		_exit(1);
}

static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void all_is_dropped(void **state)
{
	(void)state;
	needs_root();
	assert_string_equal(in_child(drop, UID, GID), "");
	assert_string_equal(in_child(drop_to_root, 0, 0), "");
}

static void another_user_is_seen(void **state)
{
	(void)state;
	assert_contains(in_child(nothing, UID, GID), "another user");
	assert_contains(in_child(nothing, geteuid(), GID), "another group");
}

static void what_a_naive_jailer_leaves_is_seen(void **state)
{
	(void)state;
	needs_root();
	assert_contains(in_child(change_effective_user, UID, GID),
			"another user");
	assert_contains(in_child(change_user_keeping_groups, UID, GID),
			"supplementary groups");
	assert_contains(in_child(change_user, UID, GID), "bounding set");
}

/* As Firecracker's does with --uid 0. */
static void become_root(void)
{
	if (setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0))
		_exit(1);
}

static void roots_capabilities_are_seen(void **state)
{
	(void)state;
	needs_root();
	assert_contains(in_child(become_root, 0, 0), "have capabilities");
}

static void drop_without_root_says_why(void **state)
{
	struct err e;

	(void)state;
	if (geteuid() == 0)
		skip();
	assert_err(privileges_drop(UID, GID, &e), e, "not permitted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_dropped),
		cmocka_unit_test(another_user_is_seen),
		cmocka_unit_test(what_a_naive_jailer_leaves_is_seen),
		cmocka_unit_test(roots_capabilities_are_seen),
		cmocka_unit_test(drop_without_root_says_why),
	};

	return RUN_TESTS("jailer_privileges", tests);
}
