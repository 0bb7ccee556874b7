/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the files of a snapshot go (snapshot/target.c): what others put there
 * stays, and what a launcher prepared keeps its owner, mode and place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "tests/unit/publish_world.h"

enum { LAUNCHER = 1234, OTHER = 4321 };

static struct stat stat_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static void prepare(const char *path, mode_t mode, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(io_pwrite(fd, text, strlen(text), 0), 0);
}

static void assert_text(const char *path, const char *text)
{
	char *found;
	size_t len;
	struct err e;

	found = io_read_file(path, 100, &len, &e);
	assert_non_null(found);
	assert_string_equal(found, text);
	free(found);
}

static void write_ok(uint8_t number)
{
	struct err e;

	assert_ok(write_snapshot(memory_path, number, true, &e), e);
	assert_int_equal(which(memory_path), number);
	assert_false(exists(next(state_path)) || exists(next(memory_path)));
}

/* As somebody who may do less; root again afterwards. */
static bool become(uid_t uid)
{
	return !geteuid() && !setegid(uid) && !seteuid(uid);
}

static void become_root(void)
{
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
}

/* --------------------------------------------------------- what others have */

static void assert_refused_for(const char *path)
{
	struct err e;

	prepare(path, 0600, "mine");
	assert_err(write_snapshot(memory_path, 1, true, &e), e,
		   "no snapshot left it there; move it away");
	assert_contains(e.text, path);
	assert_text(path, "mine");
	assert_false(exists(state_path) || exists(memory_path));
	assert_int_equal(unlink(path), 0);
}

static void a_file_of_somebody_else_is_not_removed(void **state)
{
	char path[200];

	(void)state;
	snprintf(path, sizeof(path), "%s", next(state_path));
	assert_refused_for(path);
	snprintf(path, sizeof(path), "%s", next(memory_path));
	assert_refused_for(path);
	write_ok(1);
}

/* Somebody's copy of a state, which looks like ours. */
static void a_copy_of_a_state_is_not_removed(void **state)
{
	char copy[200];
	struct err e;

	(void)state;
	write_ok(1);
	snprintf(copy, sizeof(copy), "%s", next(state_path));
	assert_int_equal(link(state_path, copy), 0);
	assert_err(write_snapshot(memory_path, 2, true, &e), e, copy);
	assert_int_equal(which(memory_path), 1);
	assert_true(exists(copy));
}

/* Also an empty one, of a writer that died at once. */
static void what_a_writer_left_is_removed(void **state)
{
	(void)state;
	prepare(next(state_path), 01600, "");
	prepare(next(memory_path), 01600, "half");
	write_ok(1);
	assert_int_equal(stat_of(state_path).st_mode & 07777, 0600);
	assert_int_equal(stat_of(memory_path).st_mode & 07777, 0600);
}

/* ------------------------------------------------------ what a launcher did */

static void owner_and_mode_stay(void **state)
{
	ino_t before;

	(void)state;
	prepare(state_path, 0644, "");
	prepare(memory_path, 0640, "an older one, which is replaced");
	if (!geteuid()) {
		assert_int_equal(chown(state_path, LAUNCHER, OTHER), 0);
		assert_int_equal(chown(memory_path, LAUNCHER, OTHER), 0);
	}
	before = stat_of(memory_path).st_ino;
	for (uint8_t n = 1; n < 4; n++) {
		write_ok(n);
		assert_int_equal(stat_of(state_path).st_mode & 07777, 0644);
		assert_int_equal(stat_of(memory_path).st_mode & 07777, 0640);
		if (geteuid())
			continue;
		assert_int_equal(stat_of(state_path).st_uid, LAUNCHER);
		assert_int_equal(stat_of(memory_path).st_uid, LAUNCHER);
		assert_int_equal(stat_of(memory_path).st_gid, OTHER);
	}
	/* It was replaced all the same: who had it mapped has the old one. */
	assert_int_not_equal(stat_of(memory_path).st_ino, before);
}

static void attributes_stay(void **state)
{
	char value[8] = "";

	(void)state;
	prepare(memory_path, 0600, "");
	if (setxattr(memory_path, "user.who", "us", 2, 0))
		skip();
	write_ok(1);
	assert_int_equal(getxattr(memory_path, "user.who", value, 8), 2);
	assert_string_equal(value, "us");
}

