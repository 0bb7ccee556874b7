/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/net/net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/io/log.h"
#include "devices/virtio/net/net_internal.h"
#include "snapshot/codec.h"

/* ------------------------------------------------------------------ events */

static void tap_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct net *n = net_of(dev);

	metric_add(&n->metrics.rx_tap_event_count, 1);
	if (virtio_is_live(dev, NET_RX)) {
		net_rx_run(n);
	} else {
		net_rx_watch(n, false);
		virtio_wake(dev);
	}
}

static int watch(struct net *n, uint32_t events,
		 void (*ready)(struct virtio_device *dev))
{
	int r;

	if (n->tap.dev || n->tap_gone)
		return 0;
	r = virtio_watch(&n->dev, &n->tap, n->tap_fd, events, ready);
	if (r)
		n->tap.dev = NULL;
	return r;
}

void net_rx_watch(struct net *n, bool on)
{
	int r;

	if (!on) {
		virtio_unwatch(&n->dev, &n->tap);
		return;
	}
	r = watch(n, EPOLLIN, tap_ready);
	if (!r)
		return;
	metric_add(&n->metrics.event_fails, 1);
	log_error("%s: cannot watch the tap (%s): nothing will be received "
		  "until the guest offers more buffers",
		  n->dev.name, strerror(-r));
}

void net_tap_lost(struct net *n, int error)
{
	net_rx_watch(n, false);
	if (n->tap_gone)
		return;
	n->tap_gone = true;
	metric_add(&n->metrics.tap_gone_count, 1);
	log_error("%s: the tap %s was deleted (%s): the guest has no network "
		  "here until it is started or restored with another tap",
		  n->dev.name, n->tap_name, strerror(error));
}

static void lost(struct virtio_device *dev)
{
	net_tap_lost(net_of(dev), EBADFD);
}

void net_watch_loss(struct net *n)
{
	if (watch(n, 0, lost)) /* EPOLLERR is always reported */
		metric_add(&n->metrics.event_fails, 1);
}

static void net_kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct net *n = net_of(dev);

	metric_add(queue == NET_TX ? &n->metrics.tx_queue_event_count
				   : &n->metrics.rx_queue_event_count,
		   1);
	if (!n->offload_set && n->is_tap)
		net_tap_set_offload(n->tap_fd, dev->accepted);
	n->offload_set = true;
	if (net_has_vhost(n))
		net_vhost_start(n);
	else if (queue == NET_TX)
		net_tx_run(n);
	else
		net_rx_run(n);
}

static void rx_limiter_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	metric_add(&net_of(dev)->metrics.rx_event_rate_limiter_count, 1);
	if (virtio_is_live(dev, NET_RX))
		net_rx_run(net_of(dev));
}

static void tx_limiter_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	metric_add(&net_of(dev)->metrics.tx_rate_limiter_event_count, 1);
	if (virtio_is_live(dev, NET_TX))
		net_tx_run(net_of(dev));
}

/* -------------------------------------------------------------- the device */

static bool net_drain(struct virtio_device *dev, uint64_t deadline_ns)
	REQUIRES(device_lock)
{
	(void)deadline_ns;
	net_vhost_stop(net_of(dev));
	net_rx_give_back(net_of(dev));
	return true;
}

/* With vhost it was watched for its deletion only. */
static void net_await_wake(struct virtio_device *dev)
{
	net_rx_watch(net_of(dev), false);
	net_rx_watch(net_of(dev), true);
}

static void net_reset(struct virtio_device *dev)
{
	struct net *n = net_of(dev);

	/*
	 * The next driver may accept other features.  The tap may stay watched,
	 * because this may be a vCPU thread; the next frame unwatches it, as
	 * the queue has no driver.
	 */
	n->offload_set = false;
	n->rx.dirty = false;
}

static void net_state(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	struct net *n = net_of(dev);

	rate_limiter_state(&n->rx_limiter, dev, s);
	rate_limiter_state(&n->tx_limiter, dev, s);
}

static void net_destroy(struct virtio_device *dev)
{
	struct net *n = net_of(dev);

	virtio_unwatch(dev, &n->tap);
	net_vhost_fini(n);
	net_mmds_fini(n);
	rate_limiter_fini(&n->rx_limiter);
	rate_limiter_fini(&n->tx_limiter);
	virtio_fini(dev);
	util_close(&n->tap_fd);
	free(n);
}

static const struct metric metric_table[] = {
	METRIC(struct net_metrics, activate_fails),
	METRIC(struct net_metrics, cfg_fails),
	METRIC(struct net_metrics, mac_address_updates),
	METRIC(struct net_metrics, no_rx_avail_buffer),
	METRIC(struct net_metrics, no_tx_avail_buffer),
	METRIC(struct net_metrics, event_fails),
	METRIC(struct net_metrics, rx_queue_event_count),
	METRIC(struct net_metrics, rx_event_rate_limiter_count),
	METRIC(struct net_metrics, rx_partial_writes),
	METRIC(struct net_metrics, rx_rate_limiter_throttled),
	METRIC(struct net_metrics, rx_tap_event_count),
	METRIC(struct net_metrics, rx_bytes_count),
	METRIC(struct net_metrics, rx_packets_count),
	METRIC(struct net_metrics, rx_fails),
	METRIC(struct net_metrics, rx_count),
	METRIC(struct net_metrics, tap_read_fails),
	METRIC(struct net_metrics, tap_write_fails),
	METRIC(struct net_metrics, tx_bytes_count),
	METRIC(struct net_metrics, tx_malformed_frames),
	METRIC(struct net_metrics, tx_fails),
	METRIC(struct net_metrics, tx_count),
	METRIC(struct net_metrics, tx_packets_count),
	METRIC(struct net_metrics, tx_partial_reads),
	METRIC(struct net_metrics, tx_queue_event_count),
	METRIC(struct net_metrics, tx_rate_limiter_event_count),
	METRIC(struct net_metrics, tx_rate_limiter_throttled),
	METRIC(struct net_metrics, tx_spoofed_mac_count),
	METRIC(struct net_metrics, tx_remaining_reqs_count),
	LATENCY(struct net_metrics, tap_write_agg),
	EXTRA(struct net_metrics, tap_gone_count),
};

