/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads, and how the main thread parks them.
 *
 * A vCPU thread either runs the guest or is parked.  It parks only when
 * kvm_vcpu_run() was interrupted, never right after it handled an exit: KVM
 * completes an MMIO access on the next entry, so registers read before that
 * entry would be stale.  Threads start parked and have not entered the guest.
 *
 * While all are parked no device register is accessed, and the main thread may
 * use the vCPUs as its own.
 *
 * Functions: main thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "arch/arch.h"
#include "core/kvm/kvm.h"
#include "core/machine/mmio_bus.h"
#include "core/thread/lock.h"

struct err;
struct metrics_group;

enum { VCPU_REASON_MAX = 320 };

enum vcpu_end {
	VCPU_END_NONE,
	VCPU_END_OFF,   /* the guest powered off */
	VCPU_END_RESET, /* the guest requested a reset */
	VCPU_END_ERROR, /* a vCPU failed and cannot run any more */
};

struct vcpu {
	struct vcpu_set *set;
	struct kvm_vcpu kvm; /* fd -1 until created */
	pthread_t thread;
	GUARDED_BY(vcpu_lock) bool parked;
};

struct vcpu_set {
	const struct mmio_bus *bus;
	int told_fd; /* eventfd: written when `end` is set or, if `awaited`,
		      * when the last vCPU has parked */

	/* Held by the thread that handles coalesced MMIO writes. */
	struct late_lock late_lock;
	struct vcpu_lock lock;
	pthread_cond_t changed;
	/* What the threads are to do.  VCPUS_READY: stay awake outside of the
	 * guest, because VCPUS_RUN follows in microseconds.  Written under the
	 * lock; watch() reads it without. */
	_Atomic enum vcpus_wanted {
		VCPUS_PARK,
		VCPUS_READY,
		VCPUS_RUN,
		VCPUS_EXIT,
	} wanted;
	/* Where the main thread asked for VCPUS_READY, and still may be.
	 * Written and read as `wanted`. */
	_Atomic int ready_cpu;
	GUARDED_BY(vcpu_lock) unsigned parked;
	/* Threads that have ended or are about to return. */
	GUARDED_BY(vcpu_lock) unsigned gone;
	/* Host counter when the last vCPU left the guest. */
	GUARDED_BY(vcpu_lock) uint64_t left;
	/* vCPUs; see vcpu_set_take_stall(). */
	GUARDED_BY(vcpu_lock) unsigned stalled;
	/* Then: when a vCPU was last known to run. */
	GUARDED_BY(vcpu_lock) uint64_t seen;
	/* See vcpu_set_take_suspender(). */
	GUARDED_BY(vcpu_lock) struct vcpu *suspender;
	/* The host's counter when one last became that. */
	GUARDED_BY(vcpu_lock) uint64_t asked;
	/* Write told_fd when the last vCPU parks. */
	GUARDED_BY(vcpu_lock) bool awaited;
	GUARDED_BY(vcpu_lock) enum vcpu_end end;
	/* Of VCPU_END_ERROR, for people. */
	GUARDED_BY(vcpu_lock) char reason[VCPU_REASON_MAX];

	bool beats;       /* constant: vCPUs have beats (core/kvm/kvm.h) */
	unsigned started; /* threads that exist; while any does, constant */

	unsigned count;
	struct vcpu vcpu[ARCH_VCPUS_MAX];
};

/* @bus and @told_fd stay the caller's and must outlive @set. */
void vcpu_set_init(struct vcpu_set *set, const struct mmio_bus *bus,
		   int told_fd);

/* Start a thread, parked, for each vCPU; the kvm_vcpu of each must exist. */
int vcpu_set_start(struct vcpu_set *set, struct err *e);

/*
 * Ask all vCPUs to park and wait for that, at most @timeout_ms.  Returns true
 * when all are parked.  If it returns false the request stays in force: the
 * last vCPU that parks writes told_fd, and this function then returns true at
 * once.  vcpu_set_release() cancels the request.
 *
 * A vCPU that handles a page fault of guest RAM parks only when it has the
 * page, because a kick does not interrupt that (hva_to_pfn() in Linux's
 * virt/kvm).
 */
bool vcpu_set_park(struct vcpu_set *set, unsigned timeout_ms);
/* While all are parked: the host's counter when the last had left the guest. */
uint64_t vcpu_set_left(struct vcpu_set *set);
/*
 * Wake parked vCPUs, so that a vcpu_set_release() that follows within
 * microseconds finds them awake; vcpu_set_park() undoes it.  They stay out of
 * the guest and of KVM.
 */
void vcpu_set_ready(struct vcpu_set *set);
/* Let all vCPUs run, unless the guest has ended. */
void vcpu_set_release(struct vcpu_set *set);

/*
 * While all are parked: was the guest kept from running although nobody asked
 * for it (kvm_vcpu_unseen())?  Then told_fd was written, and all vCPUs asked to
 * park.  With beats all vCPUs must have missed some, because a single one that
 * did may only be short of CPU time.  Tells once: the host's counter when the
 * last of them was known to run, or 0.
 */
uint64_t vcpu_set_take_stall(struct vcpu_set *set);
/*
 * While all are parked: the vCPU that made KVM_EXITED_SUSPEND, or NULL.  Then
 * told_fd was written, and all vCPUs asked to park.  Tells once.  Where the
 * main thread does nothing about it the call fails (arch_suspend_deny()), and
 * so do those that follow within 100 ms.
 */
struct vcpu *vcpu_set_take_suspender(struct vcpu_set *set);
/* Is there one of the two?  Also while vCPUs run. */
bool vcpu_set_has_asked(struct vcpu_set *set);

/*
 * Handle the coalesced MMIO writes in KVM's ring, which all vCPUs share, before
 * the access of the current exit, because the guest made them earlier.  At most
 * as many as the ring holds, or other vCPUs could keep this one busy by adding
 * more.  The vCPU's thread, or the main thread while all are parked.
 */
void vcpu_late_writes(struct vcpu *vcpu);

/* vcpu_exits.c, on the vCPU's thread. */
void vcpu_exit_mmio(struct vcpu *vcpu);
/* Inject an external abort, as a bus would for an access that no device
 * decodes. */
void vcpu_exit_undecoded(struct vcpu *vcpu);
/* The vCPU cannot go on: end the guest. */
void vcpu_exit_error(struct vcpu *vcpu);

/* Firecracker's counters of vCPU exits. */
extern struct metrics_group vcpu_metrics;

/* How the guest ended.  For VCPU_END_ERROR @reason says why; it may be NULL. */
enum vcpu_end vcpu_set_end(struct vcpu_set *set, char reason[VCPU_REASON_MAX]);

/* End the guest with VCPU_END_ERROR, unless it has ended already. */
void vcpu_set_fail(struct vcpu_set *set, const char *reason);

/*
 * Ask all threads to end, from any state: none enters the guest any more.
 * False if one of them has not ended within @timeout_ms.
 */
bool vcpu_set_stop_within(struct vcpu_set *set, unsigned timeout_ms);
/* Ask all threads to end, and join them. */
void vcpu_set_stop(struct vcpu_set *set);
void vcpu_set_fini(struct vcpu_set *set);
