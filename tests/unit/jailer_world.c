/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jailer_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"

int jailer_world_set_up(void **state)
{
	struct jailer_world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	snprintf(w->path, sizeof(w->path), "/tmp/jailer_test.XXXXXX");
	assert_non_null(mkdtemp(w->path));
	w->tree.fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->tree.fd >= 0);
	w->tree.name = w->path;
	w->tree.undo = &w->undo;
	*state = w;
	return 0;
}

int jailer_world_tear_down(void **state)
{
	struct jailer_world *w = *state;
	struct err e;

	undo_free(&w->undo);
	close(w->tree.fd);
	w->tree.fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_remove(&w->tree, w->path + strlen("/tmp/"), &e))
		fail_msg("%s", e.text);
	close(w->tree.fd);
	free(w);
	return 0;
}

void jailer_world_file(struct jailer_world *w, const char *path,
		       const char *text)
{
	AUTO_CLOSE int fd =
		openat(w->tree.fd, path,
		       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void jailer_world_folder(struct jailer_world *w, const char *path)
{
	assert_int_equal(mkdirat(w->tree.fd, path, 0755), 0);
}

void jailer_world_link(struct jailer_world *w, const char *path,
		       const char *target)
{
	assert_int_equal(symlinkat(target, w->tree.fd, path), 0);
}

const char *jailer_world_read(struct jailer_world *w, const char *path)
{
	static char text[4096];
	AUTO_CLOSE int fd = openat(w->tree.fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len < 0)
		return NULL;
	text[len] = '\0';
	return text;
}

unsigned jailer_world_count(struct jailer_world *w)
{
	DIR *list = opendir(w->path);
	unsigned count = 0;

	assert_non_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count - 2; /* . and .. */
}
