/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/working_set_reader.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/thread.h"
#include "snapshot/publish.h"
#include "snapshot/working_set.h"

enum {
	PIECE = 1 << 20, /* bytes between two checks of `stopped` */
	END_MS = 200,    /* how long the main thread waits for the thread */
};

struct working_set_reader {
	char path[PATH_MAX + sizeof(WORKING_SET_SUFFIX)];
	uint8_t id[16];
	uint64_t memory_size;
	int fd; /* of the memory file; owned by the thread */
	pthread_t thread;
	/* Set by the main thread, read by the other.  Relaxed: it orders
	 * nothing else. */
	atomic_bool stopped;
};

/* -------------------------------------------------------------- the thread */

/* Queue reads of a range.  POSIX_FADV_WILLNEED returns while the kernel reads;
 * it blocks only while the disk's queue is full.  Returns the bytes queued. */
static uint64_t read_range(struct working_set_reader *reader,
			   const struct working_set_range *r)
{
	uint64_t at = (uint64_t)r->page * WORKING_SET_PAGE;
	uint64_t end = at + (uint64_t)r->count * WORKING_SET_PAGE, len = 0;

	for (uint64_t from = at; from < end; from += len) {
		if (atomic_load_explicit(&reader->stopped,
					 memory_order_relaxed))
			return from - at;
		len = min_u64(end - from, PIECE);
		(void)posix_fadvise(reader->fd, (off_t)from, (off_t)len,
				    POSIX_FADV_WILLNEED);
	}
	return end - at;
}

static void *reader_thread(void *arg)
{
	struct working_set_reader *reader = arg;
	struct working_set set;
	uint64_t bytes = 0;
	struct err e;

	thread_set_name("working_set");
	seccomp_enter(SECCOMP_WORKING_SET);
	if (working_set_load(&set, reader->path, reader->id,
			     reader->memory_size, &e)) {
		log_warn("the working set is not used: %s", e.text);
	} else {
		for (uint32_t i = 0; i < set.range_count; i++)
			bytes += read_range(reader, &set.range[i]);
		log_debug("working set: %llu KiB in %u ranges are read ahead",
			  (unsigned long long)bytes >> 10, set.range_count);
	}
	working_set_fini(&set);
	util_close(&reader->fd);
	return NULL;
}

/* --------------------------------------------------------- the main thread */

struct working_set_reader *
working_set_reader_start(const char *memory_path, const struct published *files)
{
	struct working_set_reader *reader = malloc(sizeof(*reader));

	if (!reader)
		return NULL;
	snprintf(reader->path, sizeof(reader->path), "%s" WORKING_SET_SUFFIX,
		 memory_path);
	memcpy(reader->id, files->id.bytes, sizeof(reader->id));
	reader->memory_size = files->memory_size;
	reader->fd = -1;
	atomic_init(&reader->stopped, false);
	if (!access(reader->path, F_OK))
		reader->fd = fcntl(files->memory_fd, F_DUPFD_CLOEXEC, 0);
	if (reader->fd >= 0 &&
	    !thread_start(&reader->thread, reader_thread, reader))
		return reader;
	util_close(&reader->fd);
	free(reader);
	return NULL;
}

void working_set_reader_destroy(struct working_set_reader *reader)
{
	if (!reader)
		return;
	atomic_store_explicit(&reader->stopped, true, memory_order_relaxed);
	/* A thread that a disk blocks still uses @reader. */
	if (thread_join(reader->thread, END_MS))
		free(reader);
}
