/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio devices share (Virtual I/O Device 1.2, sections 2 and 3),
 * and the hooks in which they differ.
 *
 * To a device the world is: guest RAM, a window of registers (mmio.h), a
 * descriptor per queue that says "look", and one that interrupts.
 *
 * Threads: registers are accessed on vCPU threads; everything else happens on
 * the main thread.  The core holds the device's lock around every hook, so
 * devices contain no locking code.  Functions that vmm calls on a device begin
 * with virtio_enter() and end with virtio_leave().
 *
 * What a guest does wrong costs it this device until it resets it, and one line
 * in the log per second at most.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "core/thread/lock.h"
#include "devices/virtio/virtq.h"

struct err;
struct snap;
struct virtio_device;

enum { VIRTIO_QUEUES_MAX = 5, VIRTIO_NAME_MAX = 80 };

/* Interrupts of all devices, for metrics_add(). */
extern struct metrics_group virtio_metrics;

/*
 * What all devices of one kind have in common: constant, one for each kind, and
 * its identity.
 */
struct virtio_kind {
	uint32_t device_id; /* VIRTIO_ID_* */
	const char *name;   /* of its metrics, Firecracker's: "block" */
	bool many; /* there may be several, each with metrics of its own */
	const struct metric *metric; /* metric_count of them, of a struct of */
	unsigned metric_count;       /* counters that is in each device, */
	size_t metrics_at;           /* at this offset */
};

/* For a struct that begins with its `dev`, and has `metrics`. */
#define VIRTIO_METRICS(type, table)                           \
	.metric = (table), .metric_count = ARRAY_SIZE(table), \
	.metrics_at = offsetof(type, metrics) - offsetof(type, dev)

struct virtio_ops {
	const struct virtio_kind *kind;
	unsigned queue_count;
	unsigned writable_at, writable_len; /* by the driver, of its config */

	/* The driver made buffers available on @queue.  Main thread. */
	void (*kick)(struct virtio_device *dev, unsigned queue);
	/* The driver wrote to dev->config, which is updated.  May be NULL. */
	void (*config_written)(struct virtio_device *dev);
	/*
	 * Give back what is in flight, and wait until @deadline_ns
	 * (CLOCK_MONOTONIC; 0: do not wait) for what has to end by itself.
	 * Whether nothing is in flight any more.  NULL for devices that
	 * complete everything within kick().
	 */
	bool (*drain)(struct virtio_device *dev, uint64_t deadline_ns);
	/*
	 * Forget everything but the host side (files, taps).  Main thread,
	 * after drain().  May be NULL.
	 */
	void (*reset)(struct virtio_device *dev);
	/*
	 * The guest sleeps, and this device is quiesced: watch for what wakes
	 * it, and call virtio_wake() then.  NULL if there is nothing.
	 */
	void (*await_wake)(struct virtio_device *dev);
	/* State beyond what virtio_state() covers.  May be NULL. */
	void (*state)(struct virtio_device *dev, struct snap *s);
	/* Release everything, the device's own memory too.  No lock held. */
	void (*destroy)(struct virtio_device *dev);
};

/* What the machine gives to a device; all of it outlives the device. */
struct virtio_slot {
	const struct guest_mem *mem;
	struct event_loop *loop;
	int irq_fd; /* an eventfd; writing to it interrupts the guest */
	/* An eventfd: the main thread is to call virtio_look_at_reset().  0:
	 * only the main thread touches registers. */
	int wake_fd;
	/* Set, and wake_fd written, by virtio_wake().  Main thread.  May be
	 * NULL. */
	bool *knocked;
	/*
	 * From now on writes to InterruptACK may arrive late, for less.  May be
	 * NULL.  Any thread; called with the two that follow.
	 */
	void (*tell_acks_late)(void *kvm, unsigned index);
	void *kvm;
	unsigned index; /* of the slot */
};

/* A descriptor whose readiness is a device's business. */
struct virtio_source {
	struct event_source source;
	struct virtio_device *dev;
	void (*ready)(struct virtio_device *dev);
};

