/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a VM from a snapshot.
 *
 *   instance_load()
 *        |
 *   open_files()          state and memory file; check what host files the
 *        |                state names (load_paths.h); apply overrides
 *        |
 *   connect_and_build()   Uffd only; repeated on a timer while the page server
 *        |                does not accept
 *   build()               vm_restore_begin(): memory
 *        |                Uffd: the pages that finish() touches are requested
 *   finish()              vm_restore_finish(): devices, vCPUs, clock
 *        |                adopt(): the VM is the instance's; resume, if asked
 *   end()                 a failure of any step ends the instance
 *
 * Without a page server all of this happens in one call.  With one, the loop
 * runs while we wait for the connection and for the pages; until adopt() the
 * instance is "Not started".
 */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "snapshot/memory/uffd.h"
#include "snapshot/publish.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/instance/instance.h"
#include "vmm/instance/instance_internal.h"
#include "vmm/instance/load_paths.h"
#include "vmm/instance/working_set_reader.h"
#include "vmm/instance/working_set_recorder.h"
#include "vmm/vm/vm_snapshot.h"

enum { CONNECT_EACH_MS = 20, CONNECT_TRIES = 250 /* 5 s */ };

struct instance_load {
	struct instance *in;
	struct snapshot_load body;
	struct published files;
	struct vm_saved saved;
	uint64_t began; /* microseconds */

	int socket; /* to the page server; -1: none, or the VM has it */
	unsigned tries;
	struct event_source again; /* timer: connect again */
	struct vm *vm;             /* until adopt() */
};

void instance_load_destroy(struct instance_load *l)
{
	if (!l)
		return;
	loop_close(l->in->host.loop, &l->again);
	util_close(&l->socket);
	vm_destroy(l->vm);
	vm_saved_fini(&l->saved);
	publish_close(&l->files);
	snapshot_load_fini(&l->body);
	free(l);
}

/* --------------------------------------------------------------- completion */

/* Prepare to record the working set, if asked.  @vm has not run yet. */
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

/* Make the restored VM the instance's.  From here on the instance's
 * configuration is that of the snapshot. */
static void adopt(struct instance *in, struct instance_load *l)
{
	vm_config_fini(&in->config);
	in->config = l->saved.config;
	vm_config_init(&l->saved.config);
	in->vm = l->vm;
	l->vm = NULL;
	in->state = INSTANCE_PAUSED;
	in->host.started(in->host.context, in->vm);
	instance_tell(in, EVENT_RESTORED, NULL);
	if (vm_is_suspended(in->vm))
		instance_suspended(in);
}

/* The pages that vm_restore_finish() touches are present: complete the load. */
static int finish(struct instance_load *l, struct err *e)
{
	struct instance *in = l->in;

	if (vm_restore_finish(l->vm, &l->saved, e))
		return -1;
	adopt(in, l);
	if (record(in, in->vm, &l->body, &l->files, e))
		return -1;
	in->has_clock = l->body.has_clock;
	in->clock = l->body.clock;
	return l->body.resume ? instance_resume(in, NULL, e) : 0;
}

/* End the load.  After a failure end the instance, too, as Firecracker does,
 * because a partly restored VM is of no use. */
static int end(struct instance *in, int result, struct err *e)
{
	uint64_t began = in->load->began;

	instance_load_destroy(in->load);
	in->load = NULL;
	INSTANCE_TOOK(load_snapshot, began);
	if (!result)
		return 0;
	err_prefix(e, "Failed to restore from snapshot");
	instance_fail(in, e->text);
	return -1;
}

/* As end(), for a load that returned INSTANCE_LATER. */
static void end_later(struct instance *in, int result, struct err *e)
{
	result = end(in, result, e);
	instance_done(in, INSTANCE_LOADS, result, e);
}

void instance_load_fail(struct instance *in, const char *reason)
{
	struct err e;

	err_set(&e, "%s", reason);
	end_later(in, -1, &e);
}

/* -------------------------------------------------------------------- steps */

/* Accept any file for the drives that @body overrides; the others must be the
 * disks that were saved. */
static void choose_disks(struct vm_saved *saved,
			 const struct snapshot_load *body)
{
	for (unsigned i = 0; i < saved->config.drive_count; i++)
		saved->any_disk[i] = snapshot_load_overrides_drive(
			body, saved->config.drive[i].block.id);
}

