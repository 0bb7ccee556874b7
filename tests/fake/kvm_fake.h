/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM whose guest is a script, for tests: it implements core/kvm/kvm.h.
 *
 * There is one of it in a process; kvm_fake_reset() starts anew. VMs and
 * vCPUs keep their registers and record what was done to them. Descriptors it
 * hands out are real ones, so that a leak can be counted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/kvm/kvm.h"

enum {
	FAKE_VCPUS_MAX = 64,
	FAKE_REGS_MAX = 32,
	FAKE_STEPS_MAX = 16,
	FAKE_ATTRS_MAX = 2048,
	FAKE_CAPS_MAX = 512,
	FAKE_SPIS_MAX = 128,
	FAKE_LATE_MAX = 16,
};

/* What a vCPU does when it is run.  FAKE_STUCK: no kick gets it out until
 * kvm_fake_let_go(), as when it waits for a page; then it exits.  FAKE_TOUCH:
 * read memory at @gpa, wherever it comes from; no kick gets it out of that,
 * either, as with KVM. */
struct fake_step {
	enum {
		FAKE_EXIT,
		FAKE_READ,
		FAKE_WRITE,
		FAKE_SPIN,
		FAKE_STUCK,
		FAKE_TOUCH
	} kind;
	enum kvm_exit exit; /* FAKE_EXIT, FAKE_STUCK */
	int error;          /* with KVM_EXITED_ERROR: errno of KVM_RUN */
	/* With FAKE_STUCK, KVM_EXITED_INTERRUPTED: what kvm_vcpu_unseen() and
	 * kvm_vcpu_left() say then; 0: it was kicked, and now. */
	uint64_t unseen, left;
	gpa_t gpa;
	unsigned len;
	uint64_t value;   /* FAKE_WRITE */
	bool after_stuck; /* not before another one is stuck */
};

struct fake_reg {
	uint64_t id, value;
	unsigned when; /* the number of the call that set it last */
};

struct fake_vcpu {
	struct kvm_vcpu *kvm;
	struct fake_step steps[FAKE_STEPS_MAX]; /* then it spins until kicked */
	unsigned step_count, step;
	struct fake_reg regs[FAKE_REGS_MAX];
	unsigned reg_count;
	uint32_t features; /* of KVM_ARM_VCPU_INIT */
	bool finalized;
	unsigned aborts; /* injected */
	uint32_t mp_state;
	struct kvm_serror serror;
	/* As fake_reg.when. */
	unsigned created_when, finalized_when, mp_when, serror_when;
	unsigned entries;
	bool kicked;
	uint64_t unseen, left; /* of the last step, until it has parked */
	bool beats;
	uint64_t answer; /* to the last FAKE_READ */
};

/* A KVM_SET_DEVICE_ATTR that was accepted. */
struct fake_attr {
	int fd;
	unsigned group;
	uint64_t attr;
	uint64_t value; /* up to 8 bytes of it; 0 without one */
	unsigned when;  /* as fake_reg.when */
};

/* What kvm_get_attr() gives: differs from attribute to attribute. */
static inline uint32_t kvm_fake_attr(unsigned group, uint64_t attr)
{
	return (uint32_t)(group * 0x01000193u ^ attr * 31u ^ attr >> 32);
}

struct kvm_fake {
	/* To be set by a test. */
	int caps[FAKE_CAPS_MAX];
	bool no_gic_v3, no_gic_v2;
	bool no_gic_el2;         /* as Linux 6.16: no ICH_* registers */
	bool reg_list_is_closed; /* registers nobody set cannot be read */
	/* The n-th fallible call (from 1) fails with fail_errno; 0: none. */
	unsigned fail_at;
	int fail_errno;
	/* The host's counter: advances by tick at every read. */
	uint64_t counter, tick;
	uint32_t hz;
	unsigned busy;      /* this many SET_COUNTER_OFFSET give -EBUSY */
	bool ignore_offset; /* it is accepted, but nothing changes */
	bool never_busy;    /* it is accepted while vCPUs run */
	bool no_late;       /* kvm_vm_tell_late() is not supported */

	/* To be looked at. */
	unsigned calls; /* fallible ones */
	unsigned ipa_bits;
	unsigned slots;
	struct {
		gpa_t gpa;
		uint64_t size;
		void *host;
	} slot[4];
	bool log[4];       /* of each slot */
	uint64_t dirty[4]; /* the first 64 pages of each, until it is read */
	unsigned irqfds, ioeventfds;
	unsigned pulses[FAKE_SPIS_MAX]; /* by kvm_vm_irq_pulse() */
	/* Addresses by kvm_vm_tell_late(), and what was written there. */
	gpa_t late_at[FAKE_LATE_MAX];
	struct kvm_mmio late[FAKE_LATE_MAX];
	unsigned late_ats, late_first, late_last;
	bool enabled[FAKE_CAPS_MAX];
	uint64_t offset;
	unsigned offset_sets, offset_when;
	unsigned attr_count;
	struct fake_attr attr[FAKE_ATTRS_MAX];
	unsigned vcpu_count;
	struct fake_vcpu vcpu[FAKE_VCPUS_MAX];
};

extern struct kvm_fake kvm_fake;

/* A host like Linux 6.12 on a CPU without SVE or pointer authentication. */
void kvm_fake_reset(void);

/* Appended to vCPU @index's script, also before it is created. */
void kvm_fake_step(unsigned index, struct fake_step step);

/* Returns when one is stuck. */
void kvm_fake_await_stuck(void);
/* Those that are stuck go on, and nobody gets stuck any more. */
void kvm_fake_let_go(void);

/* How often a vCPU was run; also while it is. */
unsigned kvm_fake_entries(unsigned index);

/* The value of a register, which must have been set. */
uint64_t kvm_fake_reg(unsigned index, uint64_t id);

/* Give it one, as the guest or KVM would. */
void kvm_fake_put_reg(unsigned index, uint64_t id, uint64_t value);
