/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/snapshot_job.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "core/machine/mem.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/lock.h"
#include "core/thread/thread.h"
#include "snapshot/memory/memory_file.h"
#include "snapshot/memory/memory_mark.h"
#include "snapshot/publish.h"
#include "snapshot/state_file.h"
#include "snapshot/stream.h"

struct snapshot_job {
	struct snapshot_job_work work; /* constant */
	struct event_loop *loop;
	struct event_source ended;
	snapshot_job_done *done;
	void *context;
	pthread_t thread;

	struct job_lock lock;
	/* A resume cancels it: RAM is read, or a state sent. */
	GUARDED_BY(job_lock) bool reading;
	GUARDED_BY(job_lock) bool cancelled; /* set by the main thread */
	/* What the main thread may remove if this thread is blocked; NULL: not
	 * created yet, or being published. */
	GUARDED_BY(job_lock) const struct publish *files;

	int result; /* the thread's, until it has ended; as is err */
	struct err err;
};

/* How long snapshot_job_destroy() waits for the thread. */
enum { END_MS = 400 };

/* -------------------------------------------------------------- the thread */

/* False: the job was cancelled. */
static bool go_on(void *context)
{
	struct snapshot_job *job = context;
	bool cancelled;

	job_lock_take(&job->lock);
	cancelled = job->cancelled;
	job_lock_release(&job->lock);
	return !cancelled;
}

static bool go_on_saving(void *context, uint64_t done, uint64_t total)
{
	log_debug("saving RAM: %llu of %llu MiB",
		  (unsigned long long)(done >> 20),
		  (unsigned long long)(total >> 20));
	return go_on(context);
}

/*
 * All of guest RAM was read, so a resume does not cancel the job any more,
 * unless the state has yet to be sent to a reader, who may never read it. False
 * if it was cancelled before, because the guest may have run while RAM was
 * being read.
 */
static bool done_reading(struct snapshot_job *job, bool sends_state)
{
	job_lock_take(&job->lock);
	job->reading = sends_state;
	job_lock_release(&job->lock);
	return go_on(job);
}

/* Let the main thread remove @files if this thread does not end in time. */
static void offer_files(struct snapshot_job *job, const struct publish *files)
{
	job_lock_take(&job->lock);
	job->files = files;
	job_lock_release(&job->lock);
}

/* The files are about to be published: the main thread must not remove them any
 * more.  False: the job was cancelled; the last check. */
static bool take_files(void *context)
{
	offer_files(context, NULL);
	return go_on(context);
}

/*
 * Open the file that a diff is merged onto: an existing memory file of the same
 * name.  *fd is -1 if there is none, or an empty file, as a launcher prepares
 * it.  Any other file is rejected, because the diff would replace it.
 */
static int base_open(int *fd, const struct snapshot_job_work *work,
		     struct err *e)
{
	const char *path = work->body.memory_path;
	uint64_t size, ram = guest_mem_size(work->mem);

	*fd = -1;
	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	*fd = io_open_file(path, &size, e);
	if (*fd < 0)
		return -1;
	if (size == ram)
		return memory_mark_check(&work->mark, *fd, vm_mark_offset(), e);
	util_close(fd);
	if (!size)
		return 0;
	return err_set(e,
		       "it has %llu bytes, and the guest's RAM %llu: it is not "
		       "the memory of this microVM",
		       (unsigned long long)size, (unsigned long long)ram);
}

/*
 * Fill the new memory file with the contents of @base, so that the diff can be
 * written over them.  Not where the memory file is filled in place, because it
 * is the base.
 */
static int copy_base(struct snapshot_job *job, const struct publish *files,
		     int base, struct err *e)
{
	const struct go_on copying = {go_on, job};

	if (base < 0 || files->memory.how == PUBLISH_FILL)
		return 0;
	return memory_file_copy(base, files->memory_fd, &copying, e);
}

