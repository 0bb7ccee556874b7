/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that sends frames with any header and offers buffers of any shape,
 * while the host sends frames of any length.  What goes out is what was sent,
 * whole; what comes in is what the host sent, and nothing else is touched.
 */
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net/net.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 19, RING = 16, QUEUE = 0x1000 };
enum { AVAIL = 0x400, USED = 0x800 };
/* Buffers for sending, and behind them for receiving. */
enum { OUT = 0x4000, IN = 0x30000, FRAME_MAX = 70000, HEADER = 12 };
enum { PARTS = 4 };

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd, host;
static uint16_t published[NET_QUEUES], seen[NET_QUEUES];
static unsigned in_at; /* where the next buffer for receiving is */
static uint8_t sent[FRAME_MAX], got[FRAME_MAX];

struct op {
	uint8_t kind;
	uint8_t writable; /* a bit per part that is the wrong way round */
	uint16_t len[PARTS];
	uint8_t header[HEADER];
	uint8_t pad[2];
};

static uint8_t *ram(unsigned at)
{
	return mem.region[0].host + at;
}

static void create(void)
{
	const struct guest_mem_region region = {.gpa = RAM, .size = RAM_SIZE};
	const struct log_config quiet = {.level = LOG_OFF, .fd = 2};
	struct err e;

	log_configure(&quiet);
	must(!guest_mem_create(&mem, &region, 1, &e));
	must(!loop_init(&loop, &e));
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(irq_fd >= 0);
}

static void put(struct virtio_device *dev, uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(dev, reg, 4, value);
}

static void start(struct virtio_device *dev, uint64_t features)
{
	static const uint32_t status[] = {0, 1, 3};

	for (unsigned i = 0; i < ARRAY_SIZE(status); i++)
		put(dev, VIRTIO_MMIO_STATUS, status[i]);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES,
	    (uint32_t)(features & dev->offered));
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	put(dev, VIRTIO_MMIO_STATUS, 11);
	memset(ram(0), 0, NET_QUEUES * QUEUE);
	for (unsigned i = 0; i < NET_QUEUES; i++) {
		put(dev, VIRTIO_MMIO_QUEUE_SEL, i);
		put(dev, VIRTIO_MMIO_QUEUE_NUM, RING);
		put(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, RAM + i * QUEUE);
		put(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM + i * QUEUE + AVAIL);
		put(dev, VIRTIO_MMIO_QUEUE_USED_LOW, RAM + i * QUEUE + USED);
		put(dev, VIRTIO_MMIO_QUEUE_READY, 1);
		published[i] = seen[i] = 0;
	}
	put(dev, VIRTIO_MMIO_STATUS, 15);
	in_at = IN;
}

static void turn_loop(void)
{
	for (int turn = 0; turn < 8; turn++) {
		int n = epoll_wait(loop.epoll_fd, loop.batch, LOOP_BATCH, 0);

		loop.batch_count = n;
		for (int i = 0; i < loop.batch_count; i++) {
			struct event_source *source = loop.batch[i].data.ptr;

			if (source)
				source->ready(source, loop.batch[i].events);
		}
		loop.batch_count = 0;
	}
}

