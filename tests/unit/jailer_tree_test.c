/* SPDX-License-Identifier: Apache-2.0 */
/* Making things below a folder, and undoing it: jailer/jail/tree.c. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/jailer_world.h"
#include "tests/unit/testing.h"

static void make_folder(struct jailer_world *w, const char *path, bool is_new)
{
	struct err e;
	bool made;
	AUTO_CLOSE int fd = tree_mkdir(&w->tree, path, 0750, &made, &e);

	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(made, is_new);
}

static void what_was_made_is_undone_in_reverse(void **state)
{
	struct jailer_world *w = *state;
	unsigned before = testing_count_fds();
	struct stat st;
	struct err e;

	make_folder(w, "a", true);
	make_folder(w, "a/b", true);
	make_folder(w, "a", false);
	assert_ok(tree_write(&w->tree, "a/b/file", 0640, "text", &e), e);
	assert_string_equal(jailer_world_read(w, "a/b/file"), "text");
	assert_true(tree_look(&w->tree, "a/b/file", &st));
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	undo_all(&w->undo);
	assert_int_equal(jailer_world_count(w), 0);
	assert_int_equal(testing_count_fds(), before);
}

static void what_was_there_stays(void **state)
{
	struct jailer_world *w = *state;
	struct err e;

	jailer_world_folder(w, "old");
	jailer_world_file(w, "old/theirs", "1");
	make_folder(w, "old", false);
	make_folder(w, "new", true);
	jailer_world_file(w, "new/theirs", "2");
	assert_int_equal(tree_create(&w->tree, "old/theirs", 0600, &e), -1);
	assert_contains(e.text, "old/theirs: File exists");
	undo_all(&w->undo);
	assert_string_equal(jailer_world_read(w, "old/theirs"), "1");
	assert_string_equal(jailer_world_read(w, "new/theirs"), "2");
}

static void owner_and_mode_are_undone(void **state)
{
	struct jailer_world *w = *state;
	struct stat st;
	struct err e;

	jailer_world_folder(w, "f");
	assert_ok(tree_own(&w->tree, "f", getuid(), getgid(), 0700, &e), e);
	assert_true(tree_look(&w->tree, "f", &st));
	assert_int_equal(st.st_mode & 07777, 0700);
	undo_all(&w->undo);
	assert_true(tree_look(&w->tree, "f", &st));
	assert_int_equal(st.st_mode & 07777, 0755);
}

/* Each way in, with a path that leads through a symbolic link. */
static void assert_refused(struct jailer_world *w, const char *folder,
			   const char *words)
{
	char path[80];
	struct stat st;
	struct err e;
	bool made;

	snprintf(path, sizeof(path), "%s/x", folder);
	assert_err(tree_open(&w->tree, path, O_RDONLY, &e), e, words);
	assert_err(tree_mkdir(&w->tree, path, 0700, &made, &e), e, words);
	assert_err(tree_create(&w->tree, path, 0600, &e), e, words);
	assert_err(tree_mknod(&w->tree, path, 0, 0, 0, &e), e, words);
	assert_err(tree_own(&w->tree, path, 0, 0, 0700, &e), e, words);
	assert_err(tree_remove(&w->tree, path, &e), e, words);
	assert_false(tree_look(&w->tree, path, &st));
}

static void no_link_is_followed(void **state)
{
	struct jailer_world *w = *state;
	struct err e;
	bool made;

	jailer_world_folder(w, "in");
	jailer_world_folder(w, "in/side");
	jailer_world_file(w, "in/side/x", "kept");
	jailer_world_link(w, "link", "in/side");
	jailer_world_link(w, "out", "/tmp");
	jailer_world_link(w, "nowhere", "/nonexistent");
	assert_refused(w, "link", "is a symbolic link, or leads through one");
	assert_refused(w, "out", "is a symbolic link, or leads through one");
	assert_err(tree_mkdir(&w->tree, "link", 0700, &made, &e), e,
		   "symbolic link");
	assert_err(tree_own(&w->tree, "link", 0, 0, 0700, &e), e,
		   "symbolic link");
	assert_err(tree_create(&w->tree, "nowhere", 0600, &e), e,
		   "nowhere: File exists");
	undo_all(&w->undo);
	assert_string_equal(jailer_world_read(w, "in/side/x"), "kept");
	assert_string_equal(jailer_world_read(w, "link/x"), "kept");
}

static void no_path_leads_out(void **state)
{
	struct jailer_world *w = *state;

	jailer_world_folder(w, "in");
	assert_refused(w, "..", "cannot");
	assert_refused(w, "in/../..", "cannot");
	assert_refused(w, "/tmp", "cannot");
}

static void a_file_is_not_taken_for_a_folder(void **state)
{
	struct jailer_world *w = *state;
	struct err e;
	bool made;

	jailer_world_file(w, "file", "");
	assert_err(tree_mkdir(&w->tree, "file", 0700, &made, &e), e,
		   "file is not a folder; remove it");
	undo_all(&w->undo);
	assert_string_equal(jailer_world_read(w, "file"), "");
}

static void removing_stays_below(void **state)
{
	struct jailer_world *w = *state;
	struct err e;

	jailer_world_folder(w, "kept");
	jailer_world_file(w, "kept/file", "kept");
	jailer_world_folder(w, "gone");
	jailer_world_folder(w, "gone/a");
	jailer_world_file(w, "gone/a/file", "");
	jailer_world_link(w, "gone/a/link", "../../kept");
	jailer_world_link(w, "gone/up", "..");
	assert_ok(tree_remove(&w->tree, "gone", &e), e);
	assert_ok(tree_remove(&w->tree, "gone", &e), e);
	assert_ok(tree_remove(&w->tree, "gone/a/file", &e), e);
	assert_int_equal(jailer_world_count(w), 1);
	assert_string_equal(jailer_world_read(w, "kept/file"), "kept");
}

/* A VMM that was taken over may leave as many folders in each other. */
static void removing_ends(void **state)
{
	struct jailer_world *w = *state;
	unsigned before = testing_count_fds();
	char path[200] = "d";
	struct err e;

	jailer_world_folder(w, path);
	for (unsigned i = 0; i < 40; i++) {
		strcat(path, "/d");
		jailer_world_folder(w, path);
	}
	assert_int_equal(tree_remove(&w->tree, "d", &e), -1);
	assert_contains(e.text, "cannot remove");
	assert_int_equal(testing_count_fds(), before);
	/* A half at a time goes. */
	for (unsigned depth = 30; depth > 0; depth -= 10) {
		path[2 * depth - 1] = '\0';
		assert_ok(tree_remove(&w->tree, path, &e), e);
	}
}

static void many_things_are_undone(void **state)
{
	struct jailer_world *w = *state;
	char path[16];
	struct err e;

	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "f%u", i);
		assert_ok(tree_write(&w->tree, path, 0600, "", &e), e);
	}
	assert_int_equal(jailer_world_count(w), 300);
	undo_all(&w->undo);
	assert_int_equal(jailer_world_count(w), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JAILER_TEST(what_was_made_is_undone_in_reverse),
		JAILER_TEST(what_was_there_stays),
		JAILER_TEST(owner_and_mode_are_undone),
		JAILER_TEST(no_link_is_followed),
		JAILER_TEST(no_path_leads_out),
		JAILER_TEST(a_file_is_not_taken_for_a_folder),
		JAILER_TEST(removing_stays_below),
		JAILER_TEST(removing_ends),
		JAILER_TEST(many_things_are_undone),
	};

	return RUN_TESTS("jailer_tree", tests);
}