static void new_files_have_the_mode_that_was_asked_for(void **state)
{
	struct publish p;
	struct err e;

	(void)state;
	prepare(memory_path, 0604, "");
	assert_ok(publish_begin(&p, state_path, memory_path, &e), e);
	publish_set_mode(&p, 0640);
	assert_int_equal(fill(&p, 1, &e), 0);
	assert_ok(publish_commit(&p, true, &e), e);
	assert_int_equal(which(memory_path), 1);
	/* Not even for a moment can others open it. */
	assert_int_equal(created_mode & 0777, 0600);
	assert_int_equal(stat_of(state_path).st_mode & 07777, 0640);
	assert_int_equal(stat_of(memory_path).st_mode & 07777, 0604);
}

static void a_link_stays_a_link(void **state)
{
	char far[128], target[160];

	(void)state;
	snprintf(far, sizeof(far), "%s/far", folder);
	snprintf(target, sizeof(target), "%s/M", far);
	assert_int_equal(mkdir(far, 0700), 0);
	/* Relative, by way of another one, and to what is not there yet. */
	assert_int_equal(symlink("far/M", memory_path), 0);
	assert_int_equal(symlink("memory2", state_path), 0);
	snprintf(far, sizeof(far), "%s/memory2", folder);
	assert_int_equal(symlink("far/S", far), 0);
	for (uint8_t n = 1; n < 3; n++) {
		write_ok(n);
		assert_true(S_ISLNK(stat_of(memory_path).st_mode));
		assert_true(S_ISLNK(stat_of(state_path).st_mode));
		assert_true(S_ISREG(stat_of(target).st_mode));
	}
}

static void links_that_go_in_circles_are_refused(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(symlink("memory", memory_path), 0);
	assert_err(write_snapshot(memory_path, 1, true, &e), e,
		   "cannot follow the link");
}

/* Of which a writer died between the renames. */
static void a_state_behind_a_link_is_completed(void **state)
{
	char real[128];
	struct err e;
	int between = 0;

	do {
		empty_folder(state);
		snprintf(real, sizeof(real), "%s/real", folder);
		assert_int_equal(symlink("real", state_path), 0);
		assert_ok(write_snapshot(memory_path, 1, false, &e), e);
		assert_false(killed_at(++between, memory_path, 2));
	} while (which(memory_path) != 2);
	assert_true(exists(next(real)));
	write_ok(3);
}

/* --------------------------------------------------------- filled in place */

/* Files of ours in a folder that is not: how jailers prepare them. */
static bool prepare_as_a_jailer(void)
{
	if (geteuid())
		return false;
	prepare(state_path, 0600, "");
	prepare(memory_path, 0644, "an older one");
	assert_int_equal(chown(state_path, LAUNCHER, LAUNCHER), 0);
	assert_int_equal(chown(memory_path, LAUNCHER, LAUNCHER), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	return become(LAUNCHER);
}

static void a_folder_that_may_not_be_written_to_will_do(void **state)
{
	ino_t before;

	(void)state;
	if (!prepare_as_a_jailer())
		skip();
	before = stat_of(memory_path).st_ino;
	write_ok(1);
	write_ok(2);
	assert_int_equal(stat_of(memory_path).st_ino, before);
	assert_int_equal(stat_of(memory_path).st_mode & 07777, 0644);
	become_root();
}

/* Or it would have to become ours. */
static void a_file_whose_owner_cannot_be_kept_is_filled(void **state)
{
	ino_t before;

	(void)state;
	prepare(memory_path, 0666, "");
	before = stat_of(memory_path).st_ino;
	assert_int_equal(chmod(folder, 0777), 0);
	if (!become(LAUNCHER))
		skip();
	write_ok(1);
	assert_int_equal(stat_of(memory_path).st_ino, before);
	assert_int_equal(stat_of(memory_path).st_uid, 0);
	assert_int_equal(stat_of(state_path).st_uid, LAUNCHER);
	become_root();
}

static void in_a_sticky_folder_a_file_of_others_is_filled(void **state)
{
	(void)state;
	prepare(memory_path, 0666, "");
	assert_int_equal(chmod(folder, 01777), 0);
	if (!become(LAUNCHER))
		skip();
	write_ok(1);
	assert_int_equal(stat_of(memory_path).st_uid, 0);
	become_root();
}

static void what_can_neither_be_replaced_nor_filled_is_named(void **state)
{
	struct err e;

	(void)state;
	if (!prepare_as_a_jailer())
		skip();
	assert_int_equal(chmod(memory_path, 0444), 0);
	assert_err(write_snapshot(memory_path, 1, true, &e), e,
		   "nor open it for writing: Permission denied");
	assert_contains(e.text, memory_path);
	become_root();
	/* The state was not touched. */
	assert_text(state_path, "");
}

/* /dev/fd/N, also of a file that has no name. */
static void a_descriptor_is_filled(void **state)
{
	char of_fd[40], of_proc[40];
	struct err e;
	int fd = testing_file("old", 3);
	AUTO_CLOSE int owned = fd;

	(void)state;
	snprintf(of_fd, sizeof(of_fd), "/dev/fd/%d", fd);
	snprintf(of_proc, sizeof(of_proc), "/proc/self/fd/%d", fd);
	assert_ok(write_snapshot(of_fd, 1, true, &e), e);
	assert_int_equal(which(of_proc), 1);
	assert_int_equal(owned, fd);
}

/* The VMM has fewer rights than who opened it. */
static void a_descriptor_may_do_more_than_the_vmm(void **state)
{
	AUTO_CLOSE int fd = testing_file("old", 3);
	char path[40], by_path[100];
	struct err e;

	(void)state;
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fd < 0 || fchmod(fd, 0600))
		fail();
	assert_int_equal(chmod(folder, 0777), 0);
	if (!become(LAUNCHER))
		skip();
	assert_ok(write_snapshot(path, 1, true, &e), e);
	become_root();
	snprintf(by_path, sizeof(by_path), "/proc/%d/fd/%d", (int)getpid(), fd);
	assert_int_equal(which(by_path), 1);
}

