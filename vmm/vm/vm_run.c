/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pause, resume, and the guest's end.
 *
 *   vm_pause_within()
 *          |
 *      stop_by(): quiesce devices, then park vCPUs
 *          |
 *          +-- both done within AT_ONCE_MS -----------------> settle(): paused
 *          |                                                     ^
 *          +-- VM_PAUSING: look_again() every LOOK_MS and when   |
 *                  |       the last vCPU has parked              |
 *                  +-- both done --------------------------------+
 *                  |
 *                  +-- timeout, vm_cancel_pause() ----------> run_on(): running
 *                  |
 *                  +-- the guest ends ----------------------> begin_end()
 *
 * Devices are quiesced before vCPUs are parked, so that guest time does not
 * stand still while storage is slow.  A vCPU parks in microseconds unless the
 * host is short of CPU time, or a page server fills guest RAM slowly.
 */
#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/seccomp.h"
#include "vmm/vm/vm_internal.h"
#include "vmm/vm/vm_metrics.h"

enum {
	/* How long a pause, or the guest's end, may block the loop. */
	AT_ONCE_MS = 10,
	/* Then how often it polls, because devices do not report that they have
	 * become quiet. */
	LOOK_MS = 5,
	SYNC_PAUSE_MS = 1000,
	/* How long the end of a guest waits for its vCPUs to park. */
	END_MS = 500,
};

/* ---------------------------------------------------------------- deadlines */

static void on_deadline(struct event_source *source, uint32_t events);

