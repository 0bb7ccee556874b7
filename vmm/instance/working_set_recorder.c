/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/working_set_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "core/machine/mem.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/thread.h"
#include "snapshot/publish.h"
#include "snapshot/working_set.h"

enum {
	FIRST_MS = 2,   /* the first sample; then after 4, 8, 16 ms ... */
	WRITE_MS = 100, /* how long the main thread waits for the file */
};

struct working_set_recorder {
	struct working_set set;
	const struct guest_mem *mem;
	struct event_loop *loop;
	struct event_source timer;
	int timer_fd;
	/* When the next sample is due, since the guest started; 0: it has not
	 * started yet. */
	unsigned due_ms;
	struct publish file;
};

/*
 * Make samples exact: a fault maps a page together with its neighbours that are
 * in the page cache (16 pages, or a huge page), which were not touched.  So
 * drop the file from the page cache, as far as no other process uses it, and
 * let faults read single pages (MADV_RANDOM).
 */
static void be_exact(const struct guest_mem *mem, int fd)
{
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (unsigned i = 0; i < mem->region_count; i++)
		(void)madvise(mem->region[i].host, mem->region[i].size,
			      MADV_RANDOM);
}

/* Undo it. */
static void be_quick(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->region_count; i++)
		(void)madvise(mem->region[i].host, mem->region[i].size,
			      MADV_NORMAL);
}

/* Release all but @rec itself and the timer's fd. */
static void end(struct working_set_recorder *rec)
{
	loop_remove(rec->loop, &rec->timer);
	publish_abandon(&rec->file);
	working_set_fini(&rec->set);
}

/* What the thread that writes the file owns. */
struct writing {
	struct working_set set;
	struct publish file;
};

static void *writing_thread(void *arg)
{
	struct writing *w = arg;
	struct err e;

	thread_set_name("working_set");
	seccomp_enter(SECCOMP_WORKING_SET);
	/* Not synced: a power loss costs only the hint. */
	if (working_set_save(&w->set, w->file.state_fd, &e) ||
	    publish_commit(&w->file, false, &e))
		log_warn("the working set was not recorded: %s", e.text);
	else
		log_info("recorded the working set: %u ranges, %s",
			 w->set.range_count, w->file.state.path);
	publish_abandon(&w->file);
	working_set_fini(&w->set);
	free(w);
	return NULL;
}

/*
 * Start a thread that writes the file, and wait for it, at most WRITE_MS,
 * because the disk may be slow and a client waits for the pause.
 */
static int write_file(struct working_set_recorder *rec, struct err *e)
{
	struct writing *w = malloc(sizeof(*w));
	pthread_t thread;
	int r = ENOMEM;

	if (w) {
		*w = (struct writing){rec->set, rec->file};
		r = thread_start(&thread, writing_thread, w);
	}
	if (r) {
		free(w);
		errno = r;
		return err_errno(e, "cannot start a thread for it");
	}
	rec->set = (struct working_set){0};
	rec->file.state_fd = -1;
	thread_join(thread, WRITE_MS);
	return 0;
}

/* Take the last sample and write the file. */
static void complete(struct working_set_recorder *rec)
{
	struct err e;

	if (working_set_sample(&rec->set, rec->mem, &e) || write_file(rec, &e))
		log_warn("the working set was not recorded: %s", e.text);
	be_quick(rec->mem);
	end(rec);
}

static void arm(struct working_set_recorder *rec, unsigned ms)
{
	const struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000,
			     .tv_nsec = ms % 1000 * 1000000L},
	};

	timerfd_settime(rec->timer_fd, 0, &when, NULL);
}

static void on_timer(struct event_source *source, uint32_t events)
{
	struct working_set_recorder *rec =
		container_of(source, struct working_set_recorder, timer);
	unsigned now = rec->due_ms;
	struct err e;

	(void)events;
	if (now == WORKING_SET_RECORD_MS) {
		complete(rec);
		return;
	}
	/* A sample that failed is not fatal: a later one finds those pages,
	 * too. */
	if (working_set_sample(&rec->set, rec->mem, &e))
		log_debug("%s", e.text);
	rec->due_ms = (unsigned)min_u64(2ul * now, WORKING_SET_RECORD_MS);
	arm(rec, rec->due_ms - now);
}

static int prepare(struct working_set_recorder *rec, const char *memory_path,
		   const struct published *files, struct err *e)
{
	char path[PATH_MAX + sizeof(WORKING_SET_SUFFIX)];
	struct statx st;

	snprintf(path, sizeof(path), "%s" WORKING_SET_SUFFIX, memory_path);
	memcpy(rec->set.id, files->id.bytes, sizeof(rec->set.id));
	rec->set.memory_size = files->memory_size;
	rec->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	rec->timer.ready = on_timer;
	if (rec->timer_fd < 0 ||
	    loop_add(rec->loop, &rec->timer, rec->timer_fd, EPOLLIN))
		return err_errno(e, "cannot create a timer");
	if (publish_begin(&rec->file, path, NULL, e))
		return -1;
	/* Readable by all who may read the memory file. */
	if (!io_look(files->memory_fd, &st))
		publish_set_mode(&rec->file, st.stx_mode & 0666);
	be_exact(rec->mem, files->memory_fd);
	/* First the pages that the restore itself touched. */
	return working_set_sample(&rec->set, rec->mem, e);
}

static void free_recorder(struct working_set_recorder *rec)
{
	end(rec);
	util_close(&rec->timer_fd);
	free(rec);
}

struct working_set_recorder *
working_set_recorder_create(const struct guest_mem *mem,
			    struct event_loop *loop, const char *memory_path,
			    const struct published *files, struct err *e)
{
	struct working_set_recorder *rec = calloc(1, sizeof(*rec));

	seccomp_expect_threads();

	if (!rec) {
		err_errno(e, "cannot record the working set");
		return NULL;
	}
	rec->mem = mem;
	rec->loop = loop;
	rec->timer_fd = rec->timer.fd = -1;
	rec->file.state_fd = rec->file.memory_fd = -1;
	if (!prepare(rec, memory_path, files, e))
		return rec;
	err_prefix(e, "cannot record the working set");
	free_recorder(rec);
	return NULL;
}

void working_set_recorder_start(struct working_set_recorder *rec)
{
	if (rec->due_ms)
		return;
	rec->due_ms = FIRST_MS;
	arm(rec, FIRST_MS);
}

void working_set_recorder_finish(struct working_set_recorder *rec)
{
	if (!rec)
		return;
	/* set.seen is NULL after complete(). */
	if (rec->due_ms && rec->set.seen)
		complete(rec);
	free_recorder(rec);
}
