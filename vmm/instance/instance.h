/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one microVM of this process: what was asked for so far, the VM once it
 * exists, and where the VMM itself writes to.  Command line, configuration
 * file and API all drive this.  All of it is the main thread's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/config/bodies.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"

struct buf;
struct err;
struct event_loop;
struct instance_load;
struct metrics_sink;
struct snapshot_job;
struct working_set_reader;
struct working_set_recorder;

enum instance_state { INSTANCE_NOT_STARTED, INSTANCE_RUNNING, INSTANCE_PAUSED };

enum instance_event {
	EVENT_BOOTED,
	EVENT_PAUSED,
	EVENT_RESUMED,
	EVENT_SNAPSHOTTED,
	EVENT_RESTORED,
	EVENT_GUEST_OFF,
	EVENT_GUEST_RESET,
	EVENT_ERROR,
	EVENT_STOPPED, /* by request */
	EVENT_COUNT
};

/* What is done by and by, and told by on_done(). */
enum instance_task {
	INSTANCE_SNAPSHOTS,
	INSTANCE_PAUSES,
	INSTANCE_LOADS,
	INSTANCE_TASKS
};

/* What the instance uses of whoever runs it. */
struct instance_host {
	struct event_loop *loop;
	int serial_out, serial_room; /* as in struct vm_host */

	/* The VM was booted: it may be typed at. */
	void (*started)(void *context, struct vm *vm);
	/* It is over; @status is the process's exit status. */
	void (*ended)(void *context, int status);
	void *context;
};

struct instance {
	const char *id;
	enum instance_state state;
	struct vm_config config;
	struct vm *vm; /* NULL before it is started */
	/* A snapshot is being loaded: nothing else can be started. */
	struct instance_load *load;
	bool configured; /* something of a VM to boot was said */
	/* After a restore: how the guest's time goes on, if that was said. */
	bool has_clock;
	struct clock_request clock;

	bool pausing;             /* vCPUs are asked to stop */
	uint64_t pause_began;     /* microseconds */
	struct snapshot_job *job; /* a snapshot that is being written */
	uint64_t job_began;       /* microseconds */
	/* What a restored guest touches is recorded; or was, and is read. */
	struct working_set_recorder *recorder;
	struct working_set_reader *reader;

	struct instance_host host;

	int log_fd;    /* -1: not ours */
	int serial_fd; /* -1: host.serial_out */
	struct token_bucket_config serial_limit;
	bool serial_waits; /* for its reader, and loses nothing */
	struct logger_config logger;
	struct metrics_config metrics_config; /* of .metrics */
	struct metrics_sink *metrics;         /* NULL: nobody asked */

	/* Somebody who wants to know; @reason may be NULL. */
	void (*on_event)(void *context, enum instance_event event,
			 const char *reason);
	void *on_event_context;
	/* Who waits for the end of a task: -1 and why it failed, or 0. */
	void (*on_done)(void *context, enum instance_task task, int result,
			const struct err *e);
	void *on_done_context;
};

/* @id stays valid.  instance_fini() it. */
void instance_init(struct instance *in, const char *id,
		   const struct instance_host *host);
void instance_fini(struct instance *in);

/* "Not started" ...: as Firecracker's API calls it. */
const char *instance_state_name(const struct instance *in);

/* ----------------------------------------------------- before it is started */

/* Take over what @body says, and leave the rest as it was. */
int instance_set_logger(struct instance *in, const struct logger_config *body,
			struct err *e);
/* Once; the first line is written at once. */
int instance_set_metrics(struct instance *in, const struct metrics_config *body,
			 struct err *e);
int instance_set_serial(struct instance *in, const struct serial_body *body,
			struct err *e);

/* Build a VM of the configuration, and boot it.  After a failure nothing is
 * left of it and the configuration can be changed. */
int instance_start(struct instance *in, struct err *e);

/* --------------------------------------------------------------- afterwards */

/*
 * Pausing what is paused, or resuming what runs, changes nothing.
 *
 * INSTANCE_LATER if the vCPUs take longer than a moment to stop: on_done()
 * tells what became of it, at most @timeout_ms later.  A second pause joins the
 * first, and a resume cancels it.
 */
enum { INSTANCE_LATER = 1 };
int instance_pause(struct instance *in, unsigned timeout_ms, struct err *e);
/* @clock NULL: as configured. */
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
 * Begin to write a snapshot of a paused VM; @body is taken over.  on_done()
 * is called when that has ended.  A failure leaves the VM paused and whole.  To
 * resume or to end it cancels the snapshot, unless all of RAM was read
 * already.
 */
int instance_snapshot(struct instance *in, struct snapshot_create *body,
		      struct err *e);
/*
 * Instead of starting one: become the VM that was saved, paused, or running if
 * that is asked for; @body is taken over.  After a failure in the middle the
 * instance ends.  INSTANCE_LATER if a page server serves its memory: on_done()
 * tells the end of it.
 */
int instance_load(struct instance *in, struct snapshot_load *body,
		  struct err *e);

/* Write the last line, while all that counts is still there. */
void instance_close_metrics(struct instance *in);

/* End it, from any state: status 0. */
void instance_stop(struct instance *in);
/* The process is about to end, for this reason or NULL: tell who listens. */
void instance_stopped(struct instance *in, const char *reason);
