/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a snapshot of a paused VM, on a thread of its own, so that the API
 * answers while the disk is busy.  The thread reads guest RAM, which does not
 * change while the VM is paused; then it makes the files durable and publishes
 * them, for which it does not need the VM any more.  The main thread waits for
 * it only at the end of the process, and for a bounded time.
 *
 * Functions and callback: main thread.
 */
#pragma once

#include <stdbool.h>

#include "snapshot/codec.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/vm/vm_snapshot.h"

struct err;
struct event_loop;
struct snapshot_job;

/* What to write.  Its contents are taken over if the job starts. */
struct snapshot_job_work {
	struct snapshot_create body;
	struct snap state;
	struct vm_changes changes;
	struct memory_mark mark;     /* of a diff */
	const struct guest_mem *mem; /* the VM's */
	bool is_paged;               /* vm_is_paged() */
};

/* Called from the loop, once, when the job has ended: @result is 0, or -1 and
 * *e says why it failed.  It may call snapshot_job_destroy(). */
typedef void snapshot_job_done(void *context, int result, const struct err *e);

/* Start the thread.  On failure NULL, and @work stays the caller's. */
struct snapshot_job *snapshot_job_start(struct snapshot_job_work *work,
					struct event_loop *loop,
					snapshot_job_done *done, void *context,
					struct err *e);

/*
 * Guest RAM is about to change: cancel the snapshot, unless all of RAM was read
 * already.  Does not wait: the thread may still be reading RAM for a while, and
 * discards what it read.
 */
void snapshot_job_let_go(struct snapshot_job *job);

/* Was it cancelled?  Then it ends once writes in flight have finished. */
bool snapshot_job_is_cancelled(struct snapshot_job *job);

/* What it writes; owned by @job. */
const struct snapshot_job_work *
snapshot_job_work(const struct snapshot_job *job);

/*
 * Cancel the job, if it has not ended, and free it; NULL is fine.  Waits for
 * the thread at most 400 ms.  False if it has not ended by then, because a disk
 * does not answer: the process must end soon, and until then guest RAM must
 * stay mapped, because the thread may still read it.
 */
bool snapshot_job_destroy(struct snapshot_job *job);
