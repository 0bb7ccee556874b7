/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest time.  Only this file sets the counter offset of a guest.
 *
 * With KVM_ARM_SET_COUNTER_OFFSET (Linux 6.4) both counters of all vCPUs are
 * exactly the host's minus one offset:
 *
 *	                     at the pause   at the resume   offset
 *	host                     1000           1500
 *	guest, frozen             900            900        100, then 600
 *	guest, continuous         900           1400        100
 *
 * The offset is set right after the VM is created, so that creating vCPUs and
 * writing registers does not move the counters, and to its final value as the
 * last step before vCPUs are released.
 *
 * Without it, by choice or on an older Linux, only the virtual counter can be
 * moved, by writing its value; the error is at most the duration of that write.
 * The physical counter then shows the host's.  The two ways are never mixed,
 * because Linux ignores written values once an offset was set.
 *
 * Linux, Documentation/virt/kvm/api.rst, 4.138.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>

#include "arch/aarch64/clock_model.h"
#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/now.h"
#include "core/kvm/kvm.h"

enum {
	BUSY_TRIES = 50, /* one per millisecond */
	LATE_TRIES = 20,
};

#define REG_CNTVOFF_EL2 ARM64_SYS_REG(3, 4, 14, 0, 3)

/* Linux's HWCAP2_ECV, which headers of other architectures lack. */
#define HWCAP2_HAS_ECV (1ul << 19)

/* ------------------------------------------------------------- the offset */

/*
 * KVM returns -EBUSY while any thread is inside a vCPU ioctl.  All vCPU threads
 * are parked, so the thread is about to leave the ioctl, or a debugger holds
 * it; retry for BUSY_TRIES ms.
 */
static int set_offset(struct arch_clock *c, struct kvm_vm *vm, uint64_t offset,
		      struct err *e)
{
	int r;

	for (unsigned i = 0; i < BUSY_TRIES; i++) {
		r = kvm_vm_set_counter_offset(vm, offset);
		if (r != -EBUSY)
			break;
		c->busy_retries++;
		poll(NULL, 0, 1);
	}
	if (r) {
		errno = -r;
		return err_errno(e, "KVM does not set the counter offset%s",
				 r == -EBUSY ? " (a vCPU is in use; is a "
					       "debugger attached?)"
					     : "");
	}
	c->offset = offset;
	return 0;
}

/*
 * The CNTVOFF_EL2 of a guest with EL2, which KVM also subtracts from the
 * virtual counter that it reports; 0 without EL2.
 */
static uint64_t own_offset(struct kvm_vcpu *vcpu, uint64_t id)
{
	uint64_t offset = 0;

	if (id != KVM_REG_ARM_TIMER_CNT ||
	    kvm_vcpu_get_reg(vcpu, REG_CNTVOFF_EL2, &offset))
		return 0;
	return offset;
}

static int check_counter(struct arch_clock *c, struct kvm_vcpu *vcpu,
			 uint64_t id, const char *name, struct err *e)
{
	uint64_t slack = c->error_ticks, offset = c->offset;
	uint64_t before, guest, after;
	int r;

	/* If the first check fails, check with the guest's own offset added. */
	for (unsigned i = 0; i < 2; i++) {
		before = kvm_counter_read();
		r = kvm_vcpu_get_reg(vcpu, id, &guest);
		after = kvm_counter_read();
		if (r) {
			errno = -r;
			return err_errno(
				e, "cannot read the guest's %s counter", name);
		}
		if (clock_bracketed(before, guest, after + slack,
				    offset + slack))
			return 0;
		offset = c->offset + own_offset(vcpu, id);
	}
	c->verify_failures++;
	return err_set(e,
		       "KVM's counter offset is not what was set: %s counter "
		       "%llu with host counter %llu to %llu, offset %llu",
		       name, (unsigned long long)guest,
		       (unsigned long long)before, (unsigned long long)after,
		       (unsigned long long)c->offset);
}

/*
 * Check that the guest's counters match c->offset; the physical one only if it
 * shows guest time.
 */
