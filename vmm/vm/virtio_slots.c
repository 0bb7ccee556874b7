/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/virtio_slots.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/kvm/kvm.h"
#include "core/machine/mmio_bus.h"
#include "devices/virtio/mmio.h"
#include "snapshot/codec.h"

enum { DESTROY_NS = 500000000 }; /* for all of them together */

static gpa_t window_at(unsigned i)
{
	return arch_layout.virtio + i * arch_layout.device_size;
}

/* Where KVM cannot, each goes on to end KVM_RUN. */
static void tell_acks_late(void *kvm, unsigned i)
{
	kvm_vm_tell_late(kvm, window_at(i) + VIRTIO_MMIO_INTERRUPT_ACK);
}

int virtio_slots_next(struct virtio_slots *s, struct virtio_slot *out,
		      struct err *e)
{
	unsigned i = s->count;
	int r;

	if (i == ARCH_VIRTIO_MAX)
		return err_set(e,
			       "there is room for %d virtio devices; leave "
			       "some out",
			       ARCH_VIRTIO_MAX);
	s->slot[i].irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->slot[i].irq_fd < 0)
		return err_errno(e, "cannot create an eventfd");
	/* From here on virtio_slots_destroy() sees to it. */
	s->count++;
	s->slot[i].dev = NULL;
	s->slot[i].id = NULL;
	r = kvm_vm_irqfd(s->kvm, s->slot[i].irq_fd, arch_layout.virtio_irq + i);
	if (r) {
		errno = -r;
		return err_errno(e, "cannot wire a device's interrupt");
	}
	*out = (struct virtio_slot){
		.mem = s->mem,
		.loop = s->loop,
		.irq_fd = s->slot[i].irq_fd,
		.wake_fd = s->wake_fd,
		.knocked = s->knocked,
		.index = i,
		.kvm = s->kvm,
		.tell_acks_late = tell_acks_late,
	};
	return 0;
}

int virtio_slots_add(struct virtio_slots *s, struct virtio_device *dev,
		     const char *id, struct err *e)
{
	unsigned i = s->count - 1;
	struct mmio_window window = {
		.base = window_at(i),
		.size = arch_layout.device_size,
		.ops = &virtio_mmio_ops,
		.device = dev,
	};

	s->slot[i].dev = dev;
	s->slot[i].id = strdup(id);
	if (!s->slot[i].id)
		return err_errno(e, "cannot keep a device's name");
	for (unsigned q = 0; q < virtio_queue_count(dev); q++) {
		int r = kvm_vm_ioeventfd(s->kvm, virtio_kick_fd(dev, q),
					 window.base + VIRTIO_MMIO_QUEUE_NOTIFY,
					 q);

		if (r) {
			errno = -r;
			return err_errno(e, "cannot wire a device's queue");
		}
	}
	return mmio_bus_add(s->bus, window, e);
}

struct virtio_device *virtio_slots_find(const struct virtio_slots *s,
					const struct virtio_kind *kind,
					const char *id)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (s->slot[i].dev && s->slot[i].dev->ops->kind == kind &&
		    (!id || !strcmp(s->slot[i].id, id)))
			return s->slot[i].dev;
	}
	return NULL;
}

const char *virtio_slots_quiesce(struct virtio_slots *s, uint64_t deadline_ns)
{
	const char *busy = NULL;

	for (unsigned i = 0; i < s->count; i++) {
		struct virtio_device *dev = s->slot[i].dev;

		if (dev && !virtio_quiesce(dev, deadline_ns))
			busy = dev->name;
	}
	return busy;
}

void virtio_slots_resume(struct virtio_slots *s)
{
	for (unsigned i = 0; i < s->count; i++)
		virtio_resume(s->slot[i].dev);
}

void virtio_slots_await_wake(struct virtio_slots *s)
{
	for (unsigned i = 0; i < s->count; i++)
		virtio_await_wake(s->slot[i].dev);
}

void virtio_slots_look_at_resets(struct virtio_slots *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (s->slot[i].dev)
			virtio_look_at_reset(s->slot[i].dev);
	}
}

void virtio_slots_look(struct virtio_slots *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (s->slot[i].dev)
			virtio_look(s->slot[i].dev);
	}
}

void virtio_slots_state(struct virtio_slots *s, struct snap *snap)
{
	uint32_t count = s->count;

	snap_begin(snap, SNAP_TAG('v', 'i', 'r', 't'));
	snap_count(snap, &count, ARCH_VIRTIO_MAX);
	snap_require(snap, count == s->count, "number of virtio devices");
	for (unsigned i = 0; i < s->count && !snap_failed(snap); i++) {
		uint32_t id = s->slot[i].dev->ops->kind->device_id;

		snap_u32(snap, &id);
		snap_require(snap, id == s->slot[i].dev->ops->kind->device_id,
			     "kind of a virtio device");
		virtio_state(s->slot[i].dev, snap);
	}
	snap_end(snap);
}

void virtio_slots_abandon(struct virtio_slots *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (s->slot[i].dev)
			virtio_abandon(s->slot[i].dev);
	}
}

bool virtio_slots_destroy(struct virtio_slots *s)
{
	const char *busy = virtio_slots_quiesce(
		s, clock_now_ns(CLOCK_MONOTONIC) + DESTROY_NS);

	if (busy)
		log_error("%s: its storage does not answer, so what is in "
			  "flight there is lost",
			  busy);
	virtio_slots_abandon(s);
	for (unsigned i = 0; i < s->count; i++) {
		virtio_destroy(s->slot[i].dev);
		util_close(&s->slot[i].irq_fd);
		free(s->slot[i].id);
	}
	s->count = 0;
	return !busy;
}
