/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places where virtio devices are in the guest's address map: each has a
 * window of registers, an interrupt, and a kick per queue, which KVM turns
 * into eventfds.  Filled in order before the guest starts; the main thread's.
 */
#pragma once

#include <stdint.h>

#include "arch/arch.h"
#include "devices/virtio/virtio.h"

struct err;
struct event_loop;
struct kvm_vm;
struct mmio_bus;
struct snap;

struct virtio_slots {
	struct kvm_vm *kvm;
	struct mmio_bus *bus;
	const struct guest_mem *mem;
	struct event_loop *loop;
	/* See struct virtio_slot. */
	int wake_fd;
	bool *knocked;

	unsigned count;
	struct {
		char *id; /* owned: what users call it */
		struct virtio_device *dev;
		int irq_fd;
	} slot[ARCH_VIRTIO_MAX];
};

/* What a device needs to be created for the next place. */
int virtio_slots_next(struct virtio_slots *slots, struct virtio_slot *out,
		      struct err *e);
/* Put it there; it is destroyed with the others, also after a failure. */
int virtio_slots_add(struct virtio_slots *slots, struct virtio_device *dev,
		     const char *id, struct err *e);

/* NULL if there is none. */
struct virtio_device *virtio_slots_find(const struct virtio_slots *slots,
					const struct virtio_kind *kind,
					const char *id);

/*
 * All of them: nothing in flight and nothing taken; and on again.  What is in
 * flight has until @deadline_ns (CLOCK_MONOTONIC; 0: it is only looked at) to
 * end.  NULL, or the name of a device that has something in flight still, as
 * "drive root": then call it again, or resume them.
 */
const char *virtio_slots_quiesce(struct virtio_slots *slots,
				 uint64_t deadline_ns);
void virtio_slots_resume(struct virtio_slots *slots);
/* See virtio_await_wake(). */
void virtio_slots_await_wake(struct virtio_slots *slots);
/* See virtio_look(). */
void virtio_slots_look(struct virtio_slots *s);
/* After wake_fd was written. */
void virtio_slots_look_at_resets(struct virtio_slots *s);

/* Save them, or load into those that were made of the same configuration: while
 * they are quiesced. */
void virtio_slots_state(struct virtio_slots *slots, struct snap *s);

/* They are about to be destroyed: no vCPU waits for one to be reset. */
void virtio_slots_abandon(struct virtio_slots *slots);

/*
 * Before guest memory goes.  What is in flight has half a second to end: false
 * if something has not, and may still write to guest memory.
 */
bool virtio_slots_destroy(struct virtio_slots *slots);
