/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "devices/virtio/virtio_internal.h"

/* What a queue may take in a row: requests, plus 64 KiB units of their data. */
enum { BUDGET = VIRTQ_SIZE_MAX };

/* The turn of a device that calls virtio_turn_is_over(): 2 ms. */
enum { TURN_NS = 2000000 };

/* virtio_destroy() waits at most 0.5 s for requests in flight. */
enum { DESTROY_NS = 500000000 };

/* ------------------------------------------------------------- interrupts */

/*
 * Acknowledgements before KVM is asked to batch them (coalesced MMIO): enabling
 * that costs about as much as eight acknowledgement exits.
 */
enum { ACKS_BEFORE_LATE = 8 };

/* dev->isr: InterruptStatus and, shifted, which of its bits the driver read. */
enum {
	ISR_ALL = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG,
	ISR_SEEN = 16, /* a shift */
};

void virtio_signal(int fd)
{
	/* Fails only if the counter is full; then it is signalled already. */
	(void)!eventfd_write(fd, 1);
}

static void set_status_bits(struct virtio_device *dev, uint32_t why)
{
	uint32_t old = atomic_load(&dev->isr);

	while (!atomic_compare_exchange_weak(&dev->isr, &old,
					     (old | why) & ~(why << ISR_SEEN)))
		continue;
}

/* There is no table of messages whose updates could be counted. */
static struct interrupt_counters {
	uint64_t triggers, config_updates;
} interrupts;

static const struct metric interrupt_table[] = {
	METRIC(struct interrupt_counters, triggers),
	METRIC(struct interrupt_counters, config_updates),
};

struct metrics_group virtio_metrics = {
	.name = "interrupts",
	.metric = interrupt_table,
	.count = ARRAY_SIZE(interrupt_table),
	.base = &interrupts,
};

static void interrupt(struct virtio_device *dev, uint32_t why)
{
	metric_add(&interrupts.triggers, 1);
	/* The driver must see the bit when the interrupt arrives. */
	set_status_bits(dev, why);
	virtio_signal(dev->slot.irq_fd);
}

/* vhost interrupts the driver by itself: find out from its used rings. */
static void look_at_used(struct virtio_device *dev)
{
	bool used = false;

	device_lock_take(&dev->lock);
	for (unsigned i = 0; dev->lent && i < dev->ops->queue_count; i++)
		used |= virtq_has_used(&dev->queue[i]);
	if (used)
		set_status_bits(dev, VIRTIO_MMIO_INT_VRING);
	device_lock_release(&dev->lock);
}

uint32_t virtio_interrupt_status(struct virtio_device *dev)
{
	uint32_t old;

	if (dev->lent)
		look_at_used(dev);
	old = atomic_load(&dev->isr);

	while (!atomic_compare_exchange_weak(&dev->isr, &old,
					     old | (old & ISR_ALL) << ISR_SEEN))
		continue;
	return old & ISR_ALL;
}

void virtio_interrupt_ack(struct virtio_device *dev, uint32_t word)
{
	uint32_t old = atomic_load(&dev->isr), done;

	/* Only once the device has interrupted often: batching costs setup. */
	if (atomic_fetch_add(&dev->acks, 1) == ACKS_BEFORE_LATE &&
	    dev->slot.tell_acks_late)
		dev->slot.tell_acks_late(dev->slot.kvm, dev->slot.index);
	do {
		done = word & old & old >> ISR_SEEN & ISR_ALL;
	} while (!atomic_compare_exchange_weak(
		&dev->isr, &old, old & ~(done | done << ISR_SEEN)));
}

void virtio_mistake(struct virtio_device *dev, const char *what)
{
	log_guest(&dev->mistakes, "%s: the guest's driver %s", dev->name, what);
}