static int save_memory(struct snapshot_job *job, struct publish *files,
		       struct err *e)
{
	const struct snapshot_job_work *work = &job->work;
	struct memory_save save = {
		.mem = work->mem,
		.fd = files->memory_fd,
		.read_all = work->is_paged,
		.compare = work->changes.compare ? work->changes.owned : NULL,
		.go_on = go_on_saving,
		.context = job,
	};
	AUTO_CLOSE int base = -1;

	if (work->body.diff && work->changes.known) {
		save.dirty = work->changes.bits;
		if (base_open(&base, work, e))
			return err_prefix(e, "the diff cannot go over the file "
					     "that is there; give another "
					     "name, or remove it");
		save.onto_base = base >= 0;
	}
	if (copy_base(job, files, base, e) ||
	    publish_invalidate(files, vm_mark_offset(), work->body.sync, e))
		return -1;
	return memory_file_save(&save, e);
}

static int put_in_stream(void *context, const void *data, size_t len,
			 struct err *e)
{
	return stream_write(context, data, len, e);
}

/* Send guest RAM to a pipe or socket. */
static int send_memory(struct snapshot_job *job, struct err *e)
{
	const struct go_on waiting = {go_on, job};
	struct stream s;
	const struct memory_sink sink = {put_in_stream, &s};
	struct memory_save save = {
		.mem = job->work.mem,
		.fd = -1,
		.sink = &sink,
		.read_all = job->work.is_paged,
		.go_on = go_on_saving,
		.context = job,
	};
	int r;

	if (job->work.body.diff)
		return err_set(e, "a diff cannot be sent to a pipe or socket, "
				  "because its holes would be lost; take a "
				  "full snapshot, or name a file");
	r = stream_open(&s, job->work.body.memory_path, &waiting, e);
	if (!r)
		r = memory_file_save(&save, e);
	stream_close(&s);
	return r;
}

/* Everything that reads guest RAM: after this the guest may run. */
static int write_memory(struct snapshot_job *job, struct publish *files,
			struct err *e)
{
	const char *path = job->work.body.memory_path;
	int r = 0;

	if (files->memory_fd >= 0)
		r = save_memory(job, files, e);
	else if (path)
		r = send_memory(job, e);
	if (r)
		err_prefix(e, "%.256s", path);
	if (!done_reading(job, files->state_fd < 0) && !r)
		r = err_set(e, "it was cancelled");
	return r;
}

/* Make the memory file durable.  The part that takes long can be cancelled. */
static int write_back(struct snapshot_job *job, struct publish *files,
		      struct err *e)
{
	const struct go_on waiting = {go_on, job};
	bool sync = job->work.body.sync;

	if (sync && files->memory_fd >= 0 &&
	    io_write_back(files->memory_fd, &waiting)) {
		err_errno(e, "cannot write guest RAM to its file");
		return err_prefix(e, "%.256s", job->work.body.memory_path);
	}
	return publish_memory_written(files, sync, e);
}

static int write_state(struct snapshot_job *job, const struct publish *files,
		       struct err *e)
{
	const struct go_on waiting = {go_on, job};
	const char *path = job->work.body.state_path;
	struct stream s = {.fd = -1};
	size_t len;
	const void *data = snap_data(&job->work.state, &len);
	int r;

	if (files->state_fd >= 0) {
		r = state_file_save(files->state_fd, data, len, e);
	} else {
		r = stream_open(&s, path, &waiting, e);
		if (!r)
			r = stream_state(&s, data, len, e);
		stream_close(&s);
	}
	return r ? err_prefix(e, "%.256s", path) : 0;
}

/* NULL if @path is a pipe or a socket (stream_is()), or NULL. */
static const char *file_of(const char *path)
{
	return path && !stream_is(path) ? path : NULL;
}

