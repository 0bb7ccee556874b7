/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot.  The VM is paused (vm_run.c), and stays so.  S and M are
 * the state file and the memory file (snapshot/publish.h).
 *
 *   main thread                          thread of snapshot_job.c
 *
 *   instance_snapshot()
 *   vm_save(): state to a buffer,
 *       and a new mark into RAM
 *   vm_changes_take()
 *   vm_changes_mark(), for a diff
 *   snapshot_job_start() --------------> publish_begin(): create S.next, M.next
 *                                        write guest RAM to M.next
 *     a resume up to here cancels it
 *                                        RAM is not needed any more
 *     a later resume does not            write M.next back to the disk
 *                                        write the state to S.next
 *                                        publish_commit(): rename M, then S
 *   on_written() <---------------------- the job has ended
 *     written:  vm_changes_saved(), unless it has no memory
 *     not:      vm_changes_give_back(), so that the next snapshot has them
 *   on_done()
 */
#include "core/base/err.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/instance/instance.h"
#include "vmm/instance/instance_internal.h"
#include "vmm/instance/snapshot_job.h"
#include "vmm/vm/vm_snapshot.h"

/* ------------------------------------------------------------------- create */

static void on_written(void *context, int result, const struct err *e)
{
	struct instance *in = context;
	const struct snapshot_job_work *work = snapshot_job_work(in->job);
	/* A copy, because *e is freed with the job. */
	const struct err why = *e;

	if (work->body.diff)
		INSTANCE_TOOK(diff_create_snapshot, in->job_began);
	else
		INSTANCE_TOOK(full_create_snapshot, in->job_began);
	if (result)
		vm_changes_give_back(in->vm, &work->changes);
	else if (work->body.memory_path)
		vm_changes_saved(in->vm, &work->changes);
	snapshot_job_destroy(in->job);
	in->job = NULL;
	if (!result)
		instance_tell(in, EVENT_SNAPSHOTTED, NULL);
	instance_done(in, INSTANCE_SNAPSHOTS, result, &why);
	if (in->woken)
		instance_wake(in);
}

/* Of the state alone, what changed still belongs to the next diff. */
static int take_changes(struct instance *in, struct snapshot_job_work *work,
			struct err *e)
{
	return work->body.memory_path
		       ? vm_changes_take(in->vm, &work->changes, e)
		       : 0;
}

static int save(struct instance *in, struct snapshot_job_work *work,
		struct err *e)
{
	if (vm_save(in->vm, &in->config, !work->body.no_host_details,
		    &work->state, e)) {
		err_prefix(e, "Cannot save the microVM state");
	} else if (!take_changes(in, work, e)) {
		if (work->body.diff)
			work->mark = vm_changes_mark(in->vm, &work->changes);
		in->job = snapshot_job_start(work, in->host.loop, on_written,
					     in, e);
		if (in->job)
			return 0;
		vm_changes_give_back(in->vm, &work->changes);
		vm_changes_fini(&work->changes);
	}
	snap_fini(&work->state);
	return -1;
}

int instance_snapshot(struct instance *in, struct snapshot_create *body,
		      struct err *e)
{
	struct snapshot_job_work work = {.body = *body};

	if (in->state < INSTANCE_PAUSED)
		return err_set(e, "Cannot save the microVM state: save/restore "
				  "unavailable while running; pause the "
				  "microVM first (PATCH /vm {\"state\": "
				  "\"Paused\"})");
	if (in->job && snapshot_job_is_cancelled(in->job))
		return err_set(e, "Cannot save the microVM state: the snapshot "
				  "that was cancelled is still being removed; "
				  "try again in a moment");
	if (in->job)
		return err_set(e, "Cannot save the microVM state: a snapshot "
				  "is being written already; wait for it, or "
				  "resume the microVM to cancel it");
	work.mem = vm_memory(in->vm);
	work.is_paged = vm_is_paged(in->vm);
	in->job_began = instance_now_us();
	if (save(in, &work, e))
		return -1;
	*body = (struct snapshot_create){0};
	return 0;
}