const struct virtio_kind net_kind = {
	.device_id = VIRTIO_ID_NET,
	.name = "net",
	.many = true,
	VIRTIO_METRICS(struct net, metric_table),
};

static const struct virtio_ops net_ops = {
	.kind = &net_kind,
	.queue_count = NET_QUEUES,
	.kick = net_kick,
	.drain = net_drain,
	.await_wake = net_await_wake,
	.reset = net_reset,
	.state = net_state,
	.destroy = net_destroy,
};

static uint64_t features(const struct net_config *config)
{
	uint64_t f = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
		     BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
		     BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
		     BIT(VIRTIO_NET_F_GUEST_TSO6) |
		     BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_MRG_RXBUF);

	if (config->has_mac)
		f |= BIT(VIRTIO_NET_F_MAC);
	if (config->mtu)
		f |= BIT(VIRTIO_NET_F_MTU);
	return f;
}

static int build(struct net *n, const struct virtio_slot *slot,
		 const struct net_config *config, struct err *e)
{
	uint64_t f = features(config);
	char name[VIRTIO_NAME_MAX];

	snprintf(name, sizeof(name), "network interface %s", config->id);
	if (n->is_tap)
		f |= net_tap_features(n->tap_fd);
	if (virtio_init(&n->dev, &net_ops, slot, f, name, e))
		return -1;
	n->dev.config = &n->config;
	n->dev.config_len = sizeof(n->config);
	if (config->has_mac)
		memcpy(n->config.mac, config->mac, NET_MAC_LEN);
	n->config.mtu = config->mtu;
	if (rate_limiter_init(&n->rx_limiter, &n->dev, &config->rx_limiter,
			      rx_limiter_ready, e))
		return -1;
	return rate_limiter_init(&n->tx_limiter, &n->dev, &config->tx_limiter,
				 tx_limiter_ready, e);
}

static struct virtio_device *create(const struct virtio_slot *slot,
				    const struct net_config *config, int fd,
				    bool is_tap, struct err *e)
{
	struct net *n = calloc(1, sizeof(*n));

	if (!n) {
		util_close(&fd);
		err_set(e, "no memory for a network interface");
		return NULL;
	}
	n->tap_fd = fd;
	n->vhost.fd = n->vhost.stopped_fd = n->vhost.error_fd = -1;
	n->mmds.timer_fd = -1;
	n->is_tap = is_tap;
	if (config->tap)
		snprintf(n->tap_name, sizeof(n->tap_name), "%s", config->tap);
	if (build(n, slot, config, e)) {
		net_destroy(&n->dev);
		return NULL;
	}
	return &n->dev;
}

struct virtio_device *net_create_on(const struct virtio_slot *slot,
				    const struct net_config *config, int fd,
				    struct err *e)
{
	return create(slot, config, fd, false, e);
}

static int check_mtu(const struct net_config *config, struct err *e)
{
	if (!config->mtu || config->mtu >= NET_MTU_MIN)
		return 0;
	return err_set(e, "The MTU is %u; give one from %u to %u", config->mtu,
		       NET_MTU_MIN, NET_MTU_MAX);
}

struct virtio_device *net_create(const struct virtio_slot *slot,
				 const struct net_config *config, struct err *e)
{
	int fd;

	if (check_mtu(config, e))
		return NULL;
	fd = net_tap_open(config, e);
	return fd < 0 ? NULL : create(slot, config, fd, true, e);
}

/* ----------------------------------------------------------- for the client */

int net_check(const struct net_config *config, struct err *e)
{
	AUTO_CLOSE int fd = -1;

	if (check_mtu(config, e))
		return -1;
	fd = net_tap_open(config, e);
	return fd < 0 ? -1 : 0;
}

static int update_limiters(struct net *n, const struct rate_limiter_update *rx,
			   const struct rate_limiter_update *tx, struct err *e)
	REQUIRES(device_lock)
{
	static const struct rate_limiter_update none;

	rx = rx ? rx : &none;
	tx = tx ? tx : &none;
	if (rate_limiter_reserve(&n->rx_limiter, &n->dev, rx, e) ||
	    rate_limiter_reserve(&n->tx_limiter, &n->dev, tx, e))
		return -1;
	rate_limiter_apply(&n->rx_limiter, &n->dev, rx);
	rate_limiter_apply(&n->tx_limiter, &n->dev, tx);
	return 0;
}

static bool is_given(const struct rate_limiter_update *update)
{
	return update && (update->bandwidth || update->ops);
}

int net_update_limiters(struct virtio_device *dev,
			const struct rate_limiter_update *rx,
			const struct rate_limiter_update *tx, struct err *e)
{
	struct net *n = net_of(dev);
	int ret;

	if (net_has_vhost(n) && (is_given(rx) || is_given(tx)))
		return err_set(e, "rate limiters are not possible with "
				  "`vhost`: the kernel has none");
	virtio_enter(dev);
	ret = update_limiters(n, rx, tx, e);
	virtio_leave(dev);
	return ret;
}
