/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a snapshot of a paused VM, on a thread of its own: it takes as long
 * as the disk, and meanwhile the API answers.  The thread reads guest RAM,
 * which does not change as long as the VM is paused; then it makes the files
 * durable and visible, for which it does not need the VM any more.  The main
 * thread never waits for it, but for a bounded time at the end of the process.
 *
 * All functions are the main thread's.
 */
#pragma once

#include <stdbool.h>

#include "snapshot/codec.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/vm/vm_snapshot.h"

struct err;
struct event_loop;
struct snapshot_job;

/* What it takes over, if it starts. */
struct snapshot_job_work {
	struct snapshot_create body;
	struct snap state;
	struct vm_changes changes; /* all, unless they are known */
	struct memory_mark mark;   /* a diff's */
	const struct guest_mem *mem;
	bool is_paged;
};

/* From the loop, once, when it has ended: -1 and why it failed, or 0.  It may
 * call snapshot_job_destroy(). */
typedef void snapshot_job_done(void *context, int result, const struct err *e);

struct snapshot_job *snapshot_job_start(struct snapshot_job_work *work,
					struct event_loop *loop,
					snapshot_job_done *done, void *context,
					struct err *e);

/*
 * Guest RAM is going to change.  If not all of it was read, the snapshot is
 * cancelled: the thread may read on for a moment, and throws it away.  Does not
 * wait.
 */
void snapshot_job_let_go(struct snapshot_job *job);

/* Was it cancelled?  Then it ends soon. */
bool snapshot_job_is_cancelled(struct snapshot_job *job);

/* What was asked for. */
const struct snapshot_job_work *
snapshot_job_work(const struct snapshot_job *job);

/*
 * Cancel it, if it has not ended, and free it; NULL is fine.  Where the thread
 * is stuck, for a disk that does not answer, this takes less than half a second
 * and returns false: the thread goes on until the process ends, which must be
 * soon, and until then guest RAM must stay where it is.
 */
bool snapshot_job_destroy(struct snapshot_job *job);
