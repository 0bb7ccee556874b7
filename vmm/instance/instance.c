/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/instance.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "devices/virtio/balloon/balloon.h"
#include "vmm/instance/instance_internal.h"
#include "vmm/instance/metrics_sink.h"
#include "vmm/instance/snapshot_job.h"
#include "vmm/instance/working_set_reader.h"
#include "vmm/instance/working_set_recorder.h"
#include "vmm/vm/vm_metrics.h"

enum { EXIT_GUEST_DONE = 0, EXIT_GUEST_FAILED = 1 };
enum { SERIAL_PATIENCE_MS = 2000 };

struct instance_latencies instance_latencies;

static const struct metric latency_table[] = {
	GAUGE(struct instance_latencies, full_create_snapshot),
	GAUGE(struct instance_latencies, diff_create_snapshot),
	GAUGE(struct instance_latencies, load_snapshot),
	GAUGE(struct instance_latencies, pause_vm),
	GAUGE(struct instance_latencies, resume_vm),
	GAUGE(struct instance_latencies, vmm_full_create_snapshot),
	GAUGE(struct instance_latencies, vmm_diff_create_snapshot),
	GAUGE(struct instance_latencies, vmm_load_snapshot),
	GAUGE(struct instance_latencies, vmm_pause_vm),
	GAUGE(struct instance_latencies, vmm_resume_vm),
};

static struct metrics_group latency_group = {
	.name = "latencies_us",
	.metric = latency_table,
	.count = ARRAY_SIZE(latency_table),
	.base = &instance_latencies,
};

uint64_t instance_now_us(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000;
}

void instance_tell(struct instance *in, enum instance_event event,
		   const char *reason)
{
	if (in->on_event)
		in->on_event(in->on_event_context, event, reason);
}

void instance_done(struct instance *in, enum instance_task task, int result,
		   const struct err *e)
{
	if (in->on_done)
		in->on_done(in->on_done_context, task, result, e);
}

void instance_init(struct instance *in, const char *id,
		   const struct instance_host *host)
{
	*in = (struct instance){
		.id = id,
		.host = *host,
		.log_fd = -1,
		.serial_fd = -1,
	};
	vm_config_init(&in->config);
	mmds_init(&in->mmds, &in->config.mmds);
	metrics_add(&latency_group);
	vm_metrics_add();
}

void instance_end_recording(struct instance *in)
{
	working_set_recorder_finish(in->recorder);
	in->recorder = NULL;
}

void instance_fini(struct instance *in)
{
	/* Before vm_abandon(), which fills missing pages with zeroes: the job
	 * must not save those. */
	if (in->job)
		snapshot_job_let_go(in->job);
	if (in->vm)
		vm_abandon(in->vm);
	instance_load_destroy(in->load);
	in->load = NULL;
	/* A thread that a disk blocks may still read guest RAM. */
	if (!snapshot_job_destroy(in->job))
		vm_keep_memory(in->vm);
	in->job = NULL;
	instance_end_recording(in);
	working_set_reader_destroy(in->reader);
	in->reader = NULL;
	vm_destroy(in->vm);
	in->vm = NULL;
	instance_close_metrics(in);
	metrics_config_fini(&in->metrics_config);
	metrics_remove(&latency_group);
	vm_metrics_remove();
	mmds_fini(&in->mmds);
	util_close(&in->serial_fd);
	vm_config_fini(&in->config);
	logger_config_fini(&in->logger);
}

const char *instance_state_name(const struct instance *in)
{
	static const char *const names[] = {
		[INSTANCE_NOT_STARTED] = "Not started",
		[INSTANCE_RUNNING] = "Running",
		[INSTANCE_PAUSED] = "Paused",
		[INSTANCE_SUSPENDED] = "Suspended",
	};

	return names[in->state];
}

/* ------------------------------------------------- before it is started */

/* Copy @text, unless it is NULL, to the string member at @field. */
static int take_text(char **field, const char *text, struct err *e)
{
	return text ? vm_config_set(field, text, e) : 0;
}

int instance_set_logger(struct instance *in, const struct logger_config *body,
			struct err *e)
{
	struct log_config log = {
		.level = LOG_INFO,
		.style = LOG_FIRECRACKER,
		.fd = in->log_fd >= 0 ? in->log_fd : STDOUT_FILENO,
		.id = in->id,
		.show_level = in->logger.show_level || body->show_level,
		.show_origin = in->logger.show_origin || body->show_origin,
	};
	const char *level = body->level ? body->level : in->logger.level;

