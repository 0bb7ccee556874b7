/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads, and how the main thread stops them.
 *
 * A vCPU thread either runs the guest or is parked.  It parks only when
 * kvm_vcpu_run() was interrupted, never straight after handling an exit: KVM
 * completes an access on the next entry, so registers read before that entry
 * would be stale.  Threads start parked, without having entered the guest.
 *
 * While all are parked no device register is accessed, and the main thread may
 * use the vCPUs as its own.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "arch/arch.h"
#include "core/kvm/kvm.h"
#include "core/machine/mmio_bus.h"

struct err;
struct metrics_group;

enum { VCPU_REASON_MAX = 320 };

enum vcpu_end {
	VCPU_END_NONE,
	VCPU_END_OFF,   /* the guest powered off */
	VCPU_END_RESET, /* the guest asked for a reset */
	VCPU_END_ERROR, /* a vCPU cannot go on */
};

struct vcpu {
	struct vcpu_set *set;
	struct kvm_vcpu kvm; /* fd -1 until created */
	pthread_t thread;
	bool parked; /* under set->lock */
};

struct vcpu_set {
	const struct mmio_bus *bus;
	int told_fd; /* eventfd: written when `end` is set, and see below */

	pthread_mutex_t late_lock; /* who takes the guest's late writes */
	pthread_mutex_t lock;      /* guards the rest */
	pthread_cond_t changed;
	/* VCPUS_READY: be awake, you run in a moment.  Read without the lock
	 * only by who waits for this moment. */
	_Atomic enum vcpus_wanted {
		VCPUS_PARK,
		VCPUS_READY,
		VCPUS_RUN,
		VCPUS_EXIT,
	} wanted;
	unsigned parked;
	unsigned gone;    /* threads that have ended, or will in a moment */
	uint64_t left;    /* the host's counter when the guest was last left */
	unsigned started; /* threads that exist */
	bool awaited;     /* told_fd is to say when the last has parked */
	enum vcpu_end end;
	char reason[VCPU_REASON_MAX]; /* for VCPU_END_ERROR, in words */

	unsigned count;
	struct vcpu vcpu[ARCH_VCPUS_MAX];
};

void vcpu_set_init(struct vcpu_set *set, const struct mmio_bus *bus,
		   int told_fd);

/* The kvm_vcpu of each exists; make a thread for each, parked. */
int vcpu_set_start(struct vcpu_set *set, struct err *e);

/*
 * Ask all to park, and wait for that at most @timeout_ms: true when they are
 * parked.  If not, they are still asked to: the last one that parks writes
 * told_fd, and then this function returns true at once.  vcpu_set_release()
 * takes the request back.
 *
 * One that handles a page fault of guest RAM parks when it has the page; a
 * signal does not interrupt that (hva_to_pfn() in Linux's virt/kvm).
 */
bool vcpu_set_park(struct vcpu_set *set, unsigned timeout_ms);
/* While all are parked: the host's counter when the last had left the guest. */
uint64_t vcpu_set_left(struct vcpu_set *set);
/*
 * Wake them, who are parked: vcpu_set_release() will follow in a moment, and
 * then finds them awake; or vcpu_set_park().  They stay outside of the guest
 * and of KVM.
 */
void vcpu_set_ready(struct vcpu_set *set);
/* Let them run, unless the guest has ended. */
void vcpu_set_release(struct vcpu_set *set);

/* Firecracker's counters of their exits. */
extern struct metrics_group vcpu_metrics;

/* How the guest ended, and for VCPU_END_ERROR why; @reason may be NULL. */
enum vcpu_end vcpu_set_end(struct vcpu_set *set, char reason[VCPU_REASON_MAX]);

/* The guest cannot go on: end it, unless it has ended.  Main thread. */
void vcpu_set_fail(struct vcpu_set *set, const char *reason);

/*
 * End all threads, from any state: none enters the guest any more.  False if
 * one of them has not ended within @timeout_ms.
 */
bool vcpu_set_stop_within(struct vcpu_set *set, unsigned timeout_ms);
/* The same, and wait for it. */
void vcpu_set_stop(struct vcpu_set *set);
void vcpu_set_fini(struct vcpu_set *set);
