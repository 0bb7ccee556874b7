/* SPDX-License-Identifier: Apache-2.0 */
/* Free page hinting and free page reporting. */
#include "core/base/err.h"
#include "core/base/metrics.h"
#include "devices/virtio/balloon/balloon_internal.h"

/*
 * Bytes that one call returns to the host: about 1 ms for 4 KiB pages that were
 * touched.
 */
enum { SLICE = 16 << 20 };

struct counters {
	uint64_t *count, *freed, *fails;
	/*
	 * Bytes of the chain that are done, if it waits for another turn.  The
	 * chain is then read from the ring and checked again.
	 */
	uint64_t *done;
};

/* The part of the buffer that consists of whole host pages. */
static struct iovec whole_pages(const struct balloon *b,
				const struct iovec *iov)
{
	uint64_t start = (uint64_t)(uintptr_t)iov->iov_base;
	uint64_t end = align_down(start + iov->iov_len, b->host_page);
	uint64_t from = align_up(start, b->host_page);

	return (struct iovec){(uint8_t *)iov->iov_base + (from - start),
			      end > from ? end - from : 0};
}

/*
 * Return at most SLICE bytes of a buffer, from byte @at on, to the host.
 * Returns the offset of the next slice.
 */
static uint64_t free_slice(struct balloon *b, struct virtq *vq,
			   const struct counters *c, const struct iovec *iov,
			   uint64_t at)
{
	struct iovec pages = whole_pages(b, iov);
	uint64_t len =
		min_u64(pages.iov_len - min_u64(at, pages.iov_len), SLICE);

	if (!at)
		metric_add(c->count, 1);
	if (len &&
	    balloon_give_back(b, vq, (uint8_t *)pages.iov_base + at, len))
		metric_add(c->freed, len);
	else
		metric_add(c->fails, 1);
	at += len;
	return at < pages.iov_len ? at : iov->iov_len;
}

static bool wait_for_turn(struct virtq *vq) REQUIRES(device_lock)
{
	virtq_unpop(vq);
	vq->starved = true;
	return false;
}

/*
 * The buffers of b->chain are pages that the guest claims are free.  Returns
 * false if the rest has to wait for another turn: the chain is back in the
 * ring.
 */
static bool free_buffers(struct balloon *b, struct virtq *vq,
			 const struct counters *c) REQUIRES(device_lock)
{
	const struct iovec *iov = virtq_in(&b->chain);
	uint64_t skip = *c->done;

	/*
	 * More than RAM means that memory is listed repeatedly: a waste of
	 * time.
	 */
	if (b->chain.in_len > balloon_ram(b)) {
		balloon_mistake(b, "has more free memory than RAM");
		metric_add(c->fails, 1);
		return true;
	}
	for (unsigned i = 0; i < b->chain.in_count; i++) {
		uint64_t at = min_u64(skip, iov[i].iov_len);

		skip -= at;
		while (at < iov[i].iov_len) {
			uint64_t next = free_slice(b, vq, c, &iov[i], at);

			*c->done += next - at;
			at = next;
			if (virtio_turn_is_over(&b->dev) &&
			    *c->done < b->chain.in_len)
				return wait_for_turn(vq);
		}
	}
	return true;
}

static void give_chain_back(struct balloon *b, struct virtq *vq,
			    const struct counters *c) REQUIRES(device_lock)
{
	*c->done = 0;
	virtq_push(vq, &b->chain, 0);
}

/* ---------------------------------------------------------------- reporting */

void balloon_report_kick(struct balloon *b, struct virtq *vq)
{
	const struct counters c = {&b->metrics.free_page_report_count,
				   &b->metrics.free_page_report_freed,
				   &b->metrics.free_page_report_fails,
				   &b->report_done};

	while (virtq_pop(vq, &b->chain)) {
		if (b->chain.out_len)
			balloon_mistake(b, "reports what is not free memory");
		if (!free_buffers(b, vq, &c))
			return;
		give_chain_back(b, vq, &c);
	}
}

