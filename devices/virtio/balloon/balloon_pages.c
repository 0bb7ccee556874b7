/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_balloon.h>
#include <string.h>

#include "core/base/bits.h"
#include "core/base/err.h"
#include "core/base/metrics.h"
#include "devices/virtio/balloon/balloon_internal.h"

/*
 * Page numbers of a request: per batch, and in total, which bounds the host
 * calls of one request.  Linux sends 256 and Windows 1024; pages beyond the
 * limit stay with the guest.
 */
enum { BATCH = 256, PFNS_MAX = 1024 };

/* A run of contiguous memory. */
struct run {
	uint8_t *start, *end;
};

/* ------------------------------------------------- pages larger than 4 KiB */

static uint64_t bitmap_words(const struct guest_mem_region *r)
{
	return align_up(r->size / BALLOON_PAGE, 64) / 64;
}

int balloon_pages_init(struct balloon *b, struct err *e)
{
	const struct guest_mem *mem = b->dev.slot.mem;

	if (b->host_page == BALLOON_PAGE)
		return 0;
	for (unsigned i = 0; i < mem->region_count; i++) {
		b->inside[i] = calloc(bitmap_words(&mem->region[i]),
				      sizeof(b->inside[i][0]));
		if (!b->inside[i])
			return err_set(e, "no memory for the balloon");
	}
	return 0;
}

void balloon_pages_fini(struct balloon *b)
{
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++) {
		free(b->inside[i]);
		b->inside[i] = NULL;
	}
}

void balloon_pages_reset(struct balloon *b)
{
	const struct guest_mem *mem = b->dev.slot.mem;

	for (unsigned i = 0; i < mem->region_count; i++) {
		if (b->inside[i])
			memset(b->inside[i], 0,
			       bitmap_words(&mem->region[i]) *
				       sizeof(b->inside[i][0]));
	}
}

/*
 * The bitmap of the region that contains @at, and the number there of the page
 * at @at.  Only if b->inside[] exists.
 */
static uint64_t *inside(const struct balloon *b, const uint8_t *at,
			uint64_t *page)
{
	const struct guest_mem_region *r = b->dev.slot.mem->region;
	unsigned i = 0;

	while (at < r[i].host || (uint64_t)(at - r[i].host) >= r[i].size)
		i++;
	*page = (uint64_t)(at - r[i].host) / BALLOON_PAGE;
	return b->inside[i];
}

/*
 * Put a page into the balloon.  Returns true if its host page, whose start is
 * stored in *start, is now completely in the balloon.
 */
static bool enter(struct balloon *b, uint8_t *at, uint8_t **start)
{
	const uint64_t parts = b->host_page / BALLOON_PAGE;
	uint64_t *bits, page, first;

	*start = at;
	if (!b->inside[0])
		return true;
	bits = inside(b, at, &page);
	bits_add(bits, page);
	first = align_down(page, parts);
	*start = at - (page - first) * BALLOON_PAGE;
	for (uint64_t i = first; i < first + parts; i++) {
		if (!bits_has(bits, i))
			return false;
	}
	return true;
}

static void leave(struct balloon *b, uint8_t *at)
{
	uint64_t *bits, page;

	bits = inside(b, at, &page);
	bits_remove(bits, page);
}

static void *page_at(const struct balloon *b, uint32_t pfn)
{
	return guest_mem_at(b->dev.slot.mem,
			    (gpa_t)pfn << VIRTIO_BALLOON_PFN_SHIFT,
			    BALLOON_PAGE);
}

static void leave_all(struct balloon *b, const uint32_t *pfn, unsigned count)
{
	for (unsigned i = 0; b->inside[0] && i < count; i++) {
		uint8_t *at = page_at(b, pfn[i]);

		if (at)
			leave(b, at);
	}
}

/* ------------------------------------------------------------------ sorting */