static struct timespec timespec_of(unsigned ms)
{
	return (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
}

static uint64_t deadline_in(unsigned ms)
{
	return clock_now_ns(CLOCK_MONOTONIC) + ms * (NS_PER_S / 1000);
}

/* Call on_deadline() after @first_ms and then every @each_ms (0: once), until
 * vm_stop_waiting().  False if there can be no timer. */
static bool wait_for(struct vm *vm, enum vm_waits what, unsigned first_ms,
		     unsigned each_ms)
{
	const struct itimerspec when = {
		.it_value = timespec_of(first_ms),
		.it_interval = timespec_of(each_ms),
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return false;
	vm->deadline.ready = on_deadline;
	if (timerfd_settime(fd, 0, &when, NULL) ||
	    loop_add(vm->host.loop, &vm->deadline, fd, EPOLLIN)) {
		util_close(&fd);
		return false;
	}
	vm->waits = what;
	return true;
}

void vm_stop_waiting(struct vm *vm)
{
	vm->waits = VM_WAITS_FOR_NOTHING;
	loop_close(vm->host.loop, &vm->deadline);
}

/* -------------------------------------------------------------------- pause */

/* Undo a pause that failed or was cancelled: the guest keeps running. */
static void run_on(struct vm *vm)
{
	vm->parking = false;
	vm_wake(vm);
	vm->clock.asleep = false;
	time_pages_announce(&vm->time_pages, false);
	vcpu_set_release(&vm->vcpus);
	virtio_slots_resume(&vm->virtio);
	time_follow_start(&vm->time_follow);
}

/* All vCPUs are parked: stop guest time.  @seen: of vcpu_set_take_stall(). */
static int stop_time(struct vm *vm, uint64_t seen, struct err *e)
{
	int r = arch_clock_stop(&vm->clock, &vm->vcpus.vcpu[0].kvm,
				vcpu_set_left(&vm->vcpus), e);

	if (!r && seen) {
		arch_clock_stalled(&vm->clock, seen);
		vm->time_pages.stalled = true;
	}
	clock_metrics_update(&vm->clock);
	return r;
}

static void tell_stall(struct vm *vm, const struct arch_clock_event *event)
{
	if (event->kind == CLOCK_STALLED && vm->host.stalled)
		vm->host.stalled(vm->host.context, event);
}

/* Devices are quiet and all vCPUs parked: stop guest time.  On failure the
 * guest keeps running. */
static int settle(struct vm *vm, struct err *e)
{
	vm->parking = false;
	vm_look_at_suspend(vm);
	if (stop_time(vm, vcpu_set_take_stall(&vm->vcpus), e)) {
		run_on(vm);
		return -1;
	}
	log_debug("guest time stopped: counter %llu, offset %llu",
		  (unsigned long long)vm->clock.guest_stopped,
		  (unsigned long long)vm->clock.offset);
	if (vm->serial)
		serial_flush(vm->serial);
	tell_stall(vm, arch_clock_last(&vm->clock));
	return 0;
}

/*
 * Quiesce devices and park vCPUs, waiting until @deadline_ns (CLOCK_MONOTONIC;
 * 0: do not wait).  NULL when that is done; otherwise what it waits for: the
 * name of a device, or "" for a vCPU.
 */
static const char *stop_by(struct vm *vm, uint64_t deadline_ns)
{
	const char *busy = virtio_slots_quiesce(&vm->virtio, deadline_ns);
	uint64_t now;

	if (busy)
		return busy;
	if (!vm->parking)
		arch_clock_stopping(&vm->clock);
	vm->parking = true;
	now = clock_now_ns(CLOCK_MONOTONIC);
	return vcpu_set_park(&vm->vcpus,
			     deadline_ns > now
				     ? (unsigned)((deadline_ns - now) /
						  (NS_PER_S / 1000))
				     : 0)
		       ? NULL
		       : "";
}

/* The guest may look at VMClock until it is stopped. */
static void begin_stop(struct vm *vm)
{
	time_follow_stop(&vm->time_follow);
	time_pages_announce(&vm->time_pages, true);
}

/* Fail the pause; @busy as stop_by() returned it. */
static int too_slow(struct vm *vm, const char *busy, unsigned timeout_ms,
		    struct err *e)
{
	run_on(vm);
	if (*busy)
		return err_set(
			e,
			"%s: its storage has not answered for %u ms; "
			"the VM runs on, try again with a longer timeout",
			busy, timeout_ms);
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
	const char *busy;

	if (vm->waits == VM_PAUSING)
		return VM_PAUSE_LATER;
	/* Also before on_told() has seen it. */
	if (vcpu_set_end(&vm->vcpus, NULL) != VCPU_END_NONE)
		return err_set(e, "the guest has ended");
	begin_stop(vm);
	busy = stop_by(vm, deadline_in(at_once));
	if (!busy)
		return settle(vm, e);
	/* It has time to be told. */
	vmclock_notify(&vm->time_pages.vmclock);
	vm->pause_timeout_ms = timeout_ms;
	vm->pause_deadline_ns = deadline_in(timeout_ms - at_once);
	if (timeout_ms > at_once && wait_for(vm, VM_PAUSING, LOOK_MS, LOOK_MS))
		return VM_PAUSE_LATER;
	return too_slow(vm, busy, at_once, e);
}

int vm_pause(struct vm *vm, struct err *e)
{
	const char *busy;

	begin_stop(vm);
	busy = stop_by(vm, deadline_in(SYNC_PAUSE_MS));
	return busy ? too_slow(vm, busy, SYNC_PAUSE_MS, e) : settle(vm, e);
}

void vm_cancel_pause(struct vm *vm)
{
	if (vm->waits != VM_PAUSING)
		return;
	vm_stop_waiting(vm);
	run_on(vm);
}

/* VM_PAUSING: report the result if the pause is complete or has timed out. */
static void look_again(struct vm *vm)
{
	const struct vm_host host = vm->host;
	const char *busy = stop_by(vm, 0);
	struct err e = {0};
	int r;

	if (busy && clock_now_ns(CLOCK_MONOTONIC) < vm->pause_deadline_ns)
		return;
	vm_stop_waiting(vm);
	r = busy ? too_slow(vm, busy, vm->pause_timeout_ms, &e)
		 : settle(vm, &e);
	host.paused(host.context, r, &e);
}

/* ------------------------------------------------------------ guest's end */

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

/* Wait for all vCPUs to park, at most END_MS, before ended() is called, so that
 * the guest's last output comes before our message.  Called again each time
 * told_fd is written. */
static void begin_end(struct vm *vm)
{
	const struct vm_host host = vm->host;
	struct err e;

	virtio_slots_abandon(&vm->virtio);
	if (vm->waits == VM_PAUSING) {
		vm_stop_waiting(vm);
		err_set(&e, "the guest has ended");
		host.paused(host.context, -1, &e);
	}
	if (vcpu_set_park(&vm->vcpus,
			  vm->waits == VM_ENDING ? 0 : AT_ONCE_MS) ||
	    (vm->waits != VM_ENDING && !wait_for(vm, VM_ENDING, END_MS, 0)))
		end(vm);
}

/* ----------------------------------------------------------------- events */

static void look_at_parked(struct vm *vm);

static void on_told(struct event_source *source, uint32_t events)
{
	struct vm *vm = container_of(source, struct vm, told);
	eventfd_t n;

	(void)events;
	(void)eventfd_read(vm->told_fd, &n);
	log_write_deferred();
	rtc_look(&vm->rtc);
	virtio_slots_look_at_resets(&vm->virtio);
	if (vcpu_set_end(&vm->vcpus, NULL) != VCPU_END_NONE)
		begin_end(vm);
	else if (vm->waits == VM_PAUSING)
		look_again(vm);
	else if (vcpu_set_has_asked(&vm->vcpus))
		look_at_parked(vm);
	else
		vm_look_at_knock(vm);
}

static void on_deadline(struct event_source *source, uint32_t events)
{
	struct vm *vm = container_of(source, struct vm, deadline);
	uint64_t expired;

	(void)events;
	if (read(source->fd, &expired, sizeof(expired)) < 0)
		return;
	if (vm->waits == VM_ENDING)
		end(vm);
	else
		look_again(vm);
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

/* The host's time at @sample, in nanoseconds since 1970. */
static uint64_t realtime_of(const struct arch_clock_sample *sample)
{
	return (sample->tai_sec - (unsigned)sample->tai_offset) * NS_PER_S +
	       sample->tai_ns;
}

static int check_realtime(const struct vm *vm, struct err *e)
{
	const struct realtime *realtime = &vm->clock.config.realtime;
	uint64_t ns;

	return realtime->is_date
		       ? 0
		       : realtime_add(realtime, clock_now_ns(CLOCK_REALTIME),
				      &ns, e);
}

int vm_may_resume(const struct vm *vm, const struct clock_request *clock,
		  struct err *e)
{
	return check_realtime(vm, e) ||
			       arch_clock_may_start(&vm->clock, clock, e)
		       ? -1
		       : 0;
}

/*
 * Guest time has started.  A date is that of the counter at this moment, and
 * @sample becomes exactly that, without anything that is the host's.
 */
static void start_realtime(struct vm *vm, struct arch_clock_sample *sample)
{
	struct realtime *realtime = &vm->clock.config.realtime;
	const uint64_t host = arch_clock_last(&vm->clock)->host;
	uint64_t ns;

	if (realtime->is_date) {
		ns = arch_clock_ns(&vm->clock, host - sample->host);
		realtime->is_date = false;
		realtime->ns -= (int64_t)(realtime_of(sample) + ns);
		sample->host = host;
		ns += sample->tai_ns;
		sample->tai_sec += ns / NS_PER_S;
		sample->tai_ns = (uint32_t)(ns % NS_PER_S);
		sample->synchronized = false;
		sample->rate = 0;
	}
	vm->time_pages.realtime_ns = realtime->ns;
	rtc_start(&vm->rtc, realtime->ns);
}

/* Start guest time, and vCPUs. */
static int start_time(struct vm *vm, const struct clock_request *clock,
		      struct err *e)
{
	struct arch_clock_sample sample;

	if (check_realtime(vm, e))
		return -1;
	vm->same_memory = false;
	arch_clock_sample(&sample);
	time_pages_notify(&vm->time_pages);
	vm_wake(vm);
	vcpu_set_ready(&vm->vcpus);
	if (arch_clock_start(&vm->clock, &vm->kvm, &vm->vcpus.vcpu[0].kvm,
			     clock, e)) {
		/* vCPUs are outside of the guest.  One that is slow to park
		 * still parks, and does not run with a wrong clock. */
		vcpu_set_park(&vm->vcpus, SYNC_PAUSE_MS);
		clock_metrics_update(&vm->clock);
		return -1;
	}
	vm->clock.asleep = false;
	start_realtime(vm, &sample);
	time_pages_resume(&vm->time_pages, &vm->clock, &sample);
	vcpu_set_release(&vm->vcpus);
	arch_clock_started(&vm->clock);
	/* Yield to the vCPU threads, which may be waiting for this CPU; the
	 * rest is not urgent. */
	sched_yield();
	clock_metrics_update(&vm->clock);
	/* Not before the release: logging takes time, and guest time runs. */
	log_debug("guest time goes on: offset %llu, at most %llu ticks more",
		  (unsigned long long)vm->clock.offset,
		  (unsigned long long)vm->clock.error_ticks);
	return 0;
}

int vm_resume(struct vm *vm, const struct clock_request *clock, struct err *e)
{
	seccomp_seal();
	if (start_time(vm, clock, e))
		return -1;
	virtio_slots_resume(&vm->virtio);
	time_follow_start(&vm->time_follow);
	return 0;
}

/* The guest sleeps, and its vCPUs are parked. */
static void pause_asleep(struct vm *vm)
{
	const struct vm_host host = vm->host;
	struct err e;
	int r = vm_pause_within(vm, SYNC_PAUSE_MS, &e);

	if (r != VM_PAUSE_LATER)
		host.paused(host.context, r, &e);
}

/*
 * vCPUs were kept from running, and have parked or are about to: let them run
 * on with the time that the policy for this says.  Or one asked to be
 * suspended.
 */
static void look_at_parked(struct vm *vm)
{
	const struct clock_request clock = {
		.policy = vm->clock.config.stalls_are_frozen ? CLOCK_FROZEN
							     : CLOCK_CONTINUOUS,
		.has_max_jump = true,
		.max_jump_ms = UINT64_MAX,
	};
	struct arch_clock_event stall;
	uint64_t seen;
	struct err e;

	/* If one is slow, it writes told_fd when it has parked. */
	if (!vcpu_set_park(&vm->vcpus, AT_ONCE_MS))
		return;
	vm_look_at_suspend(vm);
	if (vm->clock.asleep) {
		pause_asleep(vm);
		return;
	}
	seen = vcpu_set_take_stall(&vm->vcpus);
	if (!seen) {
		vcpu_set_release(&vm->vcpus);
		return;
	}
	if (stop_time(vm, seen, &e)) {
		log_error("%s", e.text);
		vcpu_set_release(&vm->vcpus);
		return;
	}
	stall = *arch_clock_last(&vm->clock);
	if (start_time(vm, &clock, &e))
		vcpu_set_fail(&vm->vcpus, e.text);
	tell_stall(vm, &stall);
}
