/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device side of a split virtqueue (Virtual I/O Device 1.2, section 2.7),
 * with indirect descriptors and event indexes.
 *
 * A queue of N entries (a power of two, at most 256) has three areas in guest
 * RAM:
 *
 *   descriptor table (2.7.5): N entries of 16 bytes, written by the driver
 *
 *         +-----------+-----+-------+------+
 *     [0] | addr      | len | flags | next |    flags: NEXT      @next is valid
 *         +-----------+-----+-------+------+           WRITE     an in buffer
 *         :           :     :       :      :           INDIRECT  @addr is a
 *         +-----------+-----+-------+------+                     table of
 *   [N-1] | addr      | len | flags | next |                     descriptors
 *         +-----------+-----+-------+------+
 *
 *   avail ring (2.7.6): written by the driver
 *
 *         +-------+-----+------+------+--  --+------+------------+
 *         | flags | idx | head | head |  ..  | head | used_event |
 *         +-------+-----+------+------+--  --+------+------------+
 *                         [0]    [1]          [N-1]
 *
 *   used ring (2.7.8): written by the device
 *
 *         +-------+-----+----------+--  --+----------+-------------+
 *         | flags | idx | id | len |  ..  | id | len | avail_event |
 *         +-------+-----+----------+--  --+----------+-------------+
 *                           [0]              [N-1]
 *
 * A head, and the id that answers it, is the number of a chain's first
 * descriptor.  Each idx counts, modulo 2^16, the entries ever written to its
 * ring; entry i is in slot i % N:
 *
 *   used.idx                     next_avail                   avail.idx
 *   = next_used                  (virtq_pop())                (the driver)
 *   (virtq_push())                   |                            |
 *       v                            v                            v
 *   ----+----------------------------+----------------------------+---> i
 *       |  in flight in the device   |         available          |
 *
 * With event indexes (2.7.7, 2.7.10), used_event asks the device for an
 * interrupt once used entry number used_event is written; avail_event asks the
 * driver for a notification (kick) once avail entry number avail_event is
 * written.
 *
 * The driver writes the three addresses and the size into registers.
 * virtq_start() checks them when the driver sets DRIVER_OK; until the next
 * reset they are frozen, and pointers that cannot leave guest RAM reach the
 * rings.
 *
 * Everything in the rings is hostile and may change at any moment.  virtq_pop()
 * reads each descriptor once, checks the copy, and returns a chain of host
 * addresses; devices never see a descriptor.  A ring that breaks the rules
 * stays broken until a reset: vq->broken is the reason, and nothing is taken
 * from it.
 *
 * All functions: under the lock of the device that owns the queue.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/machine/gpa.h"
#include "core/thread/lock.h"

struct guest_mem;
struct snap;
struct vring_avail;
struct vring_desc;
struct vring_used;

enum {
	VIRTQ_SIZE_MAX = 256, /* the same as Firecracker's */
	VIRTQ_CHAIN_MAX = VIRTQ_SIZE_MAX,
};

struct virtq {
	/* The driver's registers; frozen while @started is set. */
	gpa_t desc_gpa, avail_gpa, used_gpa;
	uint32_t size;
	bool ready;

	/* Guest memory; set by virtq_start(). */
	const struct guest_mem *mem;
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	const uint16_t *used_event; /* driver's: interrupt after this entry */
	uint16_t *avail_event;      /* ours: kick after this entry */
	bool started;
	bool present; /* all pages of the rings are present */
	bool event_idx;
	const char *broken; /* the reason, or NULL */

	uint16_t next_avail; /* avail entry that virtq_pop() takes next */
	uint16_t next_used;  /* used entry that virtq_push() fills next */
	uint16_t seen_avail; /* the last avail->idx that was read */
	uint16_t signalled;  /* next_used when an interrupt was last decided */
	bool pushed;         /* virtq_push() was called since that decision */

	/*
	 * What the queue may still take in this turn, so that other queues get
	 * theirs: a request costs 1, plus 1 for each full 64 KiB of its data.
	 * At 0, virtq_pop() returns false and sets @starved, and virtio_leave()
	 * kicks the queue again, behind the others.
	 */
	uint32_t budget;
	bool starved;
};

/*
 * A request: first the buffers that the driver filled (out), then those that
 * the device is to fill (in).  The device owns it until virtq_push(); the guest
 * may change the memory that it points to at any moment.
 */
struct virtq_chain {
	uint16_t head;
	uint16_t out_count, in_count;
	uint64_t out_len, in_len;
	/*
	 * Bytes from the start of the in buffers that may have changed without
	 * being reported to the driver as written.  Set by the device; they
	 * count as dirty.
	 */
	uint64_t touched;
	struct iovec iov[VIRTQ_CHAIN_MAX]; /* out buffers, then in buffers */
};

/* The first of the chain's in_count in buffers. */
static inline struct iovec *virtq_in(struct virtq_chain *chain)
{
	return chain->iov + chain->out_count;
}

/*
 * Check the registers and start the queue at the indexes that are in @vq.
 * Returns NULL, or what is wrong with the registers.
 */
const char *virtq_start(struct virtq *vq, const struct guest_mem *mem,
			bool event_idx) REQUIRES(device_lock);
/* Clear everything, including the registers. */
void virtq_reset(struct virtq *vq) REQUIRES(device_lock);

/*
 * Take the next chain.  Returns false if:
 * - none is available; the driver has then been asked to kick;
 * - the ring is broken, or found to be;
 * - the budget is used up;
 * - the page server has yet to deliver pages that the chain needs
 *   (guest_mem_present()); once they arrive, virtio_look() kicks all queues.
 */
bool virtq_pop(struct virtq *vq, struct virtq_chain *chain)
	REQUIRES(device_lock);

/* Undo the last virtq_pop(); the next one reads the ring again. */
void virtq_unpop(struct virtq *vq) REQUIRES(device_lock);

/* Return @chain to the driver, with @written bytes stored in its in buffers. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain,
		uint32_t written) REQUIRES(device_lock);

/*
 * True if the driver wants an interrupt for the chains pushed since the last
 * call.  True at most once for each batch.
 */
bool virtq_wants_interrupt(struct virtq *vq) REQUIRES(device_lock);

/*
 * For a queue whose used ring vhost fills: true if it has added entries since
 * the driver was last interrupted.  True once for each batch.  Sets next_used
 * to the ring's index.
 */
bool virtq_has_used(struct virtq *vq) REQUIRES(device_lock);

/*
 * Copy @len bytes of the out buffers, starting at byte @offset, to @buf.  Reads
 * each byte once.  Returns false if there are fewer, and then copies nothing.
 */
bool virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf,
		uint64_t len);
/* The same in the other direction: copy @buf into the in buffers. */
bool virtq_write(const struct virtq_chain *chain, uint64_t offset,
		 const void *buf, uint64_t len);

/*
 * Store in @out the parts of @count buffers that hold @len bytes from byte
 * @offset on.  @out has room for @count entries.  Returns how many it used.
 */
unsigned virtq_slice(const struct iovec *iov, unsigned count, uint64_t offset,
		     uint64_t len, struct iovec *out);

/* Save or load the registers and indexes.  Loading does not start the queue. */
void virtq_state(struct virtq *vq, struct snap *s) REQUIRES(device_lock);
