/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest time.  The one file that knows of a counter offset.
 *
 * With KVM_ARM_SET_COUNTER_OFFSET (Linux 6.4) both of the guest's counters are
 * the host's minus one offset, for all vCPUs, exactly.  It is set right after
 * the VM is created, which keeps later vCPUs and registers from moving the
 * counters, and for good as the last act before vCPUs are released.
 *
 * Without it, the virtual counter alone can be moved, by writing its value:
 * late by as long as that takes.  The physical one shows the host's.
 *
 * Linux, Documentation/virt/kvm/api.rst, 4.138.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <time.h>

#include "arch/aarch64/clock_model.h"
#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/kvm/kvm.h"

enum {
	BUSY_TRIES = 50, /* of a millisecond each */
	LATE_TRIES = 20,
};

/* ------------------------------------------------------------- the offset */

/*
 * -EBUSY: some thread is inside a vCPU ioctl.  Ours are parked, so it is a
 * debugger, or about to leave.
 */
static int set_offset(struct arch_clock *c, struct kvm_vm *vm, uint64_t offset,
		      struct err *e)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	int r;

	for (unsigned i = 0; i < BUSY_TRIES; i++) {
		r = kvm_vm_set_counter_offset(vm, offset);
		if (r != -EBUSY)
			break;
		c->busy_retries++;
		nanosleep(&ms, NULL);
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

static int check_counter(const struct arch_clock *c, struct kvm_vcpu *vcpu,
			 uint64_t id, const char *name, struct err *e)
{
	uint64_t before, guest, after;
	int r;

	before = kvm_counter_read();
	r = kvm_vcpu_get_reg(vcpu, id, &guest);
	after = kvm_counter_read();
	if (r) {
		errno = -r;
		return err_errno(e, "cannot read the guest's %s counter", name);
	}
	if (clock_bracketed(before, guest, after, c->offset))
		return 0;
	return err_set(e,
		       "KVM's counter offset is not what was set: %s counter "
		       "%llu with host counter %llu to %llu, offset %llu",
		       name, (unsigned long long)guest,
		       (unsigned long long)before, (unsigned long long)after,
		       (unsigned long long)c->offset);
}

/* Both counters show the offset that we set: they are one. */
static int verify(const struct arch_clock *c, struct kvm_vcpu *vcpu,
		  struct err *e)
{
	if (check_counter(c, vcpu, KVM_REG_ARM_TIMER_CNT, "virtual", e) ||
	    check_counter(c, vcpu, KVM_REG_ARM_PTIMER_CNT, "physical", e))
		return -1;
	return 0;
}

/* ---------------------------------------------------- without the offset */

/*
 * The counter starts at @guest when KVM takes the value: at most as late as
 * the call took, which is tried to be little.
 */
static int set_counter(struct arch_clock *c, struct kvm_vcpu *vcpu,
		       uint64_t guest, struct err *e)
{
	uint64_t best = c->hz / 200000; /* 5 us: good enough */

	for (unsigned i = 0; i < LATE_TRIES; i++) {
		uint64_t before = kvm_counter_read(), took;
		int r = kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &guest);

		if (r) {
			errno = -r;
			return err_errno(e, "cannot set the guest's counter");
		}
		took = kvm_counter_read() - before;
		c->error_ticks = took;
		if (took <= best)
			break;
	}
	return 0;
}

/* -------------------------------------------------------------- life cycle */

int arch_clock_pin(struct arch_clock *c, struct kvm_vm *vm, struct err *e)
{
	*c = (struct arch_clock){
		.hz = kvm_counter_hz(),
		.has_offset = kvm_check(vm->fd, KVM_CAP_COUNTER_OFFSET) > 0,
	};
	if (!c->has_offset)
		return 0;
	return set_offset(c, vm, kvm_counter_read(), e);
}

int arch_clock_stop(struct arch_clock *c, struct kvm_vcpu *vcpu, struct err *e)
{
	if (c->has_offset) {
		if (verify(c, vcpu, e))
			return -1;
		c->host_stopped = kvm_counter_read();
		c->guest_stopped = clock_guest(c->host_stopped, c->offset);
		return 0;
	}
	if (kvm_vcpu_get_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &c->guest_stopped))
		return err_set(e, "cannot read the guest's counter");
	c->host_stopped = kvm_counter_read();
	return 0;
}

int arch_clock_start(struct arch_clock *c, struct kvm_vm *vm,
		     struct kvm_vcpu *vcpu, enum clock_policy policy,
		     struct err *e)
{
	uint64_t host;

	if (policy == CLOCK_CONTINUOUS)
		return 0; /* it never stopped */
	if (!c->has_offset)
		return set_counter(c, vcpu, c->guest_stopped, e);
	host = kvm_counter_read();
	if (!c->host_stopped)
		c->host_stopped = host; /* boot */
	if (set_offset(c, vm, clock_offset(host, c->guest_stopped), e) ||
	    verify(c, vcpu, e))
		return -1;
	c->frozen_ticks += host - c->host_stopped;
	return 0;
}
