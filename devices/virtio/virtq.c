/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/virtq.h"

#include <linux/virtio_ring.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "devices/virtio/guest_access.h"
#include "snapshot/codec.h"

/* Each 64 KiB of data costs the budget as much as one more request. */
enum { BUDGET_SHIFT = 16 };

/*
 * Bytes of a chain that are checked for presence; no driver sends more than
 * this in one request.
 */
enum { PRESENT_MAX = 256 << 20 };

/* -------------------------------------------------------------- start, end */

static const char *check_registers(const struct virtq *vq)
{
	if (!vq->size || vq->size > VIRTQ_SIZE_MAX || vq->size & (vq->size - 1))
		return "its size is not a power of two up to 256";
	if (vq->desc_gpa % VRING_DESC_ALIGN_SIZE ||
	    vq->avail_gpa % VRING_AVAIL_ALIGN_SIZE ||
	    vq->used_gpa % VRING_USED_ALIGN_SIZE)
		return "an address is not aligned";
	return NULL;
}

const char *virtq_start(struct virtq *vq, const struct guest_mem *mem,
			bool event_idx)
{
	/* Flags, index, N entries, and the event index at the end. */
	uint64_t avail_len = 4 + 2ull * vq->size + 2;
	uint64_t used_len = 4 + 8ull * vq->size + 2;
	const char *wrong = check_registers(vq);
	uint8_t *avail, *used;

	if (wrong)
		return wrong;
	vq->desc = guest_mem_at(mem, vq->desc_gpa,
				sizeof(struct vring_desc) * vq->size);
	avail = guest_mem_at(mem, vq->avail_gpa, avail_len);
	used = guest_mem_at(mem, vq->used_gpa, used_len);
	if (!vq->desc || !avail || !used)
		return "it is not within RAM";
	vq->mem = mem;
	vq->avail = (const void *)avail;
	vq->used = (void *)used;
	vq->used_event = (const void *)(avail + avail_len - 2);
	vq->avail_event = (void *)(used + used_len - 2);
	vq->event_idx = event_idx;
	vq->seen_avail = vq->next_avail;
	vq->broken = NULL;
	vq->present = false;
	vq->started = true;
	return NULL;
}

void virtq_reset(struct virtq *vq)
{
	*vq = (struct virtq){.size = VIRTQ_SIZE_MAX};
}

/* ------------------------------------------------------------- dirty pages */

static void chain_written(const struct virtq *vq,
			  const struct virtq_chain *chain, uint64_t len)
{
	const struct iovec *iov = chain->iov + chain->out_count;

	for (unsigned i = 0; i < chain->in_count && len; i++) {
		uint64_t part = min_u64(len, iov[i].iov_len);

		guest_mem_written(vq->mem, iov[i].iov_base, part);
		len -= part;
	}
}

/* --------------------------------------------------------------------- pop */

static bool fail(struct virtq *vq, const char *why)
{
	vq->broken = why;
	return false;
}

/*
 * True if a chain is available.  If not, ask for a kick and read the index
 * again, because the driver may have added chains before it saw the request.
 */
static bool available(struct virtq *vq)
{
	if (vq->seen_avail != vq->next_avail)
		return true;
	/* Pairs with the driver's barrier before it stores the index. */
	vq->seen_avail = guest_load_acquire(&vq->avail->idx);
	if (vq->seen_avail == vq->next_avail && vq->event_idx) {
		guest_store(vq->avail_event, vq->next_avail);
		guest_mem_written(vq->mem, vq->avail_event, sizeof(uint16_t));
		guest_barrier();
		vq->seen_avail = guest_load_acquire(&vq->avail->idx);
	}
	if ((uint16_t)(vq->seen_avail - vq->next_avail) > vq->size)
		return fail(vq, "more is available than fits");
	return vq->seen_avail != vq->next_avail;
}

/*
 * Read a descriptor.  Each field is loaded once, because the guest may change
 * it.
 */
static struct vring_desc fetch(const struct vring_desc *table, unsigned i)
{
	const struct vring_desc *d = &table[i];

	return (struct vring_desc){
		.addr = guest_load(&d->addr),
		.len = guest_load(&d->len),
		.flags = guest_load(&d->flags),
		.next = guest_load(&d->next),
	};
}

