/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one microVM of this process: its configuration, the VM once it exists,
 * and the files to which the VMM writes log, metrics and serial output.  The
 * command line, the configuration file and the API all drive this.  All
 * functions and callbacks: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/config/bodies.h"
#include "vmm/config/config.h"
#include "vmm/mmds/mmds.h"
#include "vmm/vm/vm.h"

struct buf;
struct err;
struct event_loop;
struct instance_load;
struct metrics_sink;
struct snapshot_job;
struct working_set_reader;
struct working_set_recorder;

enum instance_state {
	INSTANCE_NOT_STARTED,
	INSTANCE_RUNNING,
	/* From here on the VM is stopped. */
	INSTANCE_PAUSED,
	INSTANCE_SUSPENDED, /* by its guest, and something may wake it */
};

enum instance_event {
	EVENT_BOOTED,
	EVENT_PAUSED,
	EVENT_SUSPENDED,
	EVENT_RESUMED,
	EVENT_SNAPSHOTTED,
	EVENT_RESTORED,
	EVENT_GUEST_OFF,
	EVENT_GUEST_RESET,
	EVENT_ERROR,
	EVENT_STALLED, /* the guest was kept from running (CLOCK_STALLED) */
	EVENT_STOPPED, /* the VMM was asked to stop */
	EVENT_COUNT
};

/* Operations that may complete later; on_done() reports their result. */
enum instance_task {
	INSTANCE_SNAPSHOTS,
	INSTANCE_PAUSES,
	INSTANCE_LOADS,
	INSTANCE_TASKS
};

/* What the instance uses of its owner. */
struct instance_host {
	struct event_loop *loop;
	int serial_out, serial_room; /* as in struct vm_host */

	/* As in struct vm_host; may be NULL. */
	void (*confine)(void *context, const struct vm_config *config);
	/* The VM was booted or restored: it accepts serial input. */
	void (*started)(void *context, struct vm *vm);
	/* The instance has ended; @status is for the process's exit. */
	void (*ended)(void *context, int status);
	void *context;
};

struct instance {
	const char *id;
	enum instance_state state;
	struct vm_config config;
	struct mmds mmds; /* the metadata service, for .config.mmds */
	struct vm *vm;    /* NULL before it is started */
	/* A snapshot that is being loaded; then nothing else can be started. */
	struct instance_load *load;
	/* A VM to boot was configured: no snapshot can be loaded. */
	bool configured;
	/* Loads that do not say whether they are strict are (load_paths.h). */
	bool strict;
	/* Snapshots are neither taken nor loaded: filters forbid it. */
	bool no_snapshots;
	/* The clock request of a load, for the first resume after it. */
	bool has_clock;
	struct clock_request clock;

	bool woken;               /* while the snapshot was written */
	bool pausing;             /* a pause is waiting for vCPUs or storage */
	uint64_t pause_began;     /* microseconds, CLOCK_MONOTONIC */
	struct snapshot_job *job; /* a snapshot that is being written */
	uint64_t job_began;       /* microseconds, CLOCK_MONOTONIC */
	/* After a restore: the recorder of this guest's working set, or the
	 * reader of one that was recorded earlier; or NULL. */
	struct working_set_recorder *recorder;
	struct working_set_reader *reader;

	struct instance_host host;

	int log_fd;    /* owned; -1: the log goes elsewhere */
	int serial_fd; /* owned; -1: host.serial_out */
	struct token_bucket_config serial_limit;
	bool serial_waits; /* the guest waits for a slow reader of its output */
	struct logger_config logger;
	struct metrics_config metrics_config; /* of .metrics */
	struct metrics_sink *metrics;         /* NULL: not configured */

	/* Called at each event; @reason may be NULL. */
	void (*on_event)(void *context, enum instance_event event,
			 const char *reason);
	void *on_event_context;
	/* Called when a task completes that returned INSTANCE_LATER, or a
	 * snapshot: @result is 0, or -1 and *e says why it failed. */
	void (*on_done)(void *context, enum instance_task task, int result,
			const struct err *e);
	void *on_done_context;
};

/* @id must stay valid until instance_fini(). */
void instance_init(struct instance *in, const char *id,
		   const struct instance_host *host);
void instance_fini(struct instance *in);

/* The name of the state in Firecracker's API: "Not started" and so on. */
const char *instance_state_name(const struct instance *in);

/* ----------------------------------------------------- before it is started */

/* Change the members of the logger configuration that @body gives, and keep the
 * others. */
int instance_set_logger(struct instance *in, const struct logger_config *body,
			struct err *e);
/* Start to write metrics, with a first line at once.  A second call fails,
 * unless it gives the same configuration. */
int instance_set_metrics(struct instance *in, const struct metrics_config *body,
			 struct err *e);
/* Set where serial output goes; replaces an earlier setting. */
int instance_set_serial(struct instance *in, const struct serial_body *body,
			struct err *e);

/* Build a VM from the configuration, and boot it.  After a failure no VM is
 * left, and the configuration can be changed. */
int instance_start(struct instance *in, struct err *e);

/* --------------------------------------------------------------- afterwards */

/*
 * Pause the VM.  No effect if it is paused; a guest that has suspended itself
 * is woken by a resume only.  INSTANCE_LATER if it takes longer than 10 ms
 * (vm_pause_within()): then on_done() reports the result, at most
 * @timeout_ms later.  A second pause joins the first one, and a resume cancels
 * both.
 */
enum { INSTANCE_LATER = 1 };
int instance_pause(struct instance *in, unsigned timeout_ms, struct err *e);
/* Resume the VM; @clock NULL: as configured.  No effect if it runs. */
int instance_resume(struct instance *in, const struct clock_request *clock,
		    struct err *e);
int instance_patch_drive(struct instance *in, struct drive_patch *patch,
			 struct err *e);
int instance_patch_interface(struct instance *in,
			     const struct interface_patch *patch,
			     struct err *e);
int instance_patch_balloon(struct instance *in, uint32_t amount_mib,
			   struct err *e);
int instance_patch_balloon_stats(struct instance *in, uint16_t interval_s,
				 struct err *e);
int instance_flush_metrics(struct instance *in, struct err *e);

struct snapshot_create;
struct snapshot_load;

/*
 * Start to write a snapshot of a paused VM; on success @body is taken over.
 * on_done() reports the result.  A failure does not affect the VM, which stays
 * paused.  Resuming or ending the VM cancels the snapshot, unless all of RAM
 * was read already.
 */
int instance_snapshot(struct instance *in, struct snapshot_create *body,
		      struct err *e);
/*
 * Restore a VM from a snapshot, instead of booting one; it is paused, or
 * running if @body says so.  @body is taken over.  If the load fails after it
 * has begun, the instance ends.  INSTANCE_LATER if a page server fills the
 * memory: then on_done() reports the result.
 */
int instance_load(struct instance *in, struct snapshot_load *body,
		  struct err *e);

/* Write the last line of metrics and close the file.  Before the devices are
 * destroyed whose counters it contains. */
void instance_close_metrics(struct instance *in);

/* End the instance, from any state, with exit status 0. */
void instance_stop(struct instance *in);
/* Report EVENT_STOPPED, because the process is about to end; @reason may be
 * NULL. */
void instance_stopped(struct instance *in, const char *reason);
