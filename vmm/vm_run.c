/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that runs: paused, resumed, and ended by its guest.
 *
 *   vm_pause_within() -- all parked within a moment ---------------> settle()
 *          |                                                            ^
 *          +-- VM_PAUSING -- the last one parks, and says so -----------+
 *                    |
 *                    +-- the timeout, vm_cancel_pause(), the guest's end: all
 *                        run on, as if nobody had asked
 *
 * A vCPU parks in microseconds unless the host is short of CPU time, or guest
 * RAM is served by a process that takes its time.
 */
#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/base/util.h"
#include "vmm/clock_metrics.h"
#include "vmm/vm_internal.h"

enum {
	/* Waited for on the spot, as the loop must not be held longer. */
	AT_ONCE_MS = 10,
	SYNC_PAUSE_MS = 1000,
	/* Then a guest that has ended is over, wherever its vCPUs are. */
	END_MS = 500,
};

/* ---------------------------------------------------------------- deadlines */

static void on_deadline(struct event_source *source, uint32_t events);

/* False if there can be no timer. */
static bool wait_for(struct vm *vm, enum vm_waits what, unsigned timeout_ms)
{
	const struct itimerspec when = {
		.it_value.tv_sec = timeout_ms / 1000,
		.it_value.tv_nsec = (long)(timeout_ms % 1000) * 1000000,
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return false;
	vm->deadline.ready = on_deadline;
	if (timerfd_settime(fd, 0, &when, NULL) ||
	    loop_add(vm->host.loop, &vm->deadline, fd, EPOLLIN)) {
		close(fd);
		return false;
	}
	vm->waits = what;
	return true;
}

void vm_stop_waiting(struct vm *vm)
{
	int fd = vm->deadline.fd;

	vm->waits = VM_WAITS_FOR_NOTHING;
	loop_remove(vm->host.loop, &vm->deadline);
	util_close(&fd);
}

/* -------------------------------------------------------------------- pause */

/* All are parked: stop the rest. */
static int settle(struct vm *vm, struct err *e)
{
	int r = arch_clock_stop(&vm->clock, &vm->vcpus.vcpu[0].kvm,
				vcpu_set_left(&vm->vcpus), e);

	clock_metrics_update(&vm->clock);
	if (r) {
		vcpu_set_release(&vm->vcpus);
		return -1;
	}
	log_debug("guest time stopped: counter %llu, offset %llu",
		  (unsigned long long)vm->clock.guest_stopped,
		  (unsigned long long)vm->clock.offset);
	virtio_slots_quiesce(&vm->virtio);
	if (vm->serial)
		serial_flush(vm->serial);
	return 0;
}

static int too_slow(struct vm *vm, unsigned timeout_ms, struct err *e)
{
	vcpu_set_release(&vm->vcpus);
	return err_set(e,
		       "a vCPU did not stop within %u ms%s; the VM runs on, "
		       "try again with a longer timeout",
		       timeout_ms,
		       vm_is_paged(vm) ? " (it may wait for the page server)"
				       : "");
}

int vm_pause_within(struct vm *vm, unsigned timeout_ms, struct err *e)
{
	unsigned at_once = timeout_ms < AT_ONCE_MS ? timeout_ms : AT_ONCE_MS;

	if (vm->waits == VM_PAUSING)
		return VM_PAUSE_LATER;
	if (vm->waits == VM_ENDING)
		return err_set(e, "the guest has ended");
	arch_clock_stopping(&vm->clock);
	if (vcpu_set_park(&vm->vcpus, at_once))
		return settle(vm, e);
	vm->pause_timeout_ms = timeout_ms;
	if (timeout_ms > at_once &&
	    wait_for(vm, VM_PAUSING, timeout_ms - at_once))
		return VM_PAUSE_LATER;
	return too_slow(vm, at_once, e);
}

int vm_pause(struct vm *vm, struct err *e)
{
	arch_clock_stopping(&vm->clock);
	return vcpu_set_park(&vm->vcpus, SYNC_PAUSE_MS)
		       ? settle(vm, e)
		       : too_slow(vm, SYNC_PAUSE_MS, e);
}

void vm_cancel_pause(struct vm *vm)
{
	if (vm->waits != VM_PAUSING)
		return;
	vm_stop_waiting(vm);
	vcpu_set_release(&vm->vcpus);
}

/* -------------------------------------------------------------- the guest's
 * end */

static void end(struct vm *vm)
{
	static const enum vm_end ends[] = {
		[VCPU_END_OFF] = VM_END_OFF,
		[VCPU_END_RESET] = VM_END_RESET,
		[VCPU_END_ERROR] = VM_END_ERROR,
	};
	const struct vm_host host = vm->host;
	char reason[VCPU_REASON_MAX];
	enum vm_end end = ends[vcpu_set_end(&vm->vcpus, reason)];

	vm_stop_waiting(vm);
	loop_remove(host.loop, &vm->told);
	if (vm->serial) {
		serial_drain(vm->serial);
		if (serial_dropped(vm->serial))
			log_warn(
				"the guest's output was not read: %llu bytes "
				"are lost",
				(unsigned long long)serial_dropped(vm->serial));
	}
	host.ended(host.context, end, reason);
}

/* Its last words belong before ours, so the others should have stopped. */
static void begin_end(struct vm *vm)
{
	const struct vm_host host = vm->host;
	struct err e;

	if (vm->waits == VM_PAUSING) {
		vm_stop_waiting(vm);
		err_set(&e, "the guest has ended");
		host.paused(host.context, -1, &e);
	}
	if (vcpu_set_park(&vm->vcpus, vm->waits == VM_ENDING ? 0 : AT_ONCE_MS))
		end(vm);
	else if (vm->waits != VM_ENDING && !wait_for(vm, VM_ENDING, END_MS))
		end(vm);
}

/* ------------------------------------------------------------- what comes */

static void on_told(struct event_source *source, uint32_t events)
{
	struct vm *vm = container_of(source, struct vm, told);
	const struct vm_host host = vm->host;
	struct err e = {0};
	eventfd_t n;

	(void)events;
	(void)eventfd_read(vm->told_fd, &n);
	if (vcpu_set_end(&vm->vcpus, NULL) != VCPU_END_NONE) {
		begin_end(vm);
	} else if (vm->waits == VM_PAUSING && vcpu_set_park(&vm->vcpus, 0)) {
		vm_stop_waiting(vm);
		host.paused(host.context, settle(vm, &e), &e);
	}
}

static void on_deadline(struct event_source *source, uint32_t events)
{
	struct vm *vm = container_of(source, struct vm, deadline);
	const struct vm_host host = vm->host;
	struct err e;

	(void)events;
	if (vm->waits == VM_ENDING) {
		end(vm);
		return;
	}
	vm_stop_waiting(vm);
	too_slow(vm, vm->pause_timeout_ms, &e);
	host.paused(host.context, -1, &e);
}

int vm_listen(struct vm *vm)
{
	vm->told.ready = on_told;
	vm->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vcpu_set_init(&vm->vcpus, &vm->bus, vm->told_fd);
	if (vm->told_fd < 0)
		return -1;
	return loop_add(vm->host.loop, &vm->told, vm->told_fd, EPOLLIN);
}

/* ------------------------------------------------------------------- resume */

int vm_may_resume(const struct vm *vm, const struct clock_request *clock,
		  struct err *e)
{
	return arch_clock_may_start(&vm->clock, clock, e);
}

int vm_resume(struct vm *vm, const struct clock_request *clock, struct err *e)
{
	struct arch_clock_sample sample;

	arch_clock_sample(&sample);
	time_pages_notify(&vm->time_pages, arch_clock_moves(&vm->clock, clock));
	vcpu_set_ready(&vm->vcpus);
	if (arch_clock_start(&vm->clock, &vm->kvm, &vm->vcpus.vcpu[0].kvm,
			     clock, e)) {
		/* They are outside of the guest.  Were one late, it would
		 * still park, and not run with a wrong clock. */
		vcpu_set_park(&vm->vcpus, SYNC_PAUSE_MS);
		clock_metrics_update(&vm->clock);
		return -1;
	}
	time_pages_resume(&vm->time_pages, &vm->clock, &sample);
	vcpu_set_release(&vm->vcpus);
	arch_clock_started(&vm->clock);
	/* Where they wait for this CPU: all the rest can wait longer. */
	sched_yield();
	clock_metrics_update(&vm->clock);
	/* Not before: it takes time, which the guest's clock would show. */
	log_debug("guest time goes on: offset %llu, at most %llu ticks more",
		  (unsigned long long)vm->clock.offset,
		  (unsigned long long)vm->clock.error_ticks);
	virtio_slots_resume(&vm->virtio);
	return 0;
}
