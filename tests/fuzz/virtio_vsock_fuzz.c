/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends any packet, and programs of the host that come, write,
 * read and go.  Every packet from the device is well-formed and fits its
 * buffer; connections and what waits for them are bounded; in the end nothing
 * is left.
 */
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/vsock/vsock.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 18, RING = 16, QUEUE = 0x1000 };
enum { AVAIL = 0x400, USED = 0x800, OUT = 0x4000, IN = 0x20000 };
enum { HEADER = 44, CID = 3, BUFFER = 4096, HOSTS = 8, LISTEN_PORT = 9 };

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd, listener;
static char uds[80], listen_path[100];
static uint16_t published[VSOCK_QUEUES], seen;
static int host[HOSTS]; /* their programs; -1: none */
static unsigned next_host;

struct op {
	uint8_t kind, port, number, flags;
	uint16_t len;
	uint8_t form, pad;
	uint32_t alloc, forwarded;
	uint8_t text_len;
	char text[15];
};

static uint8_t *ram(unsigned at)
{
	return mem.region[0].host + at;
}

static void remove_listener(void)
{
	unlink(listen_path);
}

static void create(void)
{
	const struct guest_mem_region region = {.gpa = RAM, .size = RAM_SIZE};
	const struct log_config quiet = {.level = LOG_OFF, .fd = 2};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct err e;

	log_configure(&quiet);
	must(!guest_mem_create(&mem, &region, 1, &e));
	must(!loop_init(&loop, &e));
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(irq_fd >= 0);
	snprintf(uds, sizeof(uds), "/tmp/vsock-fuzz-%d", getpid());
	snprintf(listen_path, sizeof(listen_path), "%s_%d", uds, LISTEN_PORT);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", listen_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	unlink(listen_path);
	must(listener >= 0);
	must(!bind(listener, (struct sockaddr *)&a, sizeof(a)));
	must(!listen(listener, HOSTS));
	must(!atexit(remove_listener));
}

static void put(struct virtio_device *dev, uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(dev, reg, 4, value);
}

static void start(struct virtio_device *dev)
{
	static const uint32_t status[] = {0, 1, 3};

	for (unsigned i = 0; i < ARRAY_SIZE(status); i++)
		put(dev, VIRTIO_MMIO_STATUS, status[i]);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	put(dev, VIRTIO_MMIO_STATUS, 11);
	memset(ram(0), 0, VSOCK_QUEUES * QUEUE);
	for (unsigned i = 0; i < VSOCK_QUEUES; i++) {
		put(dev, VIRTIO_MMIO_QUEUE_SEL, i);
		put(dev, VIRTIO_MMIO_QUEUE_NUM, RING);
		put(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, RAM + i * QUEUE);
		put(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM + i * QUEUE + AVAIL);
		put(dev, VIRTIO_MMIO_QUEUE_USED_LOW, RAM + i * QUEUE + USED);
		put(dev, VIRTIO_MMIO_QUEUE_READY, 1);
		published[i] = 0;
	}
	put(dev, VIRTIO_MMIO_STATUS, 15);
	seen = 0;
}