void virtio_needs_reset(struct virtio_device *dev, unsigned queue,
			const char *why)
{
	log_guest(&dev->mistakes,
		  "%s: queue %u is broken: %s; the device waits for a reset",
		  dev->name, queue, why);
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_config_changed(struct virtio_device *dev)
{
	dev->generation++;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(dev, VIRTIO_MMIO_INT_CONFIG);
}

/* ------------------------------------------------------------------ entry */

void virtio_enter(struct virtio_device *dev)
{
	device_lock_take(&dev->lock);
	dev->turn_end = 0;
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		dev->queue[i].budget = BUDGET;
}

bool virtio_turn_is_over(struct virtio_device *dev)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);

	if (!dev->turn_end)
		dev->turn_end = now + TURN_NS;
	if (now < dev->turn_end)
		return false;
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		dev->queue[i].budget = 0;
	return true;
}

static void settle(struct virtio_device *dev) REQUIRES(device_lock)
{
	bool wanted = false;

	for (unsigned i = 0; i < dev->ops->queue_count; i++) {
		struct virtq *vq = &dev->queue[i];

		if (!vq->started)
			continue;
		wanted |= virtq_wants_interrupt(vq);
		if (vq->broken && !(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET))
			virtio_needs_reset(dev, i, vq->broken);
		if (vq->starved) {
			vq->starved = false;
			virtio_signal(dev->kick[i].fd);
		}
	}
	if (wanted)
		interrupt(dev, VIRTIO_MMIO_INT_VRING);
}

void virtio_leave(struct virtio_device *dev)
{
	if (dev->resetting && virtio_on_main_thread(dev))
		virtio_try_reset(dev, 0);
	settle(dev);
	device_lock_release(&dev->lock);
}

bool virtio_is_live(const struct virtio_device *dev, unsigned queue)
{
	return dev->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET) && !dev->quiesced &&
	       !dev->resetting && dev->queue[queue].started;
}

void virtio_run_queue(struct virtio_device *dev, unsigned queue)
{
	if (virtio_is_live(dev, queue))
		dev->ops->kick(dev, queue);
}

static void kick_ready(struct event_source *source, uint32_t events)
{
	struct virtio_kick *kick =
		container_of(source, struct virtio_kick, source);
	struct virtio_device *dev = kick->dev;

	/* EPOLLET, so it need not be read: saves a call per kick. */
	(void)events;
	virtio_enter(dev);
	virtio_run_queue(dev, (unsigned)(kick - dev->kick));
	virtio_leave(dev);
}

static void source_ready(struct event_source *source, uint32_t events)
{
	struct virtio_source *s =
		container_of(source, struct virtio_source, source);
	struct virtio_device *dev = s->dev;

	(void)events;
	virtio_enter(dev);
	s->ready(dev);
	virtio_leave(dev);
}

static int watch_kick(struct virtio_device *dev, struct virtio_kick *kick)
{
	return loop_add(dev->slot.loop, &kick->source, kick->fd,
			EPOLLIN | EPOLLET);
}

void virtio_lend_rings(struct virtio_device *dev)
{
	dev->lent = true;
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		loop_remove(dev->slot.loop, &dev->kick[i].source);
}

