/* SPDX-License-Identifier: Apache-2.0 */
/* Taking snapshots, and becoming one. */
#include <stdlib.h>
#include <unistd.h>

#include "snapshot/publish.h"
#include "snapshot/state_file.h"
#include "vmm/base/err.h"
#include "vmm/instance.h"
#include "vmm/instance_internal.h"
#include "vmm/mem.h"
#include "vmm/snapshot_bodies.h"
#include "vmm/vm_snapshot.h"

/* ------------------------------------------------------------------- create */

/* Its vCPUs are parked, its devices at rest: nothing changes meanwhile. */
static int write_files(struct instance *in, struct publish *files,
		       const struct snap *state, struct err *e)
{
	size_t len;
	const void *data = snap_data(state, &len);
	const struct guest_mem *mem = vm_memory(in->vm);

	for (unsigned i = 0; i < mem->region_count; i++)
		if (write(files->memory_fd, mem->region[i].host,
			  mem->region[i].size) != (ssize_t)mem->region[i].size)
			return err_errno(e, "write");
	return state_file_save(files->state_fd, data, len, e);
}

static int write_snapshot(struct instance *in,
			  const struct snapshot_create *body,
			  const struct snap *state, struct err *e)
{
	struct publish files;

	if (publish_begin(&files, body->state_path, body->memory_path, e))
		return -1;
	if (write_files(in, &files, state, e)) {
		publish_abandon(&files);
		return -1;
	}
	return publish_commit(&files, body->sync, e);
}

int instance_snapshot(struct instance *in, const struct snapshot_create *body,
		      struct err *e)
{
	struct snap state;
	int r;

	if (in->state != INSTANCE_PAUSED)
		return err_set(e, "Cannot save the microVM state: save/restore "
				  "unavailable while running; pause the "
				  "microVM first (PATCH /vm {\"state\": "
				  "\"Paused\"})");
	if (body->diff)
		return err_set(e, "this build takes full snapshots only; "
				  "leave `snapshot_type` out");
	r = vm_save(in->vm, &in->config, &state, e);
	if (r)
		err_prefix(e, "Cannot save the microVM state");
	else
		r = write_snapshot(in, body, &state, e);
	snap_fini(&state);
	if (!r)
		instance_tell(in, EVENT_SNAPSHOTTED, NULL);
	return r;
}

/* --------------------------------------------------------------------- load */

/* What was overridden is the caller's business; the rest must be as it was. */
static int check_disks(const struct vm_saved *saved,
		       const struct snapshot_load *body, struct err *e)
{
	for (unsigned i = 0; i < saved->config.drive_count; i++) {
		const char *id = saved->config.drive[i].id;

		if (!snapshot_load_overrides_drive(body, id) &&
		    vm_saved_check_disk(saved, i, e))
			return -1;
	}
	return 0;
}

static struct vm *restore(struct instance *in, struct snapshot_load *body,
			  struct vm_saved *saved, int memory_fd, struct err *e)
{
	const struct vm_ram_source ram = {
		.fd = memory_fd,
		.eager = body->backend == MEMORY_EAGER,
	};
	const struct vm_host host = instance_vm_host(in);

	if (snapshot_load_override(body, &saved->config, e) ||
	    check_disks(saved, body, e))
		return NULL;
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

static int load(struct instance *in, struct snapshot_load *body,
		struct published *files, struct vm_saved *saved, struct err *e)
{
	struct vm *vm;

	if (publish_open(files, body->state_path, body->memory_path, e))
		return err_prefix(e, "Failed to get snapshot state from file");
	if (vm_saved_read(saved, files->body, files->len, e))
		return err_prefix(e, "%.256s", body->state_path);
	vm = restore(in, body, saved, files->memory_fd, e);
	if (!vm)
		return -1;
	adopt(in, vm, saved);
	in->has_clock = body->has_clock;
	in->clock = body->clock;
	return body->resume ? instance_resume(in, NULL, e) : 0;
}

int instance_load(struct instance *in, struct snapshot_load *body,
		  struct err *e)
{
	struct published files;
	struct vm_saved *saved;
	int r;

	if (in->configured)
		return err_set(e, "Loading a microVM snapshot not allowed "
				  "after configuring boot-specific "
				  "resources.");
	if (body->backend == MEMORY_UFFD)
		return err_set(e, "this build has no `Uffd` memory backend; "
				  "use `File`");
	saved = calloc(1, sizeof(*saved));
	if (!saved)
		return err_errno(e, "cannot load a snapshot");
	r = load(in, body, &files, saved, e);
	vm_saved_fini(saved);
	publish_close(&files);
	free(saved);
	if (!r)
		return 0;
	err_prefix(e, "Failed to restore from snapshot");
	/* As Firecracker does: half a VM is of no use to anybody. */
	instance_fail(in, e->text);
	return -1;
}
