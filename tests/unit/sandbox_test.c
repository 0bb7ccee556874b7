/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be allowed to a confined process, and what is then closed to it:
 * vmm/sandbox.  The second part needs Landlock on the machine that runs this;
 * tests/integration/sandbox.sh has the same and more on the emulated host.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/sandbox/landlock.h"
#include "vmm/sandbox/sandbox.h"

static void paths_are_to_write_unless_they_say_otherwise(void **state)
{
	struct sandbox s = {0};
	struct err e;

	(void)state;
	assert_ok(sandbox_allow(&s, "/a/b", &e), e);
	assert_ok(sandbox_allow(&s, "/a:ro", &e), e);
	assert_int_equal(s.allowed_count, 2);
	assert_int_equal(s.allowed[0].len, 4);
	assert_false(s.allowed[0].read_only);
	assert_int_equal(s.allowed[1].len, 2);
	assert_true(s.allowed[1].read_only);
	/* "ro" alone is a file's name. */
	assert_ok(sandbox_allow(&s, "/ro", &e), e);
	assert_false(s.allowed[2].read_only);
}

static void wrong_paths_are_refused(void **state)
{
	char *longest = calloc(1, PATH_MAX + 1);
	struct sandbox s = {0};
	struct err e;

	(void)state;
	assert_err(sandbox_allow(&s, "", &e), e, "--allow-path \"\"");
	memset(longest, 'x', PATH_MAX);
	assert_err(sandbox_allow(&s, longest, &e), e, "is not a path");
	free(longest);
	for (unsigned i = 0; i < SANDBOX_PATHS_MAX; i++)
		assert_ok(sandbox_allow(&s, "/", &e), e);
	assert_err(sandbox_allow(&s, "/", &e), e, "at most 16 times");
}

/* ------------------------------------------------------------- in a process */

static char folder[64];

static const char *in(const char *name)
{
	static char path[4][128];
	static unsigned next;

	next = (next + 1) % ARRAY_SIZE(path);
	snprintf(path[next], sizeof(path[0]), "%s/%s", folder, name);
	return path[next];
}

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/sandbox_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(mkdir(in("shots"), 0700), 0);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = {"read", "none",
						    "shots/socket"};
		int fd = open(in(names[i]), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
	}
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command); /* NOLINT(cert-env33-c): a fixed command */
}

static int try_open(const char *path, int flags)
{
	AUTO_CLOSE int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

static bool has_landlock(void)
{
	struct landlock l;
	bool has = landlock_begin(&l, true);

	util_close(&l.fd);
	return has;
}

/* The number of the check that fails, or 0, of a process that is confined. */
static int confined(const struct sandbox *s, const struct vm_config *config)
{
	AUTO_CLOSE int before = open(in("none"), O_RDWR | O_CLOEXEC);

	sandbox_begin(s);
	sandbox_enter(s, config);
	if (try_open(in("none"), O_RDONLY) != EACCES)
		return 1;
	if (try_open(in("read"), O_RDONLY) ||
	    try_open(in("read"), O_WRONLY) != EACCES)
		return 2;
	if (try_open(in("shots/new"), O_RDWR | O_CREAT) ||
	    rename(in("shots/new"), in("shots/newer")))
		return 3;
	if (try_open(in("new"), O_RDWR | O_CREAT) != EACCES)
		return 4;
	if (write(before, "x", 1) != 1 || ftruncate(before, 0))
		return 5;
	if (unlink(in("read")) != -1 || errno != EACCES)
		return 6;
	if (unlink(config->vsock.uds_path))
		return 7;
	if (!execl("/bin/true", "true", NULL) || errno != EACCES)
		return 8;
	return 0;
}

static void what_is_not_allowed_is_closed(void **state)
{
	struct sandbox s = {.has_api = true};
	struct vm_config config;
	char allowed[2][160];
	struct err e;
	pid_t child;
	int status;

	(void)state;
	if (!has_landlock())
		skip();
	vm_config_init(&config);
	vm_config_set(&config.vsock.uds_path, in("shots/socket"), &e);
	snprintf(allowed[0], sizeof(allowed[0]), "%s:ro", in("read"));
	snprintf(allowed[1], sizeof(allowed[1]), "%s", in("shots"));
	assert_ok(sandbox_allow(&s, allowed[0], &e), e);
	assert_ok(sandbox_allow(&s, allowed[1], &e), e);
	child = fork();
	if (!child)
		_exit(confined(&s, &config));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	vm_config_fini(&config);
}

static int not_confined(void)
{
	const struct sandbox s = {.off = true};
	struct vm_config config;
	struct rlimit core;

	vm_config_init(&config);
	sandbox_begin(&s);
	sandbox_enter(&s, &config);
	if (try_open(in("none"), O_RDWR))
		return 1;
	return getrlimit(RLIMIT_CORE, &core) || core.rlim_max == 1 ? 2 : 0;
}

static void no_sandbox_restricts_nothing(void **state)
{
	pid_t child;
	int status;

	(void)state;
	child = fork();
	if (!child)
		_exit(not_confined());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define t(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_to_write_unless_they_say_otherwise),
		cmocka_unit_test(wrong_paths_are_refused),
		t(what_is_not_allowed_is_closed),
		t(no_sandbox_restricts_nothing),
	};

	return RUN_TESTS("sandbox", tests);
}