void virtio_take_rings(struct virtio_device *dev)
{
	bool used = false;

	dev->lent = false;
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		used |= virtq_has_used(&dev->queue[i]);
	if (used && dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(dev, VIRTIO_MMIO_INT_VRING);
}

void virtio_watch_kicks(struct virtio_device *dev)
{
	for (unsigned i = 0; i < dev->ops->queue_count; i++) {
		struct virtio_kick *kick = &dev->kick[i];

		if (!dev->lent && kick->source.fd < 0 && watch_kick(dev, kick))
			dev->queue[i].broken = "its kicks cannot be watched";
	}
}

int virtio_watch(struct virtio_device *dev, struct virtio_source *source,
		 int fd, uint32_t events,
		 void (*ready)(struct virtio_device *dev))
{
	source->dev = dev;
	source->ready = ready;
	source->source.ready = source_ready;
	return loop_add(dev->slot.loop, &source->source, fd, events);
}

void virtio_unwatch(struct virtio_device *dev, struct virtio_source *source)
{
	if (source->dev)
		loop_remove(dev->slot.loop, &source->source);
	source->dev = NULL;
}

/* ------------------------------------------------------------------ pause */

bool virtio_quiesce(struct virtio_device *dev, uint64_t deadline_ns)
{
	bool drained;

	virtio_enter(dev);
	dev->quiesced = true;
	drained = virtio_drain(dev, deadline_ns);
	virtio_leave(dev);
	return drained;
}

void virtio_await_wake(struct virtio_device *dev)
{
	virtio_enter(dev);
	/* One that was just loaded is not yet. */
	dev->quiesced = true;
	/* Also without a driver: Linux resets its devices when it falls
	 * asleep. */
	if (dev->ops->await_wake)
		dev->ops->await_wake(dev);
	virtio_leave(dev);
}

void virtio_wake(struct virtio_device *dev)
{
	if (!dev->quiesced || !dev->slot.knocked)
		return;
	*dev->slot.knocked = true;
	virtio_signal(dev->slot.wake_fd);
}

static void kick_all(struct virtio_device *dev) REQUIRES(device_lock)
{
	for (unsigned i = 0; i < dev->ops->queue_count; i++) {
		if (dev->queue[i].started)
			virtio_signal(dev->kick[i].fd);
	}
}

void virtio_look(struct virtio_device *dev)
{
	virtio_enter(dev);
	if (!dev->quiesced)
		kick_all(dev);
	virtio_leave(dev);
}

void virtio_resume(struct virtio_device *dev)
{
	virtio_enter(dev);
	dev->quiesced = false;
	kick_all(dev);
	/* The interrupt may have been raised and lost. */
	if (atomic_load(&dev->isr) & ISR_ALL)
		virtio_signal(dev->slot.irq_fd);
	virtio_leave(dev);
}

/* ------------------------------------------------------------- life cycle */

static int add_kick(struct virtio_device *dev, unsigned i, struct err *e)
{
	struct virtio_kick *kick = &dev->kick[i];
	int r;

	kick->dev = dev;
	kick->source.ready = kick_ready;
	kick->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (kick->fd < 0)
		return err_errno(e, "cannot create an eventfd");
	r = watch_kick(dev, kick);
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "cannot watch an eventfd");
}

int virtio_init(struct virtio_device *dev, const struct virtio_ops *ops,
		const struct virtio_slot *slot, uint64_t features,
		const char *name, struct err *e) ALONE
{
	dev->ops = ops;
	dev->slot = *slot;
	dev->offered = features | BIT(VIRTIO_F_VERSION_1) |
		       BIT(VIRTIO_RING_F_EVENT_IDX) |
		       BIT(VIRTIO_RING_F_INDIRECT_DESC);
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		dev->kick[i].fd = dev->kick[i].source.fd = -1;
		virtq_reset(&dev->queue[i]);
	}
	device_lock_init(&dev->lock);
	pthread_cond_init(&dev->was_reset, NULL);
	dev->main_thread = pthread_self();
	dev->has_lock = true;
	for (unsigned i = 0; i < ops->queue_count; i++) {
		if (add_kick(dev, i, e))
			return err_prefix(e, "%s", dev->name);
	}
	return 0;
}

void virtio_fini(struct virtio_device *dev)
{
	if (!dev->has_lock)
		return;
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		loop_remove(dev->slot.loop, &dev->kick[i].source);
		util_close(&dev->kick[i].fd);
	}
	pthread_cond_destroy(&dev->was_reset);
	device_lock_fini(&dev->lock);
	dev->has_lock = false;
}

void virtio_destroy(struct virtio_device *dev)
{
	if (!dev)
		return;
	if (!dev->abandoned)
		virtio_quiesce(dev, clock_now_ns(CLOCK_MONOTONIC) + DESTROY_NS);
	dev->ops->destroy(dev);
}
