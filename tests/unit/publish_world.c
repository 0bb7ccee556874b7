/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/publish_world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/io.h"
#include "snapshot/codec.h"
#include "snapshot/state_file.h"

/* ------------------------------------------------ dying at every step, etc. */

static int die_at; /* the call before which this process dies; 0: never */
int fail_at;
int calls;
char trace[4096];

static bool step(const char *what, const char *path)
{
	const char *name = strrchr(path, '/');
	size_t len = strlen(trace);

	calls++;
	if (calls == die_at)
		_exit(77);
	snprintf(trace + len, sizeof(trace) - len, "%s %s;", what,
		 name ? name + 1 : path);
	if (calls != fail_at)
		return false;
	errno = EIO;
	return true;
}

static const char *path_of(int fd)
{
	static char path[PATH_MAX];
	ssize_t n = readlink(testing_file_path(fd), path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	return path;
}

#define WRAP(type, name, params, args, path)                        \
	type __real_##name params;                                  \
	type __wrap_##name params;                                  \
	type __wrap_##name params                                   \
	{                                                           \
		return step(#name, path) ? -1 : __real_##name args; \
	}

WRAP(int, rename, (const char *from, const char *to), (from, to), from)
WRAP(int, unlink, (const char *path), (path), path)
WRAP(int, fsync, (int fd), (fd), path_of(fd))
WRAP(int, flock, (int fd, int how), (fd, how), path_of(fd))

unsigned created_mode;

int __real_open64(const char *path, int flags, unsigned mode);
int __wrap_open64(const char *path, int flags, unsigned mode);

int __wrap_open64(const char *path, int flags, unsigned mode)
{
	if (flags & O_CREAT)
		created_mode |= mode;
	return step("open64", path) ? -1 : __real_open64(path, flags, mode);
}

WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at),
     (fd, buf, len, at), path_of(fd))

/* ----------------------------------------------------------------- a folder */

char folder[64], state_path[128], memory_path[128];

int make_folder(void **state)
{
	(void)state;
	die_at = fail_at = calls = 0;
	created_mode = 0;
	snprintf(folder, sizeof(folder), "/tmp/stasis-publish-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(state_path, sizeof(state_path), "%s/state", folder);
	snprintf(memory_path, sizeof(memory_path), "%s/memory", folder);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

int remove_folder(void **state)
{
	(void)state;
	die_at = fail_at = 0;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void empty_folder(void **state)
{
	remove_folder(state);
	make_folder(state);
}

bool exists(const char *path)
{
	return !access(path, F_OK);
}

const char *next(const char *path)
{
	static char name[160];

	snprintf(name, sizeof(name), "%s.next", path);
	return name;
}

/* ----------------------------------------------- snapshots, by their number */

/* Long enough that a part of it is not all of it. */
int fill(struct publish *p, uint8_t number, struct err *e)
{
	struct snapshot_id id = {.offset = ID_AT};
	uint8_t rest[100];
	struct snap s;
	size_t len;
	const void *body;
	int r;

	memset(id.bytes, number, sizeof(id.bytes));
	memset(rest, number, sizeof(rest));
	if (p->memory_fd >= 0 &&
	    (publish_invalidate(p, ID_AT, true, e) ||
	     io_pwrite(p->memory_fd, rest, sizeof(rest) / 2, 0) ||
	     io_pwrite(p->memory_fd, id.bytes, sizeof(id.bytes), ID_AT) ||
	     io_pwrite(p->memory_fd, rest, sizeof(rest), 0)))
		return -1;
	if (publish_memory_written(p, true, e))
		return -1;
	snap_save(&s, 1);
	snapshot_id_state(&id, &s);
	snap_bytes(&s, rest, sizeof(rest));
	body = snap_data(&s, &len);
	r = state_file_save(p->state_fd, body, len, e);
	snap_fini(&s);
	return r;
}

int write_snapshot(const char *memory, uint8_t number, bool sync, struct err *e)
{
	struct publish p;

	calls = 0;
	trace[0] = '\0';
	if (publish_begin(&p, state_path, memory, e))
		return -1;
	if (!fill(&p, number, e))
		return publish_commit(&p, sync, e);
	publish_abandon(&p);
	return -1;
}

/* Whole and consistent: which one?  -1: none. */
int which(const char *memory)
{
	struct published p;
	uint8_t bytes[100];
	int number = -1;
	struct err e;

	if (publish_open(&p, state_path, memory, &e))
		return -1;
	assert_true(p.len > 100);
	number = ((uint8_t *)p.body)[p.len - 1];
	if (memory) {
		assert_int_equal(io_pread(p.memory_fd, bytes, 100, 0), 100);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(bytes[i], number);
	}
	publish_close(&p);
	return number;
}

/* In a process that dies before call @at; true if it lived to the end. */
bool killed_at(int at, const char *memory, uint8_t number)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct err e;

		die_at = at;
		_exit(write_snapshot(memory, number, true, &e) ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 77)
		assert_int_equal(WEXITSTATUS(status), 0);
	return !WEXITSTATUS(status);
}