static int open_files(struct instance_load *l, struct err *e)
{
	const struct snapshot_load *body = &l->body;
	struct published *files = &l->files;
	const char *memory =
		body->backend == MEMORY_UFFD ? NULL : body->memory_path;

	if (body->strict
		    ? publish_open_strict(files, body->state_path, memory, e)
		    : publish_open(files, body->state_path, memory, e))
		return err_prefix(e, "Failed to get snapshot state from file");
	/* Not while recording, which must not see the pages that were read
	 * ahead. */
	if (body->backend == MEMORY_FILE && !body->record_working_set)
		l->in->reader =
			working_set_reader_start(body->memory_path, files);
	if (vm_saved_read(&l->saved, files->body, files->len, files->minor, e))
		return err_prefix(e, "%.256s", body->state_path);
	l->saved.config.track_dirty = body->track_dirty;
	if (load_paths_check(&l->body, &l->saved.config, e) ||
	    snapshot_load_override(&l->body, &l->saved.config, e))
		return -1;
	choose_disks(&l->saved, body);
	return 0;
}

/* Build the VM's memory; for Uffd the page server is connected. */
static int build(struct instance_load *l, struct err *e)
{
	const struct vm_ram_source ram = {
		.fd = l->files.memory_fd,
		.eager = l->body.backend == MEMORY_EAGER,
		.pager = l->body.backend == MEMORY_UFFD ? &l->socket : NULL,
	};
	const struct vm_host host = instance_vm_host(l->in);

	l->vm = vm_restore_begin(&l->saved, &ram, &host, e);
	if (!l->vm)
		return -1;
	return vm_restore_is_ready(l->vm) ? finish(l, e) : INSTANCE_LATER;
}

void instance_load_ready(struct instance *in)
{
	struct err e;
	int r = finish(in->load, &e);

	end_later(in, r, &e);
}

/* ----------------------------------------------------------- the connection */

static void on_again(struct event_source *source, uint32_t events);

static int try_again_later(struct instance_load *l, struct err *e)
{
	const struct itimerspec each = {
		.it_value.tv_nsec = CONNECT_EACH_MS * 1000000L,
		.it_interval.tv_nsec = CONNECT_EACH_MS * 1000000L,
	};
	int fd;

	if (l->again.fd >= 0)
		return INSTANCE_LATER;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0 || timerfd_settime(fd, 0, &each, NULL) ||
	    loop_add(l->in->host.loop, &l->again, fd, EPOLLIN)) {
		util_close(&fd);
		return err_set(e, "cannot wait for the page server");
	}
	return INSTANCE_LATER;
}

/* Connect to the page server, and build the VM.  Retries, because the backlog
 * of the server's socket may be full when many clones start at once. */
static int connect_and_build(struct instance_load *l, struct err *e)
{
	bool busy;

	l->socket = uffd_connect(l->body.memory_path, &busy, e);
	if (l->socket < 0)
		return busy && ++l->tries < CONNECT_TRIES
			       ? try_again_later(l, e)
			       : -1;
	loop_close(l->in->host.loop, &l->again);
	return build(l, e);
}

static void on_again(struct event_source *source, uint32_t events)
{
	struct instance_load *l =
		container_of(source, struct instance_load, again);
	struct err e;
	uint64_t n;
	int r;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) != sizeof(n))
		return;
	r = connect_and_build(l, &e);
	if (r != INSTANCE_LATER)
		end_later(l->in, r, &e);
}

int instance_load(struct instance *in, struct snapshot_load *body,
		  struct err *e)
{
	struct instance_load *l;
	int r;

	if (in->configured)
		return err_set(e, "Loading a microVM snapshot not allowed "
				  "after configuring boot-specific "
				  "resources.");
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_errno(e, "cannot load a snapshot");
	in->load = l;
	l->in = in;
	l->began = instance_now_us();
	l->socket = -1;
	l->again = (struct event_source){.fd = -1, .ready = on_again};
	l->files = (struct published){.memory_fd = -1};
	l->body = *body;
	*body = (struct snapshot_load){0};
	l->body.strict |= in->strict && !l->body.strict_given;
	r = open_files(l, e);
	if (!r)
		r = l->body.backend == MEMORY_UFFD ? connect_and_build(l, e)
						   : build(l, e);
	return r == INSTANCE_LATER ? r : end(in, r, e);
}