static int write_snapshot(struct snapshot_job *job, struct err *e)
{
	const struct snapshot_create *body = &job->work.body;
	const struct go_on last_chance = {take_files, job};
	struct publish files;

	if (publish_begin(&files, file_of(body->state_path),
			  file_of(body->memory_path), e))
		return -1;
	if (body->mode)
		publish_set_mode(&files, body->mode);
	files.may_publish = &last_chance;
	offer_files(job, &files);
	/* The state last, because a state must never match a memory file that
	 * is incomplete. */
	if (!write_memory(job, &files, e) && !write_back(job, &files, e) &&
	    !write_state(job, &files, e))
		return publish_commit(&files, body->sync, e);
	take_files(job);
	publish_abandon(&files);
	return -1;
}

static void *job_thread(void *arg)
{
	struct snapshot_job *job = arg;

	thread_set_name("snapshot");
	seccomp_enter(SECCOMP_SNAPSHOT);
	job->result = write_snapshot(job, &job->err);
	(void)eventfd_write(job->ended.fd, 1);
	return NULL;
}

/* --------------------------------------------------------- the main thread */

static void on_ended(struct event_source *source, uint32_t events) ALONE
{
	struct snapshot_job *job =
		container_of(source, struct snapshot_job, ended);

	(void)events;
	pthread_join(job->thread, NULL);
	job->thread = 0;
	if (job->result && job->cancelled)
		err_set(&job->err, "the snapshot was cancelled, because the "
				   "microVM was resumed");
	job->done(job->context, job->result, &job->err);
}

static void job_free(struct snapshot_job *job)
{
	loop_close(job->loop, &job->ended);
	job_lock_fini(&job->lock);
	snapshot_create_fini(&job->work.body);
	snap_fini(&job->work.state);
	vm_changes_fini(&job->work.changes);
	free(job);
}

struct snapshot_job *snapshot_job_start(struct snapshot_job_work *work,
					struct event_loop *loop,
					snapshot_job_done *done, void *context,
					struct err *e) ALONE
{
	struct snapshot_job *job = calloc(1, sizeof(*job));
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r;

	if (!job || fd < 0) {
		err_errno(e, "cannot begin a snapshot");
		util_close(&fd);
		free(job);
		return NULL;
	}
	job->loop = loop;
	job->done = done;
	job->context = context;
	job->reading = true;
	job->ended = (struct event_source){.fd = -1, .ready = on_ended};
	job_lock_init(&job->lock);
	if (loop_add(loop, &job->ended, fd, EPOLLIN)) {
		err_errno(e, "cannot wait for a snapshot");
		util_close(&fd);
		job_free(job);
		return NULL;
	}
	job->work = *work;
	r = thread_start(&job->thread, job_thread, job);
	if (r) {
		job->work = (struct snapshot_job_work){0};
		errno = r;
		err_errno(e, "cannot start a thread for a snapshot");
		job_free(job);
		return NULL;
	}
	return job;
}

void snapshot_job_let_go(struct snapshot_job *job)
{
	job_lock_take(&job->lock);
	job->cancelled |= job->reading;
	job_lock_release(&job->lock);
}

bool snapshot_job_is_cancelled(struct snapshot_job *job)
{
	return !go_on(job);
}

const struct snapshot_job_work *
snapshot_job_work(const struct snapshot_job *job)
{
	return &job->work;
}

/* The thread did not end within END_MS, because a disk does not answer.  Remove
 * its files and leave it running: the end of the process kills it. */
static void leave(struct snapshot_job *job)
{
	loop_remove(job->loop, &job->ended);
	job_lock_take(&job->lock);
	if (job->files)
		publish_remove(job->files);
	job_lock_release(&job->lock);
	log_warn("the snapshot %.256s is left unfinished: its disk does not "
		 "answer",
		 job->work.body.state_path);
}

bool snapshot_job_destroy(struct snapshot_job *job)
{
	if (!job)
		return true;
	if (job->thread) {
		job_lock_take(&job->lock);
		job->cancelled = true;
		job_lock_release(&job->lock);
		if (!thread_join(job->thread, END_MS)) {
			leave(job);
			return false;
		}
	}
	job_free(job);
	return true;
}