static void turn_loop(void)
{
	for (int turn = 0; turn < 4; turn++) {
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

static void publish(struct virtio_device *dev, unsigned queue, unsigned head)
{
	struct vring_avail *avail = (void *)ram(queue * QUEUE + AVAIL);

	avail->ring[published[queue]++ % RING] = (uint16_t)head;
	avail->idx = published[queue];
	put(dev, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	turn_loop();
}

static uint32_t port_of(const struct op *op)
{
	return op->port < 8 ? VSOCK_FIRST_PORT + op->port : op->port;
}

static void send_packet(struct virtio_device *dev, const struct op *op)
{
	struct vring_desc *desc = (void *)ram(VSOCK_TX * QUEUE);
	const struct vring_used *used = (void *)ram(VSOCK_TX * QUEUE + USED);
	struct virtio_vsock_hdr h = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = 52,
		.dst_port = port_of(op),
		.len = op->number == VIRTIO_VSOCK_OP_RW ? op->len : 0,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op->number,
		.flags = op->flags,
		.buf_alloc = op->alloc,
		.fwd_cnt = op->forwarded,
	};
	uint32_t first = HEADER;

	h.src_cid += op->form & 1;
	h.dst_cid += op->form >> 1 & 1;
	h.type += op->form >> 2 & 1;
	h.len += op->form >> 3 & 1;
	h.src_port += op->form >> 6;
	if (op->form & 1 << 4)
		first = op->text_len % 100;
	memcpy(ram(OUT), &h, HEADER);
	desc[0] = (struct vring_desc){RAM + OUT, first, VRING_DESC_F_NEXT, 1};
	desc[1] = (struct vring_desc){
		RAM + OUT + first, op->len,
		op->form & 1 << 5 ? VRING_DESC_F_WRITE : 0, 0};
	publish(dev, VSOCK_TX, 0);
	must(used->idx == published[VSOCK_TX]);
}

static void offer(struct virtio_device *dev, const struct op *op)
{
	struct vring_desc *desc = (void *)ram(VSOCK_RX * QUEUE);
	const struct vring_used *used = (void *)ram(VSOCK_RX * QUEUE + USED);
	unsigned i = published[VSOCK_RX] % RING;

	if ((uint16_t)(published[VSOCK_RX] - used->idx) >= RING)
		return;
	desc[i] = (struct vring_desc){RAM + IN + i * (BUFFER + 16), BUFFER,
				      VRING_DESC_F_WRITE, 0};
	if (op->len)
		desc[i].len = op->len % BUFFER;
	memset(ram(IN + i * (BUFFER + 16)), 0xee, BUFFER + 16);
	publish(dev, VSOCK_RX, i);
}

static void check_packets(void)
{
	const struct vring_desc *desc = (void *)ram(VSOCK_RX * QUEUE);
	const struct vring_used *used = (void *)ram(VSOCK_RX * QUEUE + USED);

	for (; seen != used->idx; seen++) {
		const struct vring_used_elem *e = &used->ring[seen % RING];
		struct virtio_vsock_hdr h;
		uint8_t *at;

		must(e->id < RING && e->len <= desc[e->id].len);
		at = ram(IN + e->id * (BUFFER + 16));
		for (unsigned i = e->len; i < BUFFER + 16; i++)
			must(at[i] == 0xee);
		if (!e->len)
			continue;
		memcpy(&h, at, HEADER);
		must(e->len == HEADER + h.len);
		must(h.src_cid == 2 && h.dst_cid == CID && h.type == 1);
		must(h.op >= 1 && h.op <= 7 && h.flags <= 3);
		must(!h.len || h.op == VIRTIO_VSOCK_OP_RW);
	}
}

static void host_write(struct op *op)
{
	int fd = host[op->port % HOSTS];

	if (fd < 0)
		return;
	if (op->form & 1)
		shutdown(fd, op->form >> 1 & 1 ? SHUT_RD : SHUT_WR);
	(void)!send(fd, op->text, op->text_len % 16,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void host_close(unsigned i)
{
	if (host[i] >= 0)
		close(host[i]);
	host[i] = -1;
}

static void host_connect(struct op *op)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	unsigned i = next_host++ % HOSTS;

	host_close(i);
	host[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", uds);
	must(host[i] >= 0);
	must(!connect(host[i], (struct sockaddr *)&a, sizeof(a)));
	op->port = (uint8_t)i;
	op->form = 0;
	host_write(op);
}

static void host_read(const struct op *op)
{
	static char got[100000];
	unsigned i = next_host % HOSTS;
	int fd = accept(listener, NULL, NULL);

	if (fd >= 0) {
		host_close(i);
		host[i] = fd;
		next_host++;
	}
	if (host[op->port % HOSTS] >= 0)
		(void)!recv(host[op->port % HOSTS], got, sizeof(got),
			    MSG_DONTWAIT);
}

static void run(struct virtio_device *dev, struct op *op)
{
	switch (op->kind % 7) {
	case 0:
		send_packet(dev, op);
		break;
	case 1:
		offer(dev, op);
		break;
	case 2:
		host_connect(op);
		break;
	case 3:
		host_write(op);
		break;
	case 4:
		host_read(op);
		break;
	case 5:
		host_close(op->port % HOSTS);
		break;
	default:
		if (op->number & 1) {
			start(dev);
		} else {
			virtio_quiesce(dev, UINT64_MAX);
			turn_loop();
			virtio_resume(dev);
		}
	}
	turn_loop();
	must(!(virtio_mmio_ops.read(dev, VIRTIO_MMIO_STATUS, 4) & 0x40) ||
	     op->form);
	if (virtio_mmio_ops.read(dev, VIRTIO_MMIO_STATUS, 4) & 0x40)
		start(dev);
	check_packets();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vsock_config config = {CID, uds, NULL};
	struct virtio_slot slot = {.mem = &mem, .loop = &loop};
	struct virtio_device *dev;
	struct err e;
	int fd;

	if (!mem.region_count)
		create();
	slot.irq_fd = irq_fd;
	memset(host, -1, sizeof(host));
	next_host = 0;
	unlink(uds);
	dev = vsock_create(&slot, &config, &e);
	must(dev);
	start(dev);
	turn_loop();
	for (; size >= sizeof(struct op); size -= sizeof(struct op)) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		run(dev, &op);
	}
	must(vsock_conn_count(dev) <= VSOCK_CONNS_MAX);
	virtio_destroy(dev);
	must(access(uds, F_OK));
	for (unsigned i = 0; i < HOSTS; i++)
		host_close(i);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		close(fd);
	return 0;
}
