/* SPDX-License-Identifier: Apache-2.0 */
/* Taking snapshots, and becoming one. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot/memory_file.h"
#include "snapshot/publish.h"
#include "snapshot/state_file.h"
#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/base/util.h"
#include "vmm/instance.h"
#include "vmm/instance_internal.h"
#include "vmm/mem.h"
#include "vmm/snapshot_bodies.h"
#include "vmm/vm_snapshot.h"

/* ------------------------------------------------------------------- create */

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

/*
 * A diff has what changed since the snapshot before, or since the load; a VM
 * that has neither begins with all of it.
 */
static int save_diff(struct instance *in, struct memory_save *save,
		     struct err *e)
{
	struct vm_changes changes;
	int r = vm_changes_get(in->vm, &changes, e);

	if (!r) {
		save->dirty = changes.known ? changes.bits : NULL;
		r = memory_file_save(save, e);
	}
	vm_changes_fini(&changes);
	return r;
}

static bool log_progress(void *context, uint64_t done, uint64_t total)
{
	(void)context;
	log_debug("saving RAM: %llu of %llu MiB",
		  (unsigned long long)(done >> 20),
		  (unsigned long long)(total >> 20));
	return true;
}

static int save_memory(struct instance *in, const struct publish *files,
		       const struct snapshot_create *body, struct err *e)
{
	struct memory_save save = {
		.mem = vm_memory(in->vm),
		.fd = files->memory_fd,
		.read_all = vm_is_paged(in->vm),
		.go_on = log_progress,
	};
	int base, r;

	if (!body->diff)
		return memory_file_save(&save, e);
	/* Onto what is there, if that is a memory of the same size. */
	base = base_open(body->memory_path, guest_mem_size(save.mem));
	r = base < 0 ? 0 : memory_file_copy(base, save.fd, e);
	save.onto_base = base >= 0;
	if (!r)
		r = save_diff(in, &save, e);
	util_close(&base);
	return r;
}

/* Its vCPUs are parked, its devices at rest: nothing changes meanwhile. */
static int write_files(struct instance *in, const struct publish *files,
		       const struct snapshot_create *body,
		       const struct snap *state, struct err *e)
{
	size_t len;
	const void *data = snap_data(state, &len);

	if (state_file_save(files->state_fd, data, len, e))
		return err_prefix(e, "%.256s", body->state_path);
	if (save_memory(in, files, body, e))
		return err_prefix(e, "%.256s", body->memory_path);
	return 0;
}

static int write_snapshot(struct instance *in,
			  const struct snapshot_create *body,
			  const struct snap *state, struct err *e)
{
	struct publish files;

	if (publish_begin(&files, body->state_path, body->memory_path, e))
		return -1;
	if (write_files(in, &files, body, state, e)) {
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
	r = vm_save(in->vm, &in->config, &state, e);
	if (r)
		err_prefix(e, "Cannot save the microVM state");
	else
		r = write_snapshot(in, body, &state, e);
	snap_fini(&state);
	if (r)
		return r;
	/* Not before all of it is safe: a failed diff is not lost. */
	vm_changes_saved(in->vm);
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
		.pager =
			body->backend == MEMORY_UFFD ? body->memory_path : NULL,
	};
	const struct vm_host host = instance_vm_host(in);

	saved->config.track_dirty = body->track_dirty;
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

	if (publish_open(
		    files, body->state_path,
		    body->backend == MEMORY_UFFD ? NULL : body->memory_path, e))
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