static bool add_buffer(struct virtq *vq, struct virtq_chain *chain,
		       const struct vring_desc *d)
{
	unsigned count = chain->out_count + chain->in_count;
	void *host = guest_mem_at(vq->mem, d->addr, d->len);

	if (!d->len)
		return true; /* an empty buffer may have any address */
	if (count == VIRTQ_CHAIN_MAX)
		return fail(vq, "a chain is too long");
	if (!host)
		return fail(vq, "a buffer is not within RAM");
	if (d->flags & VRING_DESC_F_WRITE) {
		chain->in_count++;
		chain->in_len += d->len;
	} else if (chain->in_count) {
		return fail(vq, "a buffer to read follows one to write");
	} else {
		chain->out_count++;
		chain->out_len += d->len;
	}
	chain->iov[count] = (struct iovec){host, d->len};
	return true;
}

/*
 * Follow a chain through @table of @size entries, starting at entry @i, and add
 * its buffers to @chain.  If the chain ends with an indirect descriptor, set
 * *indirect to it; @indirect is NULL where none is allowed.
 */
static bool walk(struct virtq *vq, struct virtq_chain *chain,
		 const struct vring_desc *table, unsigned size, unsigned i,
		 struct vring_desc *indirect)
{
	for (unsigned left = size; left; left--) {
		struct vring_desc d;

		if (i >= size)
			return fail(vq, "a descriptor is outside its table");
		d = fetch(table, i);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!indirect || d.flags & VRING_DESC_F_NEXT)
				return fail(vq, "an indirect descriptor is "
						"where none may be");
			*indirect = d;
			return true;
		}
		if (!add_buffer(vq, chain, &d))
			return false;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return true;
		i = d.next;
	}
	return fail(vq, "a chain is longer than its table");
}

/*
 * Section 2.7.5.3.1 forbids an indirect table that is longer than the ring.  It
 * is accepted up to VIRTQ_CHAIN_MAX, because Linux sends one if it had no
 * memory for a ring of the maximum size.
 */
static bool walk_indirect(struct virtq *vq, struct virtq_chain *chain,
			  const struct vring_desc *d)
{
	const struct vring_desc *table;

	if (!d->len || d->len % sizeof(*table) ||
	    d->len / sizeof(*table) > VIRTQ_CHAIN_MAX)
		return fail(vq, "an indirect table has an impossible length");
	table = guest_mem_at(vq->mem, d->addr, d->len);
	if (!table || (uintptr_t)table % _Alignof(uint64_t))
		return fail(vq, "an indirect table is not within RAM, or not "
				"aligned");
	if (!guest_mem_present(vq->mem, table, d->len))
		return false;
	return walk(vq, chain, table, d->len / sizeof(*table), 0, NULL);
}

static bool rings_present(struct virtq *vq)
{
	uint64_t avail_len = (uint64_t)((const uint8_t *)vq->used_event -
					(const uint8_t *)vq->avail) +
			     sizeof(*vq->used_event);
	uint64_t used_len = (uint64_t)((const uint8_t *)vq->avail_event -
				       (const uint8_t *)vq->used) +
			    sizeof(*vq->avail_event);

	if (!vq->present)
		vq->present =
			guest_mem_present(vq->mem, vq->desc,
					  sizeof(*vq->desc) * vq->size) &&
			guest_mem_present(vq->mem, vq->avail, avail_len) &&
			guest_mem_present(vq->mem, vq->used, used_len);
	return vq->present;
}

static bool chain_present(const struct virtq *vq,
			  const struct virtq_chain *chain)
{
	unsigned count = chain->out_count + chain->in_count;
	uint64_t looked = 0;

	if (!vq->mem->ask)
		return true;
	for (unsigned i = 0; i < count && looked < PRESENT_MAX; i++) {
		const struct iovec *v = &chain->iov[i];

		if (!guest_mem_present(vq->mem, v->iov_base, v->iov_len))
			return false;
		looked += v->iov_len;
	}
	return true;
}

static void charge(struct virtq *vq, const struct virtq_chain *chain)
{
	uint64_t cost = 1 + ((chain->out_len + chain->in_len) >> BUDGET_SHIFT);

	vq->budget -= (uint32_t)min_u64(cost, vq->budget);
}