/* ------------------------------------------------------------------ hinting */

static bool is_run(uint32_t cmd)
{
	return cmd != BALLOON_HINT_STOP && cmd != BALLOON_HINT_DONE;
}

/* True if the guest's hints belong to the active run. */
static bool is_hinting(const struct balloon *b)
{
	return is_run(b->config.free_page_hint_cmd_id) && b->has_guest_cmd &&
	       b->guest_cmd == b->config.free_page_hint_cmd_id;
}

static void set_host_cmd(struct balloon *b, uint32_t cmd) REQUIRES(device_lock)
{
	b->config.free_page_hint_cmd_id = cmd;
	virtio_config_changed(&b->dev);
}

static void take_guest_cmd(struct balloon *b) REQUIRES(device_lock)
{
	/* The end of an earlier run must not end this one. */
	bool was_hinting = is_hinting(b);
	uint32_t cmd;

	if (b->chain.out_len != sizeof(cmd)) {
		balloon_mistake(b, "sends a command of another length");
		return;
	}
	virtq_read(&b->chain, 0, &cmd, sizeof(cmd));
	b->guest_cmd = cmd;
	b->has_guest_cmd = true;
	if (cmd == BALLOON_HINT_DONE)
		balloon_mistake(b, "sends a command that is the host's");
	if (!is_run(cmd) && was_hinting && b->acknowledge_on_stop)
		set_host_cmd(b, BALLOON_HINT_DONE);
}

void balloon_hint_kick(struct balloon *b, struct virtq *vq)
{
	const struct counters c = {&b->metrics.free_page_hint_count,
				   &b->metrics.free_page_hint_freed,
				   &b->metrics.free_page_hint_fails,
				   &b->hint_done};

	while (virtq_pop(vq, &b->chain)) {
		if (b->chain.out_len && !b->hint_done)
			take_guest_cmd(b);
		if (b->chain.in_len && is_hinting(b) &&
		    !free_buffers(b, vq, &c))
			return;
		give_chain_back(b, vq, &c);
	}
}

void balloon_hint_reset(struct balloon *b)
{
	b->config.free_page_hint_cmd_id = BALLOON_HINT_STOP;
	b->has_guest_cmd = false;
	b->guest_cmd = 0;
	b->hint_done = b->report_done = 0;
}

static int check_hinting(const struct virtio_device *dev, struct err *e)
{
	if (dev->offered >> VIRTIO_BALLOON_F_FREE_PAGE_HINT & 1)
		return 0;
	return err_set(e, "Attempting to use hinting when not enabled");
}

static int command(struct virtio_device *dev, uint32_t cmd, struct err *e)
{
	struct balloon *b = balloon_of(dev);
	int r;

	virtio_enter(dev);
	r = balloon_check_active(b, e);
	if (!r)
		set_host_cmd(b, cmd);
	virtio_leave(dev);
	return r;
}

int balloon_hinting_start(struct virtio_device *dev, bool acknowledge_on_stop,
			  struct err *e)
{
	struct balloon *b = balloon_of(dev);
	uint32_t run = b->last_run + 1;

	if (check_hinting(dev, e))
		return -1;
	while (!is_run(run))
		run++;
	if (command(dev, run, e))
		return -1;
	b->last_run = run;
	b->acknowledge_on_stop = acknowledge_on_stop;
	return 0;
}

int balloon_hinting_stop(struct virtio_device *dev, struct err *e)
{
	return check_hinting(dev, e) ? -1 : command(dev, BALLOON_HINT_DONE, e);
}

int balloon_hinting_status(struct virtio_device *dev,
			   struct balloon_hinting_status *status, struct err *e)
{
	struct balloon *b = balloon_of(dev);

	if (check_hinting(dev, e))
		return -1;
	virtio_enter(dev);
	status->host_cmd = b->config.free_page_hint_cmd_id;
	status->has_guest_cmd = b->has_guest_cmd;
	status->guest_cmd = b->guest_cmd;
	virtio_leave(dev);
	return 0;
}