	if (level && !log_parse_level(level, &log.level))
		return err_set(e,
			       "unknown variant `%.40s`, expected one of "
			       "`Error`, `Warning`, `Info`, `Debug`, `Trace`, "
			       "`Off`",
			       level);
	if (body->path) {
		log.fd = io_open_sink(body->path, e);
		if (log.fd < 0)
			return -1;
	}
	if (take_text(&in->logger.path, body->path, e) ||
	    take_text(&in->logger.level, body->level, e)) {
		if (body->path)
			close(log.fd);
		return -1;
	}
	in->logger.show_level = log.show_level;
	in->logger.show_origin = log.show_origin;
	log_configure(&log);
	if (body->path) {
		util_close(&in->log_fd);
		in->log_fd = log.fd;
	}
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

int instance_set_metrics(struct instance *in, const struct metrics_config *body,
			 struct err *e)
{
	struct metrics_config *mine = &in->metrics_config;
	struct metrics_sink_config config = {.loop = in->host.loop};

	if (in->metrics) {
		if (same_text(mine->path, body->path) &&
		    same_text(mine->properties, body->properties) &&
		    mine->emit_id == body->emit_id &&
		    mine->firecracker_only == body->firecracker_only)
			return 0;
		return err_set(e, "Reinitialization of metrics not allowed.");
	}
	if (take_text(&mine->path, body->path, e) ||
	    take_text(&mine->properties, body->properties, e))
		return -1;
	mine->emit_id = body->emit_id;
	mine->firecracker_only = body->firecracker_only;
	config.path = mine->path;
	config.properties = mine->properties;
	config.id = mine->emit_id ? in->id : NULL;
	config.firecracker_only = mine->firecracker_only;
	in->metrics = metrics_sink_open(&config, e);
	if (!in->metrics)
		metrics_config_fini(mine);
	return in->metrics ? 0 : -1;
}

int instance_set_serial(struct instance *in, const struct serial_body *body,
			struct err *e)
{
	int fd = -1;

	if (body->path) {
		fd = io_open_sink(body->path, e);
		if (fd < 0)
			return -1;
	}
	util_close(&in->serial_fd);
	in->serial_fd = fd;
	in->serial_limit = body->limit;
	in->serial_waits = body->waits;
	return 0;
}

static void paused(struct instance *in)
{
	in->state = INSTANCE_PAUSED;
	INSTANCE_TOOK(pause_vm, in->pause_began);
	instance_end_recording(in);
	instance_tell(in, EVENT_PAUSED, NULL);
}

static void on_vm_ended(void *context, enum vm_end end, const char *reason)
{
	static const enum instance_event events[] = {
		[VM_END_OFF] = EVENT_GUEST_OFF,
		[VM_END_RESET] = EVENT_GUEST_RESET,
		[VM_END_ERROR] = EVENT_ERROR,
	};
	struct instance *in = context;
	int status = EXIT_GUEST_DONE;

	if (in->load) {
		instance_load_fail(in, reason);
		return;
	}
	switch (end) {
	case VM_END_OFF:
		log_info("the guest powered off");
		break;
	case VM_END_RESET:
		log_info("the guest asked for a reset; a microVM ends then");
		break;
	case VM_END_ERROR:
		log_error("%s", reason);
		status = EXIT_GUEST_FAILED;
		break;
	}
	instance_tell(in, events[end], end == VM_END_ERROR ? reason : NULL);
	in->host.ended(in->host.context, status);
}

static void on_vm_ready(void *context)
{
	instance_load_ready(context);
}

static void on_vm_paused(void *context, int result, const struct err *e)
{
	struct instance *in = context;

	if (!result && !in->pausing)
		instance_suspended(in);
	else if (!result)
		paused(in);
	in->pausing = false;
	instance_done(in, INSTANCE_PAUSES, result, e);
}

static void on_vm_stalled(void *context, const struct arch_clock_event *stall)
{
	struct instance *in = context;
	struct err e;

	err_set(&e,
		"something kept the guest from running, for at most %llu ms",
		(unsigned long long)arch_clock_ns(vm_clock(in->vm),
						  stall->unseen_ticks) /
			1000000);
	log_warn("%s", e.text);
	instance_tell(in, EVENT_STALLED, e.text);
}

static void confine(void *context, const struct vm_config *config)
{
	struct instance *in = context;

	if (in->host.confine)
		in->host.confine(in->host.context, config);
}

struct vm_host instance_vm_host(struct instance *in)
{
	return (struct vm_host){
		.kvm_path = "/dev/kvm",
		.loop = in->host.loop,
		.serial_out = in->serial_fd >= 0 ? in->serial_fd
						 : in->host.serial_out,
		.serial_room = in->host.serial_room,
		.serial_limit = in->serial_limit,
		.serial_patience_ms = in->serial_waits ? 0 : SERIAL_PATIENCE_MS,
		.mmds = &in->mmds.server,
		.confine = confine,
		.ended = on_vm_ended,
		.paused = on_vm_paused,
		.woken = instance_wake,
		.stalled = on_vm_stalled,
		.ready = on_vm_ready,
		.context = in,
	};
}

int instance_start(struct instance *in, struct err *e)
{
	const struct vm_host host = instance_vm_host(in);
	struct vm *vm = vm_create(&in->config, &host, e);

	if (!vm)
		return -1;
	if (vm_boot(vm, &in->config, e)) {
		vm_destroy(vm);
		return -1;
	}
	in->vm = vm;
	in->state = INSTANCE_RUNNING;
	in->host.started(in->host.context, vm);
	instance_tell(in, EVENT_BOOTED, NULL);
	return 0;
}

/* ---------------------------------------------------------- afterwards */

int instance_pause(struct instance *in, unsigned timeout_ms, struct err *e)
{
	int r = 0;

	if (in->state == INSTANCE_PAUSED)
		return 0;
	if (in->pausing)
		return INSTANCE_LATER;
	in->pause_began = instance_now_us();
	if (in->state == INSTANCE_RUNNING)
		r = vm_pause_within(in->vm, timeout_ms, e);
	if (r < 0)
		return -1;
	in->pausing = r == VM_PAUSE_LATER;
	if (in->pausing)
		return INSTANCE_LATER;
	paused(in);
	return 0;
}

static void cancel_pause(struct instance *in)
{
	struct err e;

	if (!in->pausing)
		return;
	in->pausing = false;
	vm_cancel_pause(in->vm);
	err_set(&e, "the pause was cancelled, because the microVM was resumed");
	instance_done(in, INSTANCE_PAUSES, -1, &e);
}

int instance_resume(struct instance *in, const struct clock_request *clock,
		    struct err *e)
{
	uint64_t began = instance_now_us();

