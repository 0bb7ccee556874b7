/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between the guest and the metadata service.  They never meet the tap:
 * the guest's are taken before they would be written to it, and the service's
 * are received before its next frame.
 */
#include <errno.h>
#include <sys/timerfd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "devices/virtio/net/net_internal.h"

/* Wait for the responder's deadline, unless the timer rings before anyway. */
static void arm(struct net_mmds *m, uint64_t now)
{
	uint64_t deadline = responder_deadline(m->responder);
	uint64_t ns = deadline > now ? deadline - now : 1;
	const struct itimerspec spec = {
		.it_value = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)},
	};

	if (!deadline || (m->armed && m->armed <= deadline))
		return;
	timerfd_settime(m->timer_fd, 0, &spec, NULL);
	m->armed = deadline;
}

static void timer_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct net *n = net_of(dev);
	uint64_t expired;

	if (read(n->mmds.timer_fd, &expired, sizeof(expired)) < 0)
		return;
	n->mmds.armed = 0;
	n->mmds.pending = true; /* arms it again, at the latest on a resume */
	if (!virtio_is_live(dev, NET_RX))
		return;
	responder_tick(n->mmds.responder, clock_now_ns(CLOCK_MONOTONIC));
	net_rx_run(n);
}

int net_use_mmds(struct virtio_device *dev, uint32_t address,
		 const struct responder_server *server, struct err *e)
{
	struct net_mmds *m = &net_of(dev)->mmds;
	int r;

	if (net_has_vhost(net_of(dev)))
		return err_set(e, "the metadata service is not possible with "
				  "`vhost`: the kernel would send its frames "
				  "to the tap");
	m->responder = responder_create(address, server);
	if (!m->responder)
		return err_errno(e, "cannot serve metadata");
	m->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->timer_fd < 0)
		return err_errno(e, "cannot create a timer");
	r = virtio_watch(dev, &m->timer, m->timer_fd, EPOLLIN, timer_ready);
	if (!r)
		return 0;
	m->timer.dev = NULL;
	errno = -r;
	return err_errno(e, "cannot watch a timer");
}

void net_mmds_fini(struct net *n)
{
	virtio_unwatch(&n->dev, &n->mmds.timer);
	util_close(&n->mmds.timer_fd);
	responder_destroy(n->mmds.responder);
}

bool net_mmds_take(struct net *n)
{
	const uint64_t len = n->chain.out_len - NET_HEADER;
	const uint64_t head = min_u64(len, RESPONDER_HEAD);
	uint8_t frame[RESPONDER_IN_MAX];

	/* Each byte is read once, because the guest may change it. */
	if (!virtq_read(&n->chain, NET_HEADER, frame, head) ||
	    !responder_wants(n->mmds.responder, frame, head))
		return false;
	if (virtq_read(&n->chain, NET_HEADER + head, frame + head,
		       min_u64(len, sizeof(frame)) - head))
		responder_take(n->mmds.responder, frame, len,
			       clock_now_ns(CLOCK_MONOTONIC));
	n->mmds.pending = true;
	/* Answering takes longer than sending: other devices get a turn. */
	virtio_turn_is_over(&n->dev);
	return true;
}

bool net_mmds_read(struct net *n)
{
	const uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	struct net_rx *rx = &n->rx;
	size_t len = responder_next(n->mmds.responder, rx->spill, now);

	if (!len) {
		n->mmds.pending = false;
		arm(&n->mmds, now);
		return false;
	}
	rx->header = (struct virtio_net_hdr_v1){0};
	rx->frame_len = NET_HEADER + len;
	rx->placed = NET_HEADER; /* all of the frame is in the spill */
	rx->paid = true;
	return true;
}