bool virtq_pop(struct virtq *vq, struct virtq_chain *chain)
{
	struct vring_desc indirect = {0};

	if (vq->broken || !vq->started || !rings_present(vq) || !available(vq))
		return false;
	if (!vq->budget) {
		vq->starved = true;
		return false;
	}
	chain->out_count = chain->in_count = 0;
	chain->out_len = chain->in_len = chain->touched = 0;
	chain->head =
		guest_load(&vq->avail->ring[vq->next_avail & (vq->size - 1)]);
	if (!walk(vq, chain, vq->desc, vq->size, chain->head, &indirect))
		return false;
	if (indirect.flags && !walk_indirect(vq, chain, &indirect))
		return false;
	if (!chain_present(vq, chain))
		return false;
	charge(vq, chain);
	vq->next_avail++;
	return true;
}

void virtq_unpop(struct virtq *vq)
{
	vq->next_avail--;
}

/* -------------------------------------------------------------------- push */

void virtq_push(struct virtq *vq, const struct virtq_chain *chain,
		uint32_t written)
{
	struct vring_used_elem *e =
		&vq->used->ring[vq->next_used & (vq->size - 1)];

	chain_written(vq, chain, max_u64(written, chain->touched));
	guest_store(&e->id, chain->head);
	guest_store(&e->len, written);
	guest_mem_written(vq->mem, e, sizeof(*e));
	vq->next_used++;
	/* Release: the driver reads data and element once it sees the index. */
	guest_store_release(&vq->used->idx, vq->next_used);
	guest_mem_written(vq->mem, &vq->used->idx, sizeof(vq->used->idx));
	vq->pushed = true;
}

bool virtq_wants_interrupt(struct virtq *vq)
{
	uint16_t before = vq->signalled;

	if (!vq->pushed)
		return false;
	vq->pushed = false;
	vq->signalled = vq->next_used;
	/*
	 * The index must be visible before we read what the driver wants, or
	 * each side could wait for the other.
	 */
	guest_barrier();
	if (!vq->event_idx)
		return !(guest_load(&vq->avail->flags) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(guest_load(vq->used_event), vq->next_used,
				before);
}

bool virtq_has_used(struct virtq *vq)
{
	uint16_t before = vq->signalled;

	if (!vq->started)
		return false;
	vq->next_used = vq->signalled = guest_load_acquire(&vq->used->idx);
	return vq->signalled != before;
}

/* -------------------------------------------------------- bytes of a chain */

bool virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf,
		uint64_t len)
{
	uint8_t *to = buf;

	if (offset > chain->out_len || len > chain->out_len - offset)
		return false;
	for (const struct iovec *v = chain->iov; len; v++) {
		uint64_t part;

		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		part = min_u64(len, v->iov_len - offset);
		guest_copy(to, (const uint8_t *)v->iov_base + offset, part);
		to += part;
		len -= part;
		offset = 0;
	}
	return true;
}

bool virtq_write(const struct virtq_chain *chain, uint64_t offset,
		 const void *buf, uint64_t len)
{
	const struct iovec *v = chain->iov + chain->out_count;
	const uint8_t *from = buf;

	if (offset > chain->in_len || len > chain->in_len - offset)
		return false;
	for (; len; v++) {
		uint64_t part;

		if (offset >= v->iov_len) {
			offset -= v->iov_len;
			continue;
		}
		part = min_u64(len, v->iov_len - offset);
		guest_fill((uint8_t *)v->iov_base + offset, from, part);
		from += part;
		len -= part;
		offset = 0;
	}
	return true;
}

unsigned virtq_slice(const struct iovec *iov, unsigned count, uint64_t offset,
		     uint64_t len, struct iovec *out)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && len; i++) {
		uint64_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = min_u64(len, iov[i].iov_len - offset);
		out[used].iov_base = (uint8_t *)iov[i].iov_base + offset;
		out[used++].iov_len = part;
		len -= part;
		offset = 0;
	}
	return used;
}

/* ------------------------------------------------------------------- state */

void virtq_state(struct virtq *vq, struct snap *s)
{
	snap_u64(s, &vq->desc_gpa);
	snap_u64(s, &vq->avail_gpa);
	snap_u64(s, &vq->used_gpa);
	snap_u32(s, &vq->size);
	snap_bool(s, &vq->ready);
	snap_u16(s, &vq->next_avail);
	snap_u16(s, &vq->next_used);
	snap_u16(s, &vq->signalled);
}
