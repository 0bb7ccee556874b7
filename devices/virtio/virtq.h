/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device side of a split virtqueue (Virtual I/O Device 1.2, section 2.7),
 * with indirect descriptors and event indexes.
 *
 * The driver writes three addresses and a size into registers.  virtq_start()
 * checks them all at once, when the driver sets DRIVER_OK; from then until a
 * reset they are frozen, and the rings are reached by pointers that cannot
 * leave guest RAM.
 *
 * Everything in the rings is hostile and may change at any moment.
 * virtq_pop() reads each descriptor once, checks the copy, and gives a chain of
 * host addresses; devices never see a descriptor.  A ring that breaks the
 * rules is broken until a reset: vq->broken says how, and nothing is taken
 * from it.
 *
 * All of it under the lock of the device that owns the queue.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/machine/gpa.h"

struct guest_mem;
struct snap;
struct vring_avail;
struct vring_desc;
struct vring_used;

enum {
	VIRTQ_SIZE_MAX = 256, /* as Firecracker's */
	VIRTQ_CHAIN_MAX = VIRTQ_SIZE_MAX,
};

struct virtq {
	/* The driver's registers; frozen while started. */
	gpa_t desc_gpa, avail_gpa, used_gpa;
	uint32_t size;
	bool ready;

	/* Since virtq_start().  Guest memory. */
	const struct guest_mem *mem;
	const struct vring_desc *desc;
	const struct vring_avail *avail;
	struct vring_used *used;
	const uint16_t *used_event; /* the driver's: interrupt me after this */
	uint16_t *avail_event;      /* ours: kick me after this */
	bool started;
	bool present; /* the rings are in RAM: nobody has to serve them first */
	bool event_idx;
	const char *broken; /* why, or NULL */

	uint16_t next_avail; /* the next entry to take */
	uint16_t next_used;  /* the next entry to fill */
	uint16_t seen_avail; /* taking up to here needs no look */
	uint16_t signalled;  /* next_used when an interrupt was last decided */
	bool pushed;         /* something since then */

	/*
	 * How much may still be taken before others have their turn: requests,
	 * and 64 KiB each of their data.  At zero, virtq_pop() finds nothing
	 * and sets @starved, which has the queue kicked again after others.
	 */
	uint32_t budget;
	bool starved;
};

/*
 * A request: buffers that the driver filled, then buffers that it wants
 * filled.  Lives as long as the device works on it; the memory that it points
 * to may change at any moment.
 */
struct virtq_chain {
	uint16_t head;
	uint16_t out_count, in_count;
	uint64_t out_len, in_len;
	/* Bytes of the in buffers that may have been changed without being
	 * reported to the driver as written; set by the device. */
	uint64_t touched;
	struct iovec iov[VIRTQ_CHAIN_MAX]; /* out buffers first */
};

static inline struct iovec *virtq_in(struct virtq_chain *chain)
{
	return chain->iov + chain->out_count;
}

/*
 * Check the registers and begin at the indexes that are in @vq.  NULL, or what
 * is wrong with them.
 */
const char *virtq_start(struct virtq *vq, const struct guest_mem *mem,
			bool event_idx);
/* Forget everything, registers too. */
void virtq_reset(struct virtq *vq);

/*
 * Take the next chain.  False when there is none, the ring is broken, or the
 * budget is used up.  When there was none, the driver has been told to kick.
 * Also false while pages that the chain needs are being served to us
 * (guest_mem_present()); when they have come, all queues are looked at.
 */
bool virtq_pop(struct virtq *vq, struct virtq_chain *chain);

/* Undo the last virtq_pop(): it will be read anew. */
void virtq_unpop(struct virtq *vq);

/* Give @chain back, with @written bytes stored in its in buffers. */
void virtq_push(struct virtq *vq, const struct virtq_chain *chain,
		uint32_t written);

/*
 * Does the driver want an interrupt for what was pushed?  Answers once for
 * each batch.
 */
bool virtq_wants_interrupt(struct virtq *vq);

/*
 * Somebody else fills the used ring: has there been more since the driver was
 * last interrupted?  Answers once; next_used follows.
 */
bool virtq_has_used(struct virtq *vq);

/*
 * Copy @len bytes, from @offset in the out buffers on; each byte is read once.
 * False if there are fewer.
 */
bool virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf,
		uint64_t len);
/* As virtq_read(), into the in buffers. */
bool virtq_write(const struct virtq_chain *chain, uint64_t offset,
		 const void *buf, uint64_t len);

/*
 * Cut @len bytes out of @count buffers, from @offset on, into @out, which has
 * room for @count; returns how many of those are used.
 */
unsigned virtq_slice(const struct iovec *iov, unsigned count, uint64_t offset,
		     uint64_t len, struct iovec *out);

/* Registers and indexes.  Loading does not start the queue. */
void virtq_state(struct virtq *vq, struct snap *s);