static void a_mounted_file_is_filled(void **state)
{
	char real[128];
	ino_t before;

	(void)state;
	snprintf(real, sizeof(real), "%s/real", folder);
	prepare(real, 0600, "");
	prepare(memory_path, 0600, "");
	if (mount(real, memory_path, NULL, MS_BIND, NULL))
		skip();
	before = stat_of(real).st_ino;
	write_ok(1);
	assert_int_equal(stat_of(memory_path).st_ino, before);
	assert_int_equal(umount(memory_path), 0);
}

/* Somebody runs from it: it would change under their feet. */
static void memory_that_is_in_use_is_not_filled(void **state)
{
	struct published user;
	struct err e;

	(void)state;
	if (!prepare_as_a_jailer())
		skip();
	write_ok(1);
	assert_ok(publish_open(&user, state_path, memory_path, &e), e);
	assert_err(write_snapshot(memory_path, 2, true, &e), e,
		   "a microVM runs from it");
	publish_close(&user);
	write_ok(2);
	become_root();
}

/* Nor is what another writer is filling replaced under it. */
static void memory_that_is_being_filled_is_left(void **state)
{
	struct err e;
	int fd;

	(void)state;
	write_ok(1);
	fd = open(memory_path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_err(write_snapshot(memory_path, 2, true, &e), e,
		   "another snapshot is being written there");
	assert_int_equal(which(memory_path), -1);
	close(fd);
	assert_int_equal(which(memory_path), 1);
}

/* Memory that is being filled has no identity from before its first change on,
 * and the state is the last that is written. */
static void who_dies_while_filling_leaves_old_new_or_none(void **state)
{
	unsigned none = 0, done = 0;

	for (int at = 1;; at++) {
		bool lived;
		int n;

		empty_folder(state);
		if (!prepare_as_a_jailer())
			skip();
		write_ok(1);
		lived = killed_at(at, memory_path, 2);
		n = which(memory_path);
		none += n == -1;
		done += n == 2;
		assert_true(n == 1 || n == 2 || n == -1);
		/* And the next one copes with it. */
		write_ok(3);
		become_root();
		if (lived)
			break;
	}
	assert_true(none > 2 && done > 0);
}

int main(void)
{
	static const struct log_config quiet = {.level = LOG_OFF, .fd = 2};
	static const struct CMUnitTest tests[] = {
		in_folder(a_file_of_somebody_else_is_not_removed),
		in_folder(a_copy_of_a_state_is_not_removed),
		in_folder(what_a_writer_left_is_removed),
		in_folder(owner_and_mode_stay),
		in_folder(attributes_stay),
		in_folder(new_files_have_the_mode_that_was_asked_for),
		in_folder(a_link_stays_a_link),
		in_folder(links_that_go_in_circles_are_refused),
		in_folder(a_state_behind_a_link_is_completed),
		in_folder(a_folder_that_may_not_be_written_to_will_do),
		in_folder(a_file_whose_owner_cannot_be_kept_is_filled),
		in_folder(in_a_sticky_folder_a_file_of_others_is_filled),
		in_folder(what_can_neither_be_replaced_nor_filled_is_named),
		in_folder(a_descriptor_is_filled),
		in_folder(a_descriptor_may_do_more_than_the_vmm),
		in_folder(a_mounted_file_is_filled),
		in_folder(memory_that_is_in_use_is_not_filled),
		in_folder(memory_that_is_being_filled_is_left),
		in_folder(who_dies_while_filling_leaves_old_new_or_none),
	};

	log_configure(&quiet);
	return RUN_TESTS("publish_keep", tests);
}
