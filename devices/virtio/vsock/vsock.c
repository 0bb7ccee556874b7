/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock/vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "devices/virtio/vsock/vsock_internal.h"
#include "snapshot/codec.h"

/* ------------------------------------------------------------------ events */

static void end_all(struct vsock *v)
{
	while (v->all)
		vsock_conn_destroy(v->all);
	v->resets_count = 0;
}

/* Stop accepting for VSOCK_ACCEPT_PAUSE_MS. */
static void pause_accepting(struct vsock *v)
{
	virtio_unwatch(&v->dev, &v->listener);
	v->accept_ns = clock_now_ns(CLOCK_MONOTONIC) +
		       VSOCK_ACCEPT_PAUSE_MS * 1000000ull;
	if (!v->timer_ns || v->accept_ns < v->timer_ns)
		vsock_set_timer(v, v->accept_ns);
}

static void listener_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct vsock *v = vsock_of(dev);

	if (v->stale || !virtio_is_live(dev, VSOCK_RX)) {
		v->parked = true;
		virtio_unwatch(dev, &v->listener);
		virtio_wake(dev);
		return;
	}
	if (!vsock_accept(v))
		pause_accepting(v);
}

/* Accept connections (again).  If that fails, the timer tries again. */
static void watch_listener(struct vsock *v)
{
	v->accept_ns = 0;
	if (v->listener.dev ||
	    !virtio_watch(&v->dev, &v->listener, v->listen_fd, EPOLLIN,
			  listener_ready))
		return;
	v->listener.dev = NULL;
	metric_add(&v->metrics.muxer_event_fails, 1);
	pause_accepting(v);
}

/*
 * A driver is running (again): end the connections of an earlier one, and watch
 * those that were parked.
 */
static void wake(struct vsock *v)
{
	if (v->stale)
		end_all(v);
	v->stale = false;
	if (!v->parked)
		return;
	v->parked = false;
	for (struct vsock_conn *c = v->all; c; c = c->next)
		vsock_conn_watch(c);
	watch_listener(v);
}

/* The earlier of two times; 0 means none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

/* Kill the connections that timed out.  Returns the next deadline, or 0. */
static uint64_t end_expired(struct vsock *v, uint64_t now)
{
	struct vsock_conn *next;
	uint64_t first = 0;

	for (struct vsock_conn *c = v->all; c; c = next) {
		next = c->next;
		if (!c->deadline_ns)
			continue;
		if (c->deadline_ns <= now)
			vsock_conn_kill(c);
		else
			first = earlier(first, c->deadline_ns);
	}
	return first;
}

static void timer_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct vsock *v = vsock_of(dev);
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), expired, first;

	if (read(v->timer_fd, &expired, sizeof(expired)) < 0)
		return;
	first = end_expired(v, now);
	if (v->accept_ns && v->accept_ns <= now)
		watch_listener(v);
	vsock_set_timer(v, earlier(first, v->accept_ns));
	vsock_rx_run(v);
}

/*
 * After a restore, send TRANSPORT_RESET: the driver drops its connections and
 * keeps its listeners.
 */
static void tell_restore(struct vsock *v) REQUIRES(device_lock)
{
	const struct virtio_vsock_event event = {
		.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
	};
	struct virtq *vq = &v->dev.queue[VSOCK_EVENT];

	while (v->tell_restore && virtq_pop(vq, &v->chain)) {
		if (!virtq_write(&v->chain, 0, &event, sizeof(event))) {
			metric_add(&v->metrics.ev_queue_event_fails, 1);
			virtq_push(vq, &v->chain, 0);
			continue;
		}
		virtq_push(vq, &v->chain, sizeof(event));
		v->tell_restore = false;
	}
}

static void vsock_await_wake(struct virtio_device *dev)
{
	wake(vsock_of(dev));
}

static void vsock_kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct vsock *v = vsock_of(dev);

	if (virtio_is_live(dev, VSOCK_RX))
		wake(v);
	if (queue == VSOCK_EVENT) {
		tell_restore(v);
		return;
	}
	if (queue == VSOCK_TX) {
		metric_add(&v->metrics.tx_queue_event_count, 1);
		vsock_tx_run(v);
	} else {
		metric_add(&v->metrics.rx_queue_event_count, 1);
	}
	vsock_rx_run(v);
}

/* -------------------------------------------------------------- the device */

static void vsock_reset(struct virtio_device *dev)
{
	struct vsock *v = vsock_of(dev);

	/*
	 * The host programs see end of file now; the main thread frees the
	 * connections later, because this may be a vCPU thread.
	 */
	for (struct vsock_conn *c = v->all; c; c = c->next)
		shutdown(c->fd, SHUT_RDWR);
	v->stale = true;
	v->parked = true;
	v->tell_restore = false;
}

static void vsock_state(struct virtio_device *dev, struct snap *s)
{
	struct vsock *v = vsock_of(dev);

	snap_u32(s, &v->last_port);
	snap_require(s, v->last_port < VSOCK_FIRST_PORT,
		     "a vsock port is impossible");
	if (snap_loading(s))
		v->tell_restore = true;
}

static void vsock_destroy(struct virtio_device *dev)
{
	struct vsock *v = vsock_of(dev);

	end_all(v);
	virtio_unwatch(dev, &v->listener);
	virtio_unwatch(dev, &v->timer);
	virtio_fini(dev);
	listener_remove(&v->name);
	util_close(&v->listen_fd);
	util_close(&v->timer_fd);
	free(v);
}