	cancel_pause(in);
	if (in->state == INSTANCE_RUNNING)
		return 0;
	if (!clock && in->has_clock)
		clock = &in->clock;
	if (vm_may_resume(in->vm, clock, e))
		return -1;
	if (in->job)
		snapshot_job_let_go(in->job);
	if (vm_resume(in->vm, clock, e))
		return -1;
	in->has_clock = false;
	in->state = INSTANCE_RUNNING;
	INSTANCE_TOOK(resume_vm, began);
	if (in->recorder)
		working_set_recorder_start(in->recorder);
	instance_tell(in, EVENT_RESUMED, NULL);
	return 0;
}

int instance_patch_drive(struct instance *in, struct drive_patch *patch,
			 struct err *e)
{
	if (vm_patch_drive(in->vm, patch, e))
		return -1;
	/* GET /vm/config and snapshots use the configuration. */
	for (unsigned i = 0; i < in->config.drive_count; i++) {
		struct drive_config *drive = &in->config.drive[i];

		if (strcmp(drive->block.id, patch->id) != 0)
			continue;
		if (patch->path) {
			free(drive->block.path);
			drive->block.path = patch->path;
			patch->path = NULL;
		}
		limiter_apply(&patch->limits, &drive->block.limiter);
	}
	return 0;
}

int instance_patch_interface(struct instance *in,
			     const struct interface_patch *patch, struct err *e)
{
	if (vm_patch_interface(in->vm, patch, e))
		return -1;
	for (unsigned i = 0; i < in->config.interface_count; i++) {
		struct interface_config *interface = &in->config.interface[i];

		if (strcmp(interface->net.id, patch->id) != 0)
			continue;
		limiter_apply(&patch->rx, &interface->net.rx_limiter);
		limiter_apply(&patch->tx, &interface->net.tx_limiter);
	}
	return 0;
}

int instance_patch_balloon(struct instance *in, uint32_t amount_mib,
			   struct err *e)
{
	struct virtio_device *dev = vm_balloon(in->vm, e);

	if (!dev || balloon_set_target(dev, amount_mib, e))
		return -1;
	in->config.balloon.amount_mib = amount_mib;
	return 0;
}

int instance_patch_balloon_stats(struct instance *in, uint16_t interval_s,
				 struct err *e)
{
	struct virtio_device *dev = vm_balloon(in->vm, e);

	if (!dev || balloon_set_stats_interval(dev, interval_s, e))
		return -1;
	in->config.balloon.stats_polling_interval_s = interval_s;
	return 0;
}

int instance_flush_metrics(struct instance *in, struct err *e)
{
	return in->metrics ? metrics_sink_flush(in->metrics, e) : 0;
}

void instance_close_metrics(struct instance *in)
{
	metrics_sink_close(in->metrics);
	in->metrics = NULL;
}

void instance_stopped(struct instance *in, const char *reason)
{
	instance_tell(in, EVENT_STOPPED, reason);
}

void instance_stop(struct instance *in)
{
	log_info("stopped by request");
	instance_stopped(in, NULL);
	in->host.ended(in->host.context, EXIT_GUEST_DONE);
}

void instance_fail(struct instance *in, const char *reason)
{
	instance_tell(in, EVENT_ERROR, reason);
	in->host.ended(in->host.context, EXIT_GUEST_FAILED);
}
