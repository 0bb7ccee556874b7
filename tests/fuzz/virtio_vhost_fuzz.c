/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver and a vhost-net that do anything: the driver negotiates, resets and
 * changes its rings, and vhost-net, which is played here, refuses calls, uses
 * buffers, marks pages and gives up.  vhost-net is never told of memory that is
 * not the guest's, has rings only while the device says so, and what it marked
 * is marked in RAM when it has stopped.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net/net.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 16, QUEUE = 0x4000, NONE = -1 };
enum { AVAIL = 0x1000, USED = 0x2000 };

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd;

static struct {
	int fd;
	uint64_t offers, features;
	unsigned calls, fail_at; /* the n-th is refused, from 1; 0: none */
	uint64_t *log;
	struct {
		unsigned num, base;
		struct vhost_vring_addr addr;
		int call, error, backend;
	} ring[NET_QUEUES];
} vhost;

struct op {
	uint8_t kind, queue;
	uint16_t a;
	uint32_t b;
};

/* ------------------------------------------------------------ vhost, played */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/vhost-net") != 0)
		return __real_open64(path, flags);
	vhost.fd = eventfd(0, EFD_CLOEXEC);
	return vhost.fd;
}

static uint8_t *pointer(uint64_t address)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): a kernel's ABI */
	return (uint8_t *)(uintptr_t)address;
}

static bool is_ram(uint64_t address, uint64_t len)
{
	const uint8_t *at = pointer(address), *ram = mem.region[0].host;

	return at >= ram && at <= ram + RAM_SIZE &&
	       len <= (uint64_t)(ram + RAM_SIZE - at);
}

static void set_memory(const struct vhost_memory *table)
{
	must(table->nregions == 1);
	must(table->regions[0].guest_phys_addr == RAM);
	must(is_ram(table->regions[0].userspace_addr, RAM_SIZE));
}

static void set_address(const struct vhost_vring_addr *addr)
{
	unsigned num = vhost.ring[addr->index].num;

	must(num && num <= VIRTQ_SIZE_MAX);
	must(is_ram(addr->desc_user_addr, 16ull * num));
	must(is_ram(addr->avail_user_addr, 6 + 2ull * num));
	must(is_ram(addr->used_user_addr, 6 + 8ull * num));
	must(!(addr->flags & 1u << VHOST_VRING_F_LOG) == !vhost.log);
	vhost.ring[addr->index].addr = *addr;
}

static void set_ring(unsigned long request, void *arg)
{
	const struct vhost_vring_file *file = arg;
	struct vhost_vring_state *state = arg;

	must(state->index < NET_QUEUES);
	if (request == VHOST_SET_VRING_NUM)
		vhost.ring[state->index].num = state->num;
	else if (request == VHOST_SET_VRING_BASE)
		vhost.ring[state->index].base = state->num;
	else if (request == VHOST_GET_VRING_BASE)
		state->num = vhost.ring[state->index].base;
	else if (request == VHOST_SET_VRING_ADDR)
		set_address(arg);
	else if (request == VHOST_SET_VRING_CALL)
		vhost.ring[file->index].call = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		vhost.ring[file->index].error = file->fd;
	else if (request == VHOST_NET_SET_BACKEND)
		vhost.ring[file->index].backend = file->fd;
	else
		must(request == VHOST_SET_VRING_KICK && file->fd >= 0);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd != vhost.fd)
		return __real_ioctl(fd, request, arg);
	/* What cannot fail on a ring that was set up does not. */
	if (request != VHOST_GET_VRING_BASE &&
	    request != VHOST_NET_SET_BACKEND &&
	    ++vhost.calls == vhost.fail_at) {
		errno = EFAULT;
		return -1;
	}
	if (request == VHOST_GET_FEATURES)
		*(uint64_t *)arg = vhost.offers;
	else if (request == VHOST_SET_FEATURES)
		vhost.features = *(uint64_t *)arg;
	else if (request == VHOST_SET_MEM_TABLE)
		set_memory(arg);
	else if (request == VHOST_SET_LOG_BASE)
		vhost.log = (uint64_t *)(void *)pointer(*(uint64_t *)arg);
	else if (request != VHOST_SET_OWNER)
		set_ring(request, arg);
	return 0;
}

/* --------------------------------------------------------------- the driver */

static void put(struct virtio_device *dev, uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(dev, reg, 4, value);
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

static void set_queue(struct virtio_device *dev, unsigned queue,
		      const struct op *op)
{
	gpa_t at = RAM + queue * QUEUE + (op->a & 0xff) * 16u;

	put(dev, VIRTIO_MMIO_QUEUE_SEL, queue);
	put(dev, VIRTIO_MMIO_QUEUE_NUM, 1u << op->b % 10);
	put(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)at);
	put(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)at + AVAIL);
	put(dev, VIRTIO_MMIO_QUEUE_USED_LOW,
	    (uint32_t)at + USED + (op->b >> 8 & 1 ? RAM_SIZE : 0));
	put(dev, VIRTIO_MMIO_QUEUE_READY, !(op->b >> 9 & 1));
}

