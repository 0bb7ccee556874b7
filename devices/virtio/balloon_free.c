/* SPDX-License-Identifier: Apache-2.0 */
/* Free pages: those that the guest hints at when asked, and those it reports.
 */
#include "devices/virtio/balloon_internal.h"
#include "vmm/base/err.h"
#include "vmm/base/metrics.h"

struct counters {
	uint64_t *count, *freed, *fails;
};

/* Bytes of the host's pages that are within the buffer. */
static uint64_t whole_pages(const struct balloon *b, const struct iovec *iov)
{
	uint64_t start = (uint64_t)(uintptr_t)iov->iov_base;
	uint64_t end = align_down(start + iov->iov_len, b->host_page);

	start = align_up(start, b->host_page);
	return end > start ? end - start : 0;
}

/* The buffers of b->chain are free pages, if it is true. */
static void free_buffers(struct balloon *b, struct virtq *vq,
			 const struct counters *c)
{
	const struct iovec *iov = virtq_in(&b->chain);

	/* The same memory many times over would only cost time. */
	if (b->chain.in_len > balloon_ram(b)) {
		balloon_mistake(b, "has more free memory than RAM");
		metric_add(c->fails, 1);
		return;
	}
	for (unsigned i = 0; i < b->chain.in_count; i++) {
		uint64_t freed = whole_pages(b, &iov[i]);

		metric_add(c->count, 1);
		if (freed &&
		    balloon_give_back(b, vq, iov[i].iov_base, iov[i].iov_len))
			metric_add(c->freed, freed);
		else
			metric_add(c->fails, 1);
	}
}

/* ---------------------------------------------------------------- reporting */

void balloon_report_kick(struct balloon *b, struct virtq *vq)
{
	const struct counters c = {&b->metrics.free_page_report_count,
				   &b->metrics.free_page_report_freed,
				   &b->metrics.free_page_report_fails};

	while (virtq_pop(vq, &b->chain)) {
		if (b->chain.out_len)
			balloon_mistake(b, "reports what is not free memory");
		free_buffers(b, vq, &c);
		virtq_push(vq, &b->chain, 0);
	}
}

/* ------------------------------------------------------------------ hinting */

static bool is_run(uint32_t cmd)
{
	return cmd != BALLOON_HINT_STOP && cmd != BALLOON_HINT_DONE;
}

/* The guest's hints are those of the run that goes on. */
static bool is_hinting(const struct balloon *b)
{
	return is_run(b->config.free_page_hint_cmd_id) && b->has_guest_cmd &&
	       b->guest_cmd == b->config.free_page_hint_cmd_id;
}

static void set_host_cmd(struct balloon *b, uint32_t cmd)
{
	b->config.free_page_hint_cmd_id = cmd;
	virtio_config_changed(&b->dev);
}

static void take_guest_cmd(struct balloon *b)
{
	/* The end of an earlier run is not that of this one. */
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
				   &b->metrics.free_page_hint_fails};

	while (virtq_pop(vq, &b->chain)) {
		if (b->chain.out_len)
			take_guest_cmd(b);
		if (b->chain.in_len && is_hinting(b))
			free_buffers(b, vq, &c);
		virtq_push(vq, &b->chain, 0);
	}
}

void balloon_hint_reset(struct balloon *b)
{
	b->config.free_page_hint_cmd_id = BALLOON_HINT_STOP;
	b->has_guest_cmd = false;
	b->guest_cmd = 0;
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