static int verify(struct arch_clock *c, struct kvm_vcpu *vcpu, struct err *e)
{
	if (check_counter(c, vcpu, KVM_REG_ARM_TIMER_CNT, "virtual", e))
		return -1;
	if (c->has_offset &&
	    check_counter(c, vcpu, KVM_REG_ARM_PTIMER_CNT, "physical", e))
		return -1;
	return 0;
}

/* ---------------------------------------------------- without the offset */

/*
 * Set the virtual counter to @guest.  KVM applies the value at some moment
 * during the call, so the error is at most the call's duration, which we retry
 * to keep below 5 us.
 */
static int set_counter(struct arch_clock *c, struct kvm_vcpu *vcpu,
		       uint64_t guest, struct err *e)
{
	uint64_t good = c->hz / 200000; /* 5 us */

	for (unsigned i = 0; i < LATE_TRIES; i++) {
		uint64_t before = kvm_counter_read();
		int r = kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &guest);

		if (r) {
			errno = -r;
			return err_errno(e, "cannot set the guest's counter");
		}
		c->error_ticks = kvm_counter_read() - before;
		c->offset = clock_offset(before, guest);
		if (c->error_ticks <= good)
			break;
	}
	return 0;
}

/* ------------------------------------------------------- rejected requests */

/*
 * Linux 6.4 and 6.5 set physical timers wrongly on CPUs with a physical offset
 * in hardware (CNTPOFF_EL2).  FEAT_ECV, which user space can see, is a superset
 * of these CPUs.
 */
static bool offset_is_broken(void)
{
	struct utsname host;

	if (!(getauxval(AT_HWCAP2) & HWCAP2_HAS_ECV) || uname(&host))
		return false;
	return !strncmp(host.release, "6.4.", 4) ||
	       !strncmp(host.release, "6.5.", 4);
}

static int choose_interface(struct arch_clock *c, struct kvm_vm *vm,
			    struct err *e)
{
	const char *why = NULL;

	if (kvm_check(vm->fd, KVM_CAP_COUNTER_OFFSET) <= 0)
		why = "this host's KVM has no counter offset (Linux 6.4 has)";
	else if (offset_is_broken())
		why = "Linux 6.4 and 6.5 offset the physical timer wrongly on "
		      "this CPU (6.6 does not)";
	c->has_offset = !why && c->config.physical != CLOCK_PHYSICAL_HOST;
	if (why && c->config.physical == CLOCK_PHYSICAL_GUEST)
		return err_set(e,
			       "the physical counter cannot show the guest's "
			       "time: %s; leave the clock's `physical` out or "
			       "make it \"host\"",
			       why);
	return 0;
}

static int check_jump(const struct arch_clock *c,
		      const struct clock_request *request, uint64_t ticks,
		      struct err *e)
{
	uint64_t max = request->has_max_jump ? request->max_jump_ms
					     : c->config.max_jump_ms;

	if (c->asleep || !clock_longer_than(ticks, c->hz, max))
		return 0;
	return err_set(e,
		       "the guest's time would jump by %llu ms, more than "
		       "`max_jump_ms` (%llu); resume it frozen, or allow more "
		       "for this once: \"clock\": {\"policy\": \"continuous\", "
		       "\"max_jump_ms\": ...}",
		       (unsigned long long)(clock_ns(ticks, c->hz) / 1000000),
		       (unsigned long long)max);
}

/* Reject an elapsed time from unsynchronised clocks, unless that is allowed. */
static int check_elapsed(const struct arch_clock *c,
			 const struct clock_request *request, struct err *e)
{
	if (!c->estimated || !c->unsynchronized || request->unsynchronized)
		return 0;
	return err_set(e, "nobody knows how long ago the guest stopped: it ran "
			  "before this host's last boot or on another, and "
			  "one of the two clocks is not synchronised (NTP); "
			  "go on frozen, or say that such clocks are good "
			  "enough: \"clock\": {\"policy\": "
			  "\"continuous\", \"unsynchronized\": true}");
}