struct virtio_kick {
	struct event_source source;
	struct virtio_device *dev;
	int fd; /* owned */
};

/* Embedded in each device. */
struct virtio_device {
	const struct virtio_ops *ops; /* constant */
	struct virtio_slot slot;      /* constant */
	char name[VIRTIO_NAME_MAX];   /* constant; for the log */
	struct device_lock lock;
	bool has_lock;
	struct virtio_kick kick[VIRTIO_QUEUES_MAX]; /* main thread */
	uint64_t offered;                           /* feature bits; constant */
	GUARDED_BY(device_lock) uint64_t accepted;
	GUARDED_BY(device_lock) uint32_t status;
	GUARDED_BY(device_lock) uint32_t queue_sel, offered_sel, accepted_sel;
	GUARDED_BY(device_lock) uint32_t generation; /* of config */
	/* The device's; what it points to is under the lock. */
	void *config;
	uint32_t config_len;
	GUARDED_BY(device_lock) struct virtq queue[VIRTIO_QUEUES_MAX];
	/* Requests taken and not given back. */
	GUARDED_BY(device_lock) unsigned inflight;
	/* CLOCK_MONOTONIC; 0: not timed since virtio_enter(). */
	GUARDED_BY(device_lock) uint64_t turn_end;
	/* Takes no requests until virtio_resume(), */
	GUARDED_BY(device_lock) bool quiesced;
	/* nor until the main thread has reset it.  Written under the lock. */
	_Atomic bool resetting;
	GUARDED_BY(device_lock) uint32_t resets; /* done */
	pthread_cond_t was_reset;
	pthread_t main_thread; /* constant */
	/* What is in flight is left so; the main thread writes it. */
	bool abandoned;
	/*
	 * Interrupt status, and what of it was read.  Atomic, without the
	 * lock: the driver's interrupt handler must not wait for a disk.
	 */
	_Atomic uint32_t isr;
	_Atomic uint32_t acks;
	_Atomic bool
		lent; /* the rings, to somebody who interrupts by himself */
	struct log_limit mistakes; /* atomic */
};

/*
 * Begin a device: @dev->config and the like are the caller's to set.  @features
 * are those of the device's type; what the core knows is added.  Main thread.
 * Half-built is fine for virtio_fini().
 */
int virtio_init(struct virtio_device *dev, const struct virtio_ops *ops,
		const struct virtio_slot *slot, uint64_t features,
		const char *name, struct err *e);
/* For ops->destroy(). */
void virtio_fini(struct virtio_device *dev);
/*
 * Wait for what is in flight, half a second at most, and free the device.  If
 * storage hangs, the kernel may still write to the guest's memory afterwards.
 * NULL is fine.
 */
void virtio_destroy(struct virtio_device *dev);

/*
 * For KVM: a write of the queue's index to VIRTIO_MMIO_QUEUE_NOTIFY may go to
 * this eventfd.  Without that, the register does the same.
 */
static inline unsigned virtio_queue_count(const struct virtio_device *dev)
{
	return dev->ops->queue_count;
}
/* The counters of its kind, which live as long as the device. */
static inline const void *virtio_counters(const struct virtio_device *dev)
{
	return (const char *)dev + dev->ops->kind->metrics_at;
}

static inline int virtio_kick_fd(const struct virtio_device *dev,
				 unsigned queue)
{
	return dev->kick[queue].fd;
}

/*
 * Main thread.  From virtio_quiesce() on nothing is taken until
 * virtio_resume(), which looks at all queues: a kick may have been lost.  What
 * is in flight has until @deadline_ns (CLOCK_MONOTONIC; 0: it is only looked
 * at) to end: false if something has not.  It may end later, on the loop: call
 * it again, or virtio_resume().
 */
bool virtio_quiesce(struct virtio_device *dev, uint64_t deadline_ns);
void virtio_resume(struct virtio_device *dev);
/* Of a device that is quiesced, or was loaded and not resumed: see
 * ops->await_wake(). */
