/* SPDX-License-Identifier: Apache-2.0 */
/* Taking snapshots, and becoming one. */
#include <stdlib.h>

#include "snapshot/publish.h"
#include "vmm/base/err.h"
#include "vmm/instance.h"
#include "vmm/instance_internal.h"
#include "vmm/snapshot_bodies.h"
#include "vmm/snapshot_job.h"
#include "vmm/vm_snapshot.h"
#include "vmm/working_set_reader.h"
#include "vmm/working_set_recorder.h"

/* ------------------------------------------------------------------- create */

static void on_written(void *context, int result, const struct err *e)
{
	struct instance *in = context;
	const struct snapshot_job_work *work = snapshot_job_work(in->job);
	const struct err why = *e; /* which is the job's */

	/* A snapshot that failed forgets nothing. */
	if (work->body.diff)
		INSTANCE_TOOK(diff_create_snapshot, in->job_began);
	else
		INSTANCE_TOOK(full_create_snapshot, in->job_began);
	if (result)
		vm_changes_give_back(in->vm, &work->changes);
	else
		vm_changes_saved(in->vm, &work->changes);
	snapshot_job_destroy(in->job);
	in->job = NULL;
	if (!result)
		instance_tell(in, EVENT_SNAPSHOTTED, NULL);
	instance_done(in, INSTANCE_SNAPSHOTS, result, &why);
}

static int save(struct instance *in, struct snapshot_job_work *work,
		struct err *e)
{
	if (vm_save(in->vm, &in->config, &work->state, e)) {
		err_prefix(e, "Cannot save the microVM state");
	} else if (!vm_changes_take(in->vm, &work->changes, e)) {
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

	if (in->state != INSTANCE_PAUSED)
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

/* --------------------------------------------------------------------- load */

/* What was overridden is the caller's business; the rest must be as it was. */
static void choose_disks(struct vm_saved *saved,
			 const struct snapshot_load *body)
{
	for (unsigned i = 0; i < saved->config.drive_count; i++)
		saved->any_disk[i] = snapshot_load_overrides_drive(
			body, saved->config.drive[i].id);
}

static struct vm *restore(struct instance *in, struct snapshot_load *body,
			  struct vm_saved *saved, int memory_fd, struct err *e)
{
	const struct vm_ram_source ram = {
		.fd = memory_fd,
		.eager = body->backend == MEMORY_EAGER,
		.pager =
			body->backend == MEMORY_UFFD ? body->memory_path : NULL,
	};
	const struct vm_host host = instance_vm_host(in);

	saved->config.track_dirty = body->track_dirty;
	if (snapshot_load_override(body, &saved->config, e))
		return NULL;
	choose_disks(saved, body);
	return vm_restore(saved, &ram, &host, e);
}

/* From here on the configuration is the snapshot's. */
static void adopt(struct instance *in, struct vm *vm, struct vm_saved *saved)
{
	vm_config_fini(&in->config);
	in->config = saved->config;
	vm_config_init(&saved->config);
	in->vm = vm;
	in->state = INSTANCE_PAUSED;
	in->host.started(in->host.context, vm);
	instance_tell(in, EVENT_RESTORED, NULL);
}

/* Nothing ran in @vm yet. */
static int record(struct instance *in, const struct vm *vm,
		  const struct snapshot_load *body,
		  const struct published *files, struct err *e)
{
	if (!body->record_working_set)
		return 0;
	in->recorder = working_set_recorder_create(vm_memory(vm), in->host.loop,
						   body->memory_path, files, e);
	return in->recorder ? 0 : -1;
}

static int load(struct instance *in, struct snapshot_load *body,
		struct published *files, struct vm_saved *saved, struct err *e)
{
	struct vm *vm;

	if (publish_open(
		    files, body->state_path,
		    body->backend == MEMORY_UFFD ? NULL : body->memory_path, e))
		return err_prefix(e, "Failed to get snapshot state from file");
	/* What is recorded must not be what was read ahead. */
	if (body->backend == MEMORY_FILE && !body->record_working_set)
		in->reader = working_set_reader_start(body->memory_path, files);
	if (vm_saved_read(saved, files->body, files->len, files->minor, e))
		return err_prefix(e, "%.256s", body->state_path);
	vm = restore(in, body, saved, files->memory_fd, e);
	if (!vm)
		return -1;
	adopt(in, vm, saved);
	if (record(in, vm, body, files, e))
		return -1;
	in->has_clock = body->has_clock;
	in->clock = body->clock;
	return body->resume ? instance_resume(in, NULL, e) : 0;
}

int instance_load(struct instance *in, struct snapshot_load *body,
		  struct err *e)
{
	struct published files;
	uint64_t began = instance_now_us();
	struct vm_saved *saved;
	int r;

	if (in->configured)
		return err_set(e, "Loading a microVM snapshot not allowed "
				  "after configuring boot-specific "
				  "resources.");
	saved = calloc(1, sizeof(*saved));
	if (!saved)
		return err_errno(e, "cannot load a snapshot");
	r = load(in, body, &files, saved, e);
	vm_saved_fini(saved);
	publish_close(&files);
	free(saved);
	INSTANCE_TOOK(load_snapshot, began);
	if (!r)
		return 0;
	err_prefix(e, "Failed to restore from snapshot");
	/* As Firecracker does: half a VM is of no use to anybody. */
	instance_fail(in, e->text);
	return -1;
}