static const struct metric metric_table[] = {
	METRIC(struct vsock_metrics, activate_fails),
	METRIC(struct vsock_metrics, cfg_fails),
	METRIC(struct vsock_metrics, rx_queue_event_fails),
	METRIC(struct vsock_metrics, tx_queue_event_fails),
	METRIC(struct vsock_metrics, ev_queue_event_fails),
	METRIC(struct vsock_metrics, muxer_event_fails),
	METRIC(struct vsock_metrics, conn_event_fails),
	METRIC(struct vsock_metrics, rx_queue_event_count),
	METRIC(struct vsock_metrics, tx_queue_event_count),
	METRIC(struct vsock_metrics, rx_bytes_count),
	METRIC(struct vsock_metrics, tx_bytes_count),
	METRIC(struct vsock_metrics, rx_packets_count),
	METRIC(struct vsock_metrics, tx_packets_count),
	METRIC(struct vsock_metrics, conns_added),
	METRIC(struct vsock_metrics, conns_killed),
	METRIC(struct vsock_metrics, conns_removed),
	METRIC(struct vsock_metrics, killq_resync),
	METRIC(struct vsock_metrics, tx_flush_fails),
	METRIC(struct vsock_metrics, tx_write_fails),
	METRIC(struct vsock_metrics, rx_read_fails),
};

const struct virtio_kind vsock_kind = {
	.device_id = VIRTIO_ID_VSOCK,
	.name = "vsock",
	VIRTIO_METRICS(struct vsock, metric_table),
};

static const struct virtio_ops vsock_ops = {
	.kind = &vsock_kind,
	.queue_count = VSOCK_QUEUES,
	.kick = vsock_kick,
	.await_wake = vsock_await_wake,
	.reset = vsock_reset,
	.state = vsock_state,
	.destroy = vsock_destroy,
};

static int build(struct vsock *v, const struct virtio_slot *slot,
		 const struct vsock_config *config, struct err *e)
{
	int r;

	if (virtio_init(&v->dev, &vsock_ops, slot, 0, "vsock", e))
		return -1;
	v->config.guest_cid = config->guest_cid;
	v->dev.config = &v->config;
	v->dev.config_len = sizeof(v->config);
	v->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (v->timer_fd < 0)
		return err_errno(e, "cannot create a timer");
	r = virtio_watch(&v->dev, &v->timer, v->timer_fd, EPOLLIN, timer_ready);
	if (r) {
		v->timer.dev = NULL;
		errno = -r;
		return err_errno(e, "cannot watch a timer");
	}
	return vsock_bind(v, config->uds_path, e);
}

struct virtio_device *vsock_create(const struct virtio_slot *slot,
				   const struct vsock_config *config,
				   struct err *e)
{
	struct vsock *v;

	if (vsock_check(config, e))
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v) {
		err_set(e, "no memory for a vsock device");
		return NULL;
	}
	v->listen_fd = v->timer_fd = -1;
	v->ready_end = &v->ready;
	v->last_port = VSOCK_FIRST_PORT - 1;
	v->parked = true;
	if (build(v, slot, config, e)) {
		vsock_destroy(&v->dev);
		return NULL;
	}
	return &v->dev;
}

/* ----------------------------------------------------------- for the client */

int vsock_refuse(struct err *e, int error, const char *path, const char *remark)
{
	return err_set(e,
		       "Cannot create backend for vsock device: Error binding "
		       "to the host-side Unix socket: %s (os error %d): %s%s",
		       strerror(error), error, path, remark);
}

/* Such a path would leave some ports of the host unreachable for the guest. */
static int refuse_long(struct err *e, const char *path)
{
	return err_set(e,
		       "Cannot create backend for vsock device: Error binding "
		       "to the host-side Unix socket: File name too long (os "
		       "error %d): %.256s has %zu characters, and at most %d "
		       "leave room for _PORT behind it; give a shorter path, "
		       "or a relative one",
		       ENAMETOOLONG, path, strlen(path), VSOCK_PATH_MAX);
}

int vsock_check(const struct vsock_config *config, struct err *e)
{
	const char *path = config->uds_path;
	char folder[LISTENER_PATH_MAX + 1] = ".";
	const char *slash = strrchr(path, '/');
	struct listener_name name;

	if (config->guest_cid < VSOCK_CID_MIN ||
	    config->guest_cid == UINT32_MAX) {
		return err_set(e,
			       "The guest CID %u is reserved; give one from "
			       "3 to 4294967294",
			       config->guest_cid);
	}
	if (!path[0])
		return vsock_refuse(e, EINVAL, "an empty path", "");
	if (strlen(path) > VSOCK_PATH_MAX)
		return refuse_long(e, path);
	if (listener_check(&name, path))
		return vsock_refuse(e, errno, path, name.remark);
	if (slash) {
		memcpy(folder, path, (size_t)(slash - path) + 1);
		folder[slash - path + 1] = '\0';
	}
	if (access(folder, W_OK | X_OK))
		return vsock_refuse(e, errno, path, "");
	return 0;
}

unsigned vsock_conn_count(const struct virtio_device *dev)
{
	return container_of(dev, struct vsock, dev)->conn_count;
}