void virtio_await_wake(struct virtio_device *dev);
/* Pages of RAM have come that virtq_pop() may have asked for. */
void virtio_look(struct virtio_device *dev);

/* A vCPU may wait for this device's reset, which only the main thread does: it
 * reaches for files, sockets and the kernel.  Main thread. */
void virtio_look_at_reset(struct virtio_device *dev);

/*
 * The device is about to be destroyed: a vCPU that waits for its reset goes on
 * at once.  What is in flight then stays so.  Main thread.
 */
void virtio_abandon(struct virtio_device *dev);

/*
 * Save, or load into a device that was just created with the same
 * configuration and not yet resumed.  While it is quiesced.
 */
void virtio_state(struct virtio_device *dev, struct snap *s);

/* ---------------------------------------------------------- for devices --- */

/*
 * Take the lock; release it, having seen to what happened meanwhile:
 * interrupts, broken rings, queues that are not empty.
 */
void virtio_enter(struct virtio_device *dev) ACQUIRES(dev->lock, device_lock);
void virtio_leave(struct virtio_device *dev) RELEASES(dev->lock, device_lock);

/* Something came for the driver, which is not live: if that is because the
 * guest sleeps, it is woken.  Main thread, lock held. */
void virtio_wake(struct virtio_device *dev) REQUIRES(device_lock);

/* May requests be taken from this queue? */
bool virtio_is_live(const struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock);
/* As if the driver had kicked, now.  Main thread, lock held. */
void virtio_run_queue(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock);

/*
 * For a device whose requests may take long: to be called between two pieces of
 * work.  The first call since virtio_enter() begins to measure, so that a kick
 * of one piece needs no look at the clock.  True once the main thread's turn of
 * 2 ms has passed: then no queue has budget left, and a device that leaves
 * something half done sets its queue's @starved, to be kicked again after
 * others were served.  Lock held.
 */
bool virtio_turn_is_over(struct virtio_device *dev) REQUIRES(device_lock);

/* dev->config was changed by the device: tell the driver.  Lock held. */
void virtio_config_changed(struct virtio_device *dev) REQUIRES(device_lock);

static inline bool virtio_has(const struct virtio_device *dev, unsigned bit)
	REQUIRES(device_lock)
{
	return dev->accepted >> bit & 1;
}

/*
 * Somebody else has the rings, who sees to kicks and writes to slot.irq_fd for
 * interrupts.  Main thread, lock held.
 */
void virtio_lend_rings(struct virtio_device *dev) REQUIRES(device_lock);
/*
 * Ours again, at the indexes that the caller found; but the main thread has to
 * call virtio_watch_kicks(), then one that came meanwhile is seen.  Any thread,
 * lock held.
 */
void virtio_take_rings(struct virtio_device *dev) REQUIRES(device_lock);
void virtio_watch_kicks(struct virtio_device *dev) REQUIRES(device_lock);

/* Call @ready, with the lock held, whenever @fd is.  -errno.  Main thread. */
int virtio_watch(struct virtio_device *dev, struct virtio_source *source,
		 int fd, uint32_t events,
		 void (*ready)(struct virtio_device *dev));
void virtio_unwatch(struct virtio_device *dev, struct virtio_source *source);

/* -------------------------------------------------------- for the transport */

/* The driver writes the status register; zero resets.  Lock held. */
void virtio_set_status(struct virtio_device *dev, uint32_t status)
	REQUIRES(device_lock);
/*
 * The driver reads InterruptStatus; it writes InterruptACK, which may be told
 * late (core/kvm/kvm.h): after an interrupt that is newer.  So what it has not
 * read, it has not acknowledged.  Any thread, no lock.
 */
uint32_t virtio_interrupt_status(struct virtio_device *dev);
void virtio_interrupt_ack(struct virtio_device *dev, uint32_t word);
/* The driver broke a rule that costs it nothing: count and log.  Any thread. */
void virtio_mistake(struct virtio_device *dev, const char *what);
