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

/* In the order of their places, which is Firecracker's. */
enum virtio_kind {
	VIRTIO_KIND_BALLOON,
	VIRTIO_KIND_BLOCK,
	VIRTIO_KIND_NET,
	VIRTIO_KIND_VSOCK,
	VIRTIO_KIND_RNG,
	VIRTIO_KINDS
};

struct virtio_slots {
	struct kvm_vm *kvm;
	struct mmio_bus *bus;
	const struct guest_mem *mem;
	struct event_loop *loop;

	unsigned count;
	struct {
		enum virtio_kind kind;
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
		     enum virtio_kind kind, const char *id, struct err *e);

/* NULL if there is none. */
struct virtio_device *virtio_slots_find(const struct virtio_slots *slots,
					enum virtio_kind kind, const char *id);

/* All of them: nothing in flight and nothing taken; and on again. */
void virtio_slots_quiesce(struct virtio_slots *slots);
void virtio_slots_resume(struct virtio_slots *slots);

/* Save them, or load into those that were made of the same configuration: while
 * they are quiesced. */
void virtio_slots_state(struct virtio_slots *slots, struct snap *s);

/* Before guest memory goes. */
void virtio_slots_destroy(struct virtio_slots *slots);