static void sift_down(uint32_t *v, unsigned at, unsigned count)
{
	uint32_t value = v[at];
	unsigned child;

	for (; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && v[child + 1] > v[child])
			child++;
		if (v[child] <= value)
			break;
		v[at] = v[child];
	}
	v[at] = value;
}

/*
 * Heap sort, because qsort() may allocate memory and query the host's RAM size.
 */
static void sort(uint32_t *v, unsigned count)
{
	for (unsigned i = count / 2; i--;)
		sift_down(v, i, count);
	for (unsigned i = count; i-- > 1;) {
		uint32_t largest = v[0];

		v[0] = v[i];
		v[i] = largest;
		sift_down(v, 0, i);
	}
}

/* --------------------------------------------------------------- requests */

static void end_run(struct balloon *b, struct virtq *vq, struct run *run)
{
	if (run->start != run->end &&
	    !balloon_give_back(b, vq, run->start,
			       (uint64_t)(run->end - run->start)))
		metric_add(&b->metrics.event_fails, 1);
}

/* Returns the number of pages that are not in RAM. */
static unsigned inflate(struct balloon *b, struct virtq *vq, uint32_t *pfn,
			unsigned count) REQUIRES(device_lock)
{
	struct run run = {NULL, NULL};
	unsigned wrong = 0;

	sort(pfn, count);
	for (unsigned i = 0; i < count; i++) {
		uint8_t *at = page_at(b, pfn[i]), *start;

		if (!at) {
			wrong++;
			continue;
		}
		if (!enter(b, at, &start))
			continue;
		if (start >= run.start && start < run.end)
			continue; /* listed twice */
		if (start != run.end) {
			end_run(b, vq, &run);
			run.start = start;
		}
		run.end = start + b->host_page;
	}
	end_run(b, vq, &run);
	/*
	 * Without MUST_TELL_HOST, the driver may reuse pages without a deflate
	 * request.
	 */
	if (!virtio_has(&b->dev, VIRTIO_BALLOON_F_MUST_TELL_HOST))
		leave_all(b, pfn, count);
	return wrong;
}

static unsigned deflate(struct balloon *b, struct virtq *vq, uint32_t *pfn,
			unsigned count)
{
	(void)vq;
	leave_all(b, pfn, count);
	return 0;
}

/* Apply @work to the page numbers in b->chain. */
static void request(struct balloon *b, struct virtq *vq,
		    unsigned (*work)(struct balloon *b, struct virtq *vq,
				     uint32_t *pfn, unsigned count))
{
	uint64_t count = b->chain.out_len / sizeof(uint32_t);
	unsigned batch, wrong = 0;
	uint32_t pfn[BATCH];

	if (b->chain.out_len % sizeof(pfn[0]) || b->chain.in_len ||
	    count > PFNS_MAX)
		balloon_mistake(b, "sends no list of pages, or too long a one");
	count = min_u64(count, PFNS_MAX);
	for (uint64_t i = 0; i < count; i += batch) {
		batch = (unsigned)min_u64(count - i, BATCH);
		virtq_read(&b->chain, i * sizeof(pfn[0]), pfn,
			   batch * sizeof(pfn[0]));
		wrong += work(b, vq, pfn, batch);
	}
	if (wrong)
		balloon_mistake(b, "inflates pages that are not RAM");
}

void balloon_inflate(struct balloon *b, struct virtq *vq)
{
	while (virtq_pop(vq, &b->chain)) {
		metric_add(&b->metrics.inflate_count, 1);
		request(b, vq, inflate);
		/*
		 * Only now, because the driver may take pages back after this.
		 */
		virtq_push(vq, &b->chain, 0);
		virtio_turn_is_over(&b->dev);
	}
}

void balloon_deflate(struct balloon *b, struct virtq *vq)
{
	while (virtq_pop(vq, &b->chain)) {
		metric_add(&b->metrics.deflate_count, 1);
		request(b, vq, deflate);
		virtq_push(vq, &b->chain, 0);
	}
}
