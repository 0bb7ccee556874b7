/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot_job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot/memory_file.h"
#include "snapshot/memory_mark.h"
#include "snapshot/publish.h"
#include "snapshot/state_file.h"
#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/base/thread.h"
#include "vmm/base/util.h"
#include "vmm/mem.h"

struct snapshot_job {
	struct snapshot_job_work work; /* constant */
	struct event_loop *loop;
	struct event_source ended;
	snapshot_job_done *done;
	void *context;
	pthread_t thread;

	pthread_mutex_t lock;   /* guards the rest, but while the thread runs */
	pthread_cond_t changed; /* what it has to itself */
	bool reading, cancelled;
	int result;
	struct err err;
};

/* -------------------------------------------------------------- the thread */

static bool go_on(void *context, uint64_t done, uint64_t total)
{
	struct snapshot_job *job = context;
	bool cancelled;

	pthread_mutex_lock(&job->lock);
	cancelled = job->cancelled;
	pthread_mutex_unlock(&job->lock);
	log_debug("saving RAM: %llu of %llu MiB",
		  (unsigned long long)(done >> 20),
		  (unsigned long long)(total >> 20));
	return !cancelled;
}

/* A file that a diff may be put over, or -1. */
static int base_open(const char *path, uint64_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode) ||
			(uint64_t)st.st_size != size))
		util_close(&fd);
	return fd;
}

/* A diff goes onto what is there, if that is a memory of the same size. */
static int save_memory(struct snapshot_job *job, int fd, struct err *e)
{
	const struct snapshot_job_work *work = &job->work;
	struct memory_save save = {
		.mem = work->mem,
		.fd = fd,
		.read_all = work->is_paged,
		.go_on = go_on,
		.context = job,
	};
	AUTO_CLOSE int base = -1;

	if (!work->body.diff || !work->changes.known)
		return memory_file_save(&save, e);
	save.dirty = work->changes.bits;
	base = base_open(work->body.memory_path, guest_mem_size(save.mem));
	save.onto_base = base >= 0;
	if (base >= 0 &&
	    memory_mark_check(&work->mark, base, vm_mark_offset(), e))
		return err_prefix(e, "give another name, or remove what is "
				     "there");
	if (base >= 0 && memory_file_copy(base, fd, e))
		return -1;
	return memory_file_save(&save, e);
}

static int save_files(struct snapshot_job *job, const struct publish *files,
		      struct err *e)
{
	const struct snapshot_create *body = &job->work.body;
	size_t len;
	const void *data = snap_data(&job->work.state, &len);

	if (state_file_save(files->state_fd, data, len, e))
		return err_prefix(e, "%.256s", body->state_path);
	if (save_memory(job, files->memory_fd, e))
		return err_prefix(e, "%.256s", body->memory_path);
	return 0;
}

static void done_reading(struct snapshot_job *job)
{
	pthread_mutex_lock(&job->lock);
	job->reading = false;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static int write_snapshot(struct snapshot_job *job, struct err *e)
{
	const struct snapshot_create *body = &job->work.body;
	struct publish files;
	int r = publish_begin(&files, body->state_path, body->memory_path, e);

	if (r)
		return r;
	r = save_files(job, &files, e);
	done_reading(job);
	if (!r)
		return publish_commit(&files, body->sync, e);
	publish_abandon(&files);
	return r;
}

static void *job_thread(void *arg)
{
	struct snapshot_job *job = arg;

	pthread_setname_np(pthread_self(), "snapshot");
	job->result = write_snapshot(job, &job->err);
	/* Also if it had not begun. */
	done_reading(job);
	(void)eventfd_write(job->ended.fd, 1);
	return NULL;
}

/* --------------------------------------------------------- the main thread */

static void on_ended(struct event_source *source, uint32_t events)
{
	struct snapshot_job *job =
		container_of(source, struct snapshot_job, ended);

	(void)events;
	pthread_join(job->thread, NULL);
	job->thread = 0;
	if (job->result && job->cancelled)
		err_set(&job->err, "the snapshot was given up, because the "
				   "microVM was resumed");
	job->done(job->context, job->result, &job->err);
}

static void job_free(struct snapshot_job *job)
{
	int fd = job->ended.fd;

	loop_remove(job->loop, &job->ended);
	util_close(&fd);
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
	snapshot_create_fini(&job->work.body);
	snap_fini(&job->work.state);
	vm_changes_fini(&job->work.changes);
	free(job);
}

struct snapshot_job *snapshot_job_start(struct snapshot_job_work *work,
					struct event_loop *loop,
					snapshot_job_done *done, void *context,
					struct err *e)
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
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->changed, NULL);
	if (loop_add(loop, &job->ended, fd, EPOLLIN)) {
		err_errno(e, "cannot wait for a snapshot");
		close(fd);
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
	pthread_mutex_lock(&job->lock);
	job->cancelled |= job->reading;
	while (job->reading)
		pthread_cond_wait(&job->changed, &job->lock);
	pthread_mutex_unlock(&job->lock);
}

const struct snapshot_job_work *
snapshot_job_work(const struct snapshot_job *job)
{
	return &job->work;
}

void snapshot_job_destroy(struct snapshot_job *job)
{
	if (!job)
		return;
	if (job->thread) {
		snapshot_job_let_go(job);
		pthread_join(job->thread, NULL);
	}
	job_free(job);
}