/* A chain of up to three parts; where it ends. */
static unsigned chain(unsigned queue, unsigned at, const struct op *op,
		      bool write, unsigned longest)
{
	struct vring_desc *desc = (void *)ram(queue * QUEUE);
	struct vring_avail *avail = (void *)ram(queue * QUEUE + AVAIL);
	/* Fixed places, so that what is held stays as it is. */
	unsigned head = published[queue] % (RING / 4) * 4;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t len = op->len[i] % longest;
		bool w = write != (op->writable >> i & op->writable >> 7 & 1);

		desc[head + i] = (struct vring_desc){
			.addr = RAM + at,
			.len = len,
			.flags = (uint16_t)((w ? VRING_DESC_F_WRITE : 0) |
					    (i < 2 ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(head + i + 1),
		};
		at += len;
	}
	avail->ring[published[queue]++ % RING] = (uint16_t)head;
	avail->idx = published[queue];
	return at;
}

static bool needs_reset(struct virtio_device *dev)
{
	return virtio_mmio_ops.read(dev, VIRTIO_MMIO_STATUS, 4) & 0x40;
}

static void transmit(struct virtio_device *dev, const struct op *op)
{
	const struct vring_used *used = (void *)ram(QUEUE + USED);
	unsigned end, len;
	ssize_t n;

	memcpy(ram(OUT), op->header, HEADER);
	for (unsigned i = HEADER; i < FRAME_MAX; i++)
		ram(OUT)[i] = (uint8_t)(i ^ op->header[0]);
	end = chain(NET_TX, OUT, op, false, FRAME_MAX / 3);
	len = end - OUT;
	put(dev, VIRTIO_MMIO_QUEUE_NOTIFY, NET_TX);
	turn_loop();
	while ((n = recv(host, got, sizeof(got), MSG_DONTWAIT)) >= 0) {
		must((unsigned)n == len && len >= 26 && len <= 65562);
		must(!memcmp(got + HEADER, ram(OUT + HEADER), len - HEADER));
		must(!(got[0] & ~1) && got[1] <= 5);
	}
	must(needs_reset(dev) || used->idx == published[NET_TX]);
}

static void offer(struct virtio_device *dev, const struct op *op)
{
	/* No more than the places for descriptors. */
	const struct vring_used *used = (void *)ram(USED);

	if ((uint16_t)(published[NET_RX] - used->idx) >= RING / 4 ||
	    in_at + 3 * 20000 > RAM_SIZE)
		return;
	in_at = chain(NET_RX, in_at, op, true, 20000) + 3;
	put(dev, VIRTIO_MMIO_QUEUE_NOTIFY, NET_RX);
	turn_loop();
}

/* What was given back is of a chain that was offered, and no longer. */
static void check_received(void)
{
	const struct vring_used *used = (void *)ram(USED);
	const struct vring_desc *desc = (void *)ram(0);

	for (; seen[NET_RX] != used->idx; seen[NET_RX]++) {
		const struct vring_used_elem *e =
			&used->ring[seen[NET_RX] % RING];
		uint64_t room = 0;

		must(e->id < RING);
		for (unsigned i = 0; i < 3; i++)
			room += desc[e->id + i].len;
		must(e->len && e->len <= room);
	}
}

static void host_sends(const struct op *op)
{
	unsigned len = op->len[0] | (op->len[1] & 1u) << 16;

	len = len % FRAME_MAX + 1;
	memset(sent, op->pad[0], len);
	memcpy(sent, op->header, min_u64(HEADER, len));
	(void)!send(host, sent, len, MSG_DONTWAIT);
	turn_loop();
}

static void begin_or_pause(struct virtio_device *dev, const struct op *op)
{
	if (op->writable & 1) {
		start(dev, op->len[0] | (uint64_t)op->len[1] << 16);
	} else {
		virtio_quiesce(dev, UINT64_MAX);
		must(!dev->inflight);
		virtio_resume(dev);
	}
	turn_loop();
}

static void run(struct virtio_device *dev, const struct op *op)
{
	switch (op->kind % 6) {
	case 0:
	case 1:
		transmit(dev, op);
		break;
	case 2:
	case 3:
		offer(dev, op);
		break;
	case 4:
		host_sends(op);
		break;
	default:
		begin_or_pause(dev, op);
	}
	if (needs_reset(dev))
		start(dev, dev->offered);
	check_received();
	/* Behind the buffers. */
	must(*ram(RAM_SIZE - 1) == 0xee);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 1};
	struct net_config config = {.id = (char *)"fuzz", .mtu = 1500};
	struct virtio_slot slot = {.mem = &mem, .loop = &loop};
	struct virtio_device *dev;
	struct err e;
	int fds[2];

	if (!size)
		return 0;
	if (!mem.region_count)
		create();
	slot.irq_fd = irq_fd;
	config.has_mac = data[0] & 1;
	memcpy(config.mac, mac, sizeof(config.mac));
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds));
	host = fds[0];
	memset(ram(0), 0xee, RAM_SIZE);
	dev = net_create_on(&slot, &config, fds[1], &e);
	must(dev);
	start(dev, data[0] & 2 ? dev->offered : 1);
	turn_loop();
	for (data++, size--; size >= sizeof(struct op);) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		run(dev, &op);
	}
	virtio_destroy(dev);
	close(host);
	return 0;
}