/*
 * Is @request acceptable when the host's counter is at @host?  Stores by how
 * many ticks guest time would jump.
 */
static int check_request(const struct arch_clock *c,
			 const struct clock_request *request, uint64_t host,
			 uint64_t *jump_ticks, struct err *e)
{
	uint64_t jump = 0;

	switch (request->policy) {
	case CLOCK_FROZEN:
		break;
	case CLOCK_CONTINUOUS:
		if (c->restored && check_elapsed(c, request, e))
			return -1;
		if (clock_goes_back(c->host_stopped, host))
			return err_set(e,
				       "the host's %s went back since the "
				       "pause; resume it frozen",
				       c->estimated ? "clock" : "counter");
		jump = host - c->host_stopped;
		break;
	case CLOCK_SET:
		if (clock_goes_back(c->guest_stopped, request->ticks))
			return err_set(
				e,
				"the guest's counter stopped at %llu, and "
				"cannot go back to %llu",
				(unsigned long long)c->guest_stopped,
				(unsigned long long)request->ticks);
		jump = request->ticks - c->guest_stopped;
		break;
	}
	*jump_ticks = jump;
	return check_jump(c, request, jump, e);
}

/* ----------------------------------------------------------------- history */

static struct arch_clock_event *add_event(struct arch_clock *c)
{
	struct arch_clock_event *event =
		&c->history[c->event_count++ % CLOCK_HISTORY_MAX];

	*event = (struct arch_clock_event){
		.offset = c->offset,
		.error_ticks = c->error_ticks,
	};
	return event;
}

/* -------------------------------------------------------------- life cycle */

int arch_clock_pin(struct arch_clock *c, struct kvm_vm *vm,
		   const struct clock_config *config, struct err *e)
{
	*c = (struct arch_clock){.config = *config, .hz = kvm_counter_hz()};
	if (choose_interface(c, vm, e))
		return -1;
	return c->has_offset ? set_offset(c, vm, kvm_counter_read(), e) : 0;
}

void arch_clock_stopping(struct arch_clock *c)
{
	c->stopping = kvm_counter_read();
}

int arch_clock_stop(struct arch_clock *c, struct kvm_vcpu *vcpu, uint64_t left,
		    struct err *e)
{
	struct arch_clock_event *event;
	uint64_t now, guest;

	if (verify(c, vcpu, e))
		return -1;
	guest = clock_guest(left, c->offset);
	if (!c->has_offset) {
		now = kvm_counter_read();
		if (kvm_vcpu_get_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &guest))
			return err_set(e, "cannot read the guest's counter");
		guest -= now - left;
	}
	c->host_stopped = left;
	c->guest_stopped = guest;
	c->offset_stopped = c->offset;
	c->moved = false;
	event = add_event(c);
	event->kind = CLOCK_STOPPED;
	event->realtime_ns = clock_now_ns(CLOCK_REALTIME);
	event->host = c->host_stopped;
	event->guest = c->guest_stopped;
	/* A guest that suspends itself stops before it is asked to. */
	if (!clock_goes_back(c->stopping, c->host_stopped))
		event->late_ticks = c->host_stopped - c->stopping;
	c->pauses++;
	return 0;
}

/* How long the host has slept since it booted. */
static uint64_t slept_ns(void)
{
	return clock_now_ns(CLOCK_BOOTTIME) - clock_now_ns(CLOCK_MONOTONIC);
}

struct arch_clock_event *arch_clock_last(struct arch_clock *c)
{
	return &c->history[(c->event_count - 1) % CLOCK_HISTORY_MAX];
}

void arch_clock_stalled(struct arch_clock *c, uint64_t seen)
{
	struct arch_clock_event *event = arch_clock_last(c);
	uint64_t slept = slept_ns() - c->slept_ns;

	event->kind = CLOCK_STALLED;
	event->late_ticks = 0;
	event->unseen_ticks = kvm_counter_read() - seen;
	event->error_ticks = c->config.stalls_are_frozen
				     ? c->host_stopped - seen
				     : event->unseen_ticks;
	/* The two clocks are not read at the same moment. */
	event->slept_ns = (int64_t)slept < (int64_t)NS_PER_S / 1000 ? 0 : slept;
	c->pauses--;
	c->stalls++;
}