static void start(struct virtio_device *dev, const struct op *op)
{
	static const uint32_t status[] = {0, 1, 3};

	for (unsigned i = 0; i < ARRAY_SIZE(status); i++)
		put(dev, VIRTIO_MMIO_STATUS, status[i]);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES, op->b & (uint32_t)dev->offered);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(dev, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	put(dev, VIRTIO_MMIO_STATUS, 11);
	for (unsigned i = 0; i < NET_QUEUES; i++)
		set_queue(dev, i,
			  &(struct op){.b = 4 | (op->a >> i * 4 & 3u) << 8});
	put(dev, VIRTIO_MMIO_STATUS, 15);
}

/* ----------------------------------------------------- what vhost does then */

static bool has_ring(unsigned queue)
{
	return vhost.ring[queue].backend != NONE;
}

static void use_buffers(const struct op *op)
{
	unsigned q = op->queue % NET_QUEUES;
	struct vring_used *used;

	if (!has_ring(q))
		return;
	used = (void *)pointer(vhost.ring[q].addr.used_user_addr);
	used->idx = (uint16_t)(used->idx + op->a);
	vhost.ring[q].base = (uint16_t)(vhost.ring[q].base + op->a);
	must(vhost.ring[q].call >= 0);
	(void)!eventfd_write(vhost.ring[q].call, 1);
}

static void mark(const struct op *op)
{
	/* Also pages that RAM does not have: the log begins at 0. */
	uint64_t page = (RAM + op->b % (2 * RAM_SIZE)) / VHOST_PAGE_SIZE;

	if (vhost.log && page < (RAM + RAM_SIZE) / VHOST_PAGE_SIZE &&
	    (has_ring(0) || has_ring(1)))
		vhost.log[page / 64] |= 1ull << page % 64;
}

static void give_up(const struct op *op)
{
	unsigned q = op->queue % NET_QUEUES;

	if (has_ring(q))
		(void)!eventfd_write(vhost.ring[q].error, 1);
}

/* Nothing is left in its log, and it has no ring. */
static void check_stopped(void)
{
	must(!has_ring(0) && !has_ring(1));
	for (uint64_t i = RAM / VHOST_PAGE_SIZE / 64;
	     vhost.log && i < (RAM + RAM_SIZE) / VHOST_PAGE_SIZE / 64; i++)
		must(!vhost.log[i]);
}

static void run(struct virtio_device *dev, const struct op *op)
{
	switch (op->kind % 9) {
	case 0:
		start(dev, op);
		break;
	case 1:
		put(dev, VIRTIO_MMIO_QUEUE_NOTIFY, op->queue % 3);
		break;
	case 2:
		use_buffers(op);
		break;
	case 3:
		mark(op);
		break;
	case 4:
		give_up(op);
		break;
	case 5:
		set_queue(dev, op->queue % NET_QUEUES, op);
		break;
	case 6:
		must(virtio_quiesce(dev, UINT64_MAX) && !dev->inflight);
		check_stopped();
		virtio_resume(dev);
		break;
	case 7:
		put(dev, op->a & 0x1fc, op->b);
		break;
	default:
		(void)virtio_mmio_ops.read(dev, op->a & 0x1fc, 4);
	}
	turn_loop();
}

static void create(void)
{
	const struct guest_mem_region region = {.gpa = RAM, .size = RAM_SIZE};
	struct err e;

	log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
	must(!guest_mem_create(&mem, &region, 1, &e));
	must(!loop_init(&loop, &e));
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(irq_fd >= 0);
}

static struct virtio_device *make(void)
{
	struct net_config config = {.id = (char *)"fuzz"};
	struct virtio_slot slot = {
		.mem = &mem, .loop = &loop, .irq_fd = irq_fd};
	struct virtio_device *dev;
	struct err e = {""};
	int fds[2];

	must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds));
	close(fds[0]);
	dev = net_create_on(&slot, &config, fds[1], &e);
	must(dev);
	if (!net_use_vhost(dev, &e))
		return dev;
	must(e.text[0]);
	virtio_destroy(dev);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *dev;
	struct err e;

	if (size < 2)
		return 0;
	if (!mem.region_count)
		create();
	memset(mem.region[0].host, 0, RAM_SIZE);
	memset(&vhost, 0, sizeof(vhost));
	vhost.fd = vhost.ring[0].backend = vhost.ring[1].backend = NONE;
	vhost.offers = data[0] & 1 ? 0 : UINT64_MAX;
	vhost.fail_at = data[1] % 64;
	if (data[0] & 2)
		must(!guest_mem_track(&mem, &e));
	dev = make();
	for (data += 2, size -= 2; dev && size >= sizeof(struct op);) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		run(dev, &op);
	}
	if (dev) {
		must(virtio_quiesce(dev, UINT64_MAX));
		check_stopped();
	}
	virtio_destroy(dev);
	guest_mem_untrack(&mem);
	return 0;
}
