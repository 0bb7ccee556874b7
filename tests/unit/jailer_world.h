/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder with a tree on it, for tests of the jailer. */
#pragma once

#include "jailer/jail/tree.h"

struct jailer_world {
	char path[40];
	struct undo undo;
	struct tree tree;
};

int jailer_world_set_up(void **state);
int jailer_world_tear_down(void **state);

#define JAILER_TEST(test)                                          \
	cmocka_unit_test_setup_teardown(test, jailer_world_set_up, \
					jailer_world_tear_down)

/* Make a file with that text; a folder; a symbolic link. */
void jailer_world_file(struct jailer_world *w, const char *path,
		       const char *text);
void jailer_world_folder(struct jailer_world *w, const char *path);
void jailer_world_link(struct jailer_world *w, const char *path,
		       const char *target);

/* The text of a file; NULL if there is none. */
const char *jailer_world_read(struct jailer_world *w, const char *path);

/* How many names there are in the folder. */
unsigned jailer_world_count(struct jailer_world *w);
