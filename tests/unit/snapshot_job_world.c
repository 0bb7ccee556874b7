/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/snapshot_job_world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/memory/memory_mark.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_snapshot.h"

struct job_world job_world;

const char *job_state_path, *job_memory_path;

static pthread_t main_thread;

/* ------------------------------------------------------ a disk that is slow */

static void enter(enum job_call call)
{
	if (pthread_equal(pthread_self(), main_thread))
		return;
	atomic_fetch_add(&job_world.calls[call], 1);
	if (atomic_load(&job_world.is_slow))
		usleep(40000);
	if (atomic_load(&job_world.stuck_in) != (int)call)
		return;
	atomic_store(&job_world.is_stuck, true);
	while (atomic_load(&job_world.stuck_in) == (int)call)
		usleep(1000);
}

#define WRAP(type, name, params, args, call) \
	type __real_##name params;           \
	type __wrap_##name params;           \
	type __wrap_##name params            \
	{                                    \
		enter(call);                 \
		return __real_##name args;   \
	}

WRAP(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off_t at),
     (fd, buf, len, at), JOB_PWRITE)
WRAP(int, fsync, (int fd), (fd), JOB_FSYNC)
WRAP(int, sync_file_range, (int fd, off_t at, off_t len, unsigned flags),
     (fd, at, len, flags), JOB_SYNC_RANGE)

ssize_t __real_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);

/* Of memory, not of a mark in it. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags)
{
	if (iov->iov_len >= KIB(64))
		enter(JOB_PREAD);
	return __real_preadv64v2(fd, iov, n, at, flags);
}

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd)
{
	int r = __real_close(fd);

	if (r && errno == EBADF)
		atomic_fetch_add(&job_world.bad_closes, 1);
	return r;
}

void job_get_stuck_in(enum job_call call)
{
	atomic_store(&job_world.is_stuck, false);
	atomic_store(&job_world.stuck_in, (int)call);
}

void job_wait_until_stuck(void)
{
	while (!atomic_load(&job_world.is_stuck))
		usleep(1000);
}

void job_get_unstuck(void)
{
	atomic_store(&job_world.stuck_in, -1);
}

void job_be_slow(void)
{
	atomic_store(&job_world.is_slow, true);
	job_get_unstuck();
}

/* ---------------------------------------------------------------- the world */

int job_set_up(void **state)
{
	const struct guest_mem_region ram = {.gpa = 0x80000000,
					     .size = JOB_RAM};
	struct err e;

	(void)state;
	memset(&job_world, 0, sizeof(job_world));
	main_thread = pthread_self();
	job_state_path = job_memory_path = NULL;
	job_get_unstuck();
	snprintf(job_world.folder, sizeof(job_world.folder),
		 "/tmp/snapshot_job.XXXXXX");
	if (!mkdtemp(job_world.folder))
		return -1;
	snprintf(job_world.memory, sizeof(job_world.memory), "%s/memory",
		 job_world.folder);
	snprintf(job_world.state, sizeof(job_world.state), "%s/state",
		 job_world.folder);
	assert_ok(guest_mem_create(&job_world.mem, &ram, 1, &e), e);
	job_world.dirty = calloc(JOB_RAM / 4096 / 64, sizeof(uint64_t));
	return loop_init(&job_world.loop, &e);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

int job_tear_down(void **state)
{
	(void)state;
	free(job_world.dirty);
	guest_mem_destroy(&job_world.mem);
	loop_fini(&job_world.loop);
	return nftw(job_world.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void job_write_base(uint8_t id)
{
	AUTO_CLOSE int fd =
		open(job_world.memory, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	AUTO_FREE uint8_t *bytes = malloc(JOB_RAM);
	struct memory_mark mark = {.kind = MEMORY_WHOLE};

	memset(bytes, JOB_FILL, JOB_RAM);
	memset(mark.id, id, sizeof(mark.id));
	memcpy(bytes + vm_mark_offset(), &mark, sizeof(mark));
	assert_int_equal(io_pwrite(fd, bytes, JOB_RAM, 0), 0);
}

void job_dirty(uint64_t offset, uint8_t byte)
{
	memset(job_world.mem.region[0].host + offset, byte, 4096);
	job_world.dirty[offset / 4096 / 64] |= 1ull << offset / 4096 % 64;
}

uint8_t job_byte_at(uint64_t offset)
{
	AUTO_CLOSE int fd = open(job_world.memory, O_RDONLY | O_CLOEXEC);
	uint8_t byte = 0;

	assert_int_equal(io_pread(fd, &byte, 1, offset), 1);
	return byte;
}

bool job_file_exists(const char *name)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", job_world.folder, name);
	return !lstat(path, &st);
}

/* ------------------------------------------------------------------ the job */

static void on_done(void *context, int result, const struct err *e)
{
	(void)context;
	job_world.is_done = true;
	job_world.result = result;
	job_world.e = *e;
}

/* What a state begins with: which memory it goes with. */
static void make_state(struct snap *s)
{
	struct snapshot_id id = {.offset = vm_mark_offset()};

	snap_save(s, SNAPSHOT_VERSION);
	memcpy(id.bytes, job_world.mem.region[0].host + id.offset, 16);
	snapshot_id_state(&id, s);
}

struct snapshot_job *job_start(bool diff, bool sync)
{
	struct snapshot_job_work work = {.mem = &job_world.mem};
	struct snapshot_job *job;
	struct err e;

	work.body.state_path =
		strdup(job_state_path ? job_state_path : job_world.state);
	work.body.memory_path =
		strdup(job_memory_path ? job_memory_path : job_world.memory);
	work.body.diff = diff;
	work.body.sync = sync;
	work.changes.known = true;
	work.changes.words[0] = JOB_RAM / 4096 / 64;
	work.changes.owned[0] = calloc(work.changes.words[0], 8);
	memcpy(work.changes.owned[0], job_world.dirty, JOB_RAM / 4096 / 8);
	work.changes.bits[0] = work.changes.owned[0];
	work.mark.kind = MEMORY_SINCE_LAST;
	memset(work.mark.base, JOB_BASE, sizeof(work.mark.base));
	make_state(&work.state);
	job_world.is_done = false;
	job = snapshot_job_start(&work, &job_world.loop, on_done, NULL, &e);
	if (!job)
		fail_msg("%s", e.text);
	return job;
}

int job_end(struct snapshot_job *job)
{
	while (!job_world.is_done) {
		struct epoll_event event;

		assert_int_equal(
			epoll_wait(job_world.loop.epoll_fd, &event, 1, 20000),
			1);
		((struct event_source *)event.data.ptr)
			->ready(event.data.ptr, event.events);
	}
	assert_true(snapshot_job_destroy(job));
	return job_world.result;
}