/* Make the guest's counter continue from @guest now. */
static int move(struct arch_clock *c, struct kvm_vm *vm, struct kvm_vcpu *vcpu,
		uint64_t guest, struct err *e)
{
	c->moved = true;
	if (c->has_offset
		    ? set_offset(c, vm, clock_offset(kvm_counter_read(), guest),
				 e)
		    : set_counter(c, vcpu, guest, e))
		return -1;
	return verify(c, vcpu, e);
}

/*
 * CLOCK_CONTINUOUS: keep the offset from before the pause.  It needs to be set
 * only if a restore or a failed resume changed it.
 */
static int go_on(struct arch_clock *c, struct kvm_vm *vm, struct kvm_vcpu *vcpu,
		 struct err *e)
{
	if (!c->moved)
		return 0;
	if (!c->has_offset)
		return move(c, vm, vcpu,
			    c->guest_stopped +
				    (kvm_counter_read() - c->host_stopped),
			    e);
	if (set_offset(c, vm, c->offset_stopped, e))
		return -1;
	return verify(c, vcpu, e);
}

static int start(struct arch_clock *c, struct kvm_vm *vm, struct kvm_vcpu *vcpu,
		 const struct clock_request *request, uint64_t guest,
		 struct err *e)
{
	return request->policy == CLOCK_CONTINUOUS
		       ? go_on(c, vm, vcpu, e)
		       : move(c, vm, vcpu, guest, e);
}

static enum clock_policy configured_policy(const struct arch_clock *c)
{
	return c->restored ? c->config.on_restore : c->config.on_pause;
}

int arch_clock_start(struct arch_clock *c, struct kvm_vm *vm,
		     struct kvm_vcpu *vcpu, const struct clock_request *request,
		     struct err *e)
{
	const struct clock_request configured = {
		.policy = configured_policy(c),
	};
	const uint64_t now_ns = clock_now_ns(CLOCK_REALTIME);
	const uint64_t now = kvm_counter_read();
	const bool boots = !c->host_stopped;
	struct arch_clock_event *event;
	uint64_t jump;

	if (!request)
		request = &configured;
	if (check_request(c, request, now, &jump, e) ||
	    start(c, vm, vcpu, request, c->guest_stopped + jump, e))
		return -1;
	event = add_event(c);
	event->kind = boots         ? CLOCK_BOOTED
		      : c->restored ? CLOCK_RESTORED
				    : CLOCK_WENT_ON;
	if (c->restored && c->estimated && request->policy == CLOCK_CONTINUOUS)
		event->error_ticks = clock_ticks(c->elapsed_error_ns, c->hz);
	c->restored = false;
	event->policy = request->policy;
	event->realtime_ns = now_ns;
	event->guest = c->guest_stopped + jump;
	event->host = c->offset + event->guest;
	event->jump_ticks = jump;
	if (boots)
		return 0;
	c->resumes++;
	/* Unknown, and left at 0, if the host's counter was reset. */
	if (!clock_goes_back(c->host_stopped, event->host))
		event->paused_ticks = event->host - c->host_stopped;
	if (request->policy == CLOCK_FROZEN)
		c->frozen_ticks += event->paused_ticks;
	if (jump > c->longest_jump_ticks)
		c->longest_jump_ticks = jump;
	return 0;
}

int arch_clock_may_start(const struct arch_clock *c,
			 const struct clock_request *request, struct err *e)
{
	const struct clock_request configured = {
		.policy = configured_policy(c),
	};
	uint64_t jump;

	return check_request(c, request ? request : &configured,
			     kvm_counter_read(), &jump, e);
}

void arch_clock_started(struct arch_clock *c)
{
	struct arch_clock_event *event = arch_clock_last(c);

	event->late_ticks = kvm_counter_read() - event->host;
	c->slept_ns = slept_ns();
}
