/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that asks a disk for anything: requests whose header, buffers and
 * ranges the input describes, with the ring itself in order.  Nothing may be
 * touched but what a request names; the file keeps its size; every request is
 * given back, with a status where there is room for one.  So it is with a ring
 * of the host's, whose answers the input chooses.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/mmio.h"
#include "tests/fake/uring_fake.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 16, RING = 16, DISK = 64 * 512 };
enum { AVAIL = 0x400, USED = 0x800, DATA = 0x1000 };
enum { BUFFERS = 6 };

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd, disk_fd;
static char disk_path[64];
static uint16_t published;

/* Of a request: what the input says, and where the guest's things are. */
struct op {
	uint32_t type;
	uint64_t sector;
	uint8_t writable; /* a bit per buffer */
	uint8_t count;
	uint8_t size[BUFFERS]; /* see length() */
	uint8_t pad[4];
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
	disk_fd = memfd_create("disk", MFD_CLOEXEC);
	must(irq_fd >= 0 && disk_fd >= 0 && !ftruncate(disk_fd, DISK));
	snprintf(disk_path, sizeof(disk_path), "/proc/self/fd/%d", disk_fd);
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
	put(dev, VIRTIO_MMIO_QUEUE_NUM, RING);
	put(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, RAM);
	put(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM + AVAIL);
	put(dev, VIRTIO_MMIO_QUEUE_USED_LOW, RAM + USED);
	put(dev, VIRTIO_MMIO_QUEUE_READY, 1);
	put(dev, VIRTIO_MMIO_STATUS, 15);
	published = 0;
}

static void turn_loop(void)
{
	int n = epoll_wait(loop.epoll_fd, loop.batch, LOOP_BATCH, 0);

	for (int i = 0; i < n; i++) {
		struct event_source *source = loop.batch[i].data.ptr;

		source->ready(source, loop.batch[i].events);
	}
}

/* Lengths that matter: around headers, segments and sectors; then any. */
static uint32_t length(uint8_t code)
{
	static const uint16_t common[] = {0,   1,   15,  16,   17,  20,  31,
					  32,  511, 512, 513,  528, 529, 1024,
					  256, 496, 33,  4096, 288, 8192};

	return code < ARRAY_SIZE(common) ? common[code] : code * 16u;
}

/* Writes the chain; where its last writable byte is, or 0. */
static unsigned write_chain(const struct op *op)
{
	struct vring_desc *desc = (void *)ram(0);
	unsigned count = 1 + op->count % BUFFERS, at = DATA, status = 0;

	for (unsigned i = 0; i < count; i++) {
		bool writable = op->writable >> i & 1;
		uint32_t len = length(op->size[i]);

		desc[i] = (struct vring_desc){
			.addr = RAM + at,
			.len = len,
			.flags =
				(uint16_t)((writable ? VRING_DESC_F_WRITE : 0) |
					   (i + 1 < count ? VRING_DESC_F_NEXT
							  : 0)),
			.next = (uint16_t)(i + 1),
		};
		if (writable && len)
			status = at + len - 1;
		at += len + 3; /* with a gap that nobody may touch */
	}
	return status;
}

/* Out buffers come first and hold header and ranges. */
static void write_header(const struct op *op, const uint8_t *rest, size_t len)
{
	struct virtio_blk_outhdr header = {.type = op->type % 16,
					   .sector = op->sector % 70};
	uint8_t bytes[512];

	if (op->pad[0] & 1)
		header.sector = op->sector;
	if (op->pad[0] & 2)
		header.type = op->type;
	memset(bytes, 0x33, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), rest,
	       min_u64(len, sizeof(bytes) - sizeof(header)));
	for (unsigned i = 0, at = 0; i < RING && at < sizeof(bytes); i++) {
		const struct vring_desc *d = (void *)ram(i * 16);
		unsigned part = (unsigned)min_u64(d->len, sizeof(bytes) - at);

		if (!(d->flags & VRING_DESC_F_WRITE))
			memcpy(ram((unsigned)(d->addr - RAM)), bytes + at,
			       part);
		at += part;
		if (!(d->flags & VRING_DESC_F_NEXT))
			break;
	}
}

/* The ring's next answer; in the end it does what it was asked for. */
static void answer(struct virtio_device *dev, const struct op *op,
		   unsigned turn)
{
	static const int results[] = {URING_FAKE_DO, -EAGAIN, -EINTR, -EIO,
				      -EOPNOTSUPP,   0,       -ENOSPC};
	unsigned which = (op->pad[1] + turn * op->pad[2]) % 8;

	if (!uring_fake.waiting)
		return;
	if (op->pad[3] & 1 && !turn) {
		must(!virtio_quiesce(dev, 0));
		virtio_resume(dev);
	}
	if (turn > 8 || which >= ARRAY_SIZE(results))
		uring_fake_complete(0, URING_FAKE_DO, turn <= 8);
	else
		uring_fake_complete(0, results[which], false);
}

static void request(struct virtio_device *dev, const struct op *op,
		    const uint8_t *rest, size_t len)
{
	const struct vring_used *used = (void *)ram(USED);
	struct vring_avail *avail = (void *)ram(AVAIL);
	unsigned status, turn = 0;
	uint16_t before = used->idx;

	memset(ram(DATA), 0xee, RAM_SIZE - DATA);
	status = write_chain(op);
	write_header(op, rest, len);
	avail->ring[published++ % RING] = 0;
	avail->idx = published;
	put(dev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	do { /* a slow machine's turn may end within a request */
		turn_loop();
		answer(dev, op, turn++);
	} while (dev->inflight);
	if (virtio_mmio_ops.read(dev, VIRTIO_MMIO_STATUS, 4) & 0x40) {
		start(dev); /* a chain in the wrong order */
		memset(ram(USED), 0, 4);
		memset(ram(AVAIL), 0, 4);
		return;
	}
	must((uint16_t)(used->idx - before) == 1);
	must(used->ring[before % RING].id == 0);
	if (used->ring[before % RING].len)
		must(status && *ram(status) <= 2);
}

/* The gaps between buffers are as they were. */
static void check_gaps(void)
{
	for (unsigned i = 0; i < RING; i++) {
		const struct vring_desc *d = (void *)ram(i * 16);
		unsigned end = (unsigned)(d->addr - RAM) + d->len;

		for (unsigned j = 0; j < 3; j++)
			must(*ram(end + j) == 0xee);
		if (!(d->flags & VRING_DESC_F_NEXT))
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block_config config = {.id = (char *)"fuzz"};
	struct virtio_slot slot = {.mem = &mem, .loop = &loop};
	struct virtio_device *dev;
	struct err e;

	if (!size)
		return 0;
	if (!mem.region_count)
		create();
	slot.irq_fd = irq_fd;
	config.path = disk_path;
	config.read_only = data[0] & 1;
	config.writeback = data[0] & 2;
	config.async = data[0] & 4;
	uring_fake_reset();
	uring_fake.hold = data[0] & 8;
	memset(ram(0), 0, RAM_SIZE);
	dev = block_create(&slot, &config, &e);
	must(dev);
	start(dev);
	turn_loop();
	for (data++, size--; size >= sizeof(struct op);) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		request(dev, &op, data, size);
		check_gaps();
	}
	must(!dev->inflight);
	virtio_destroy(dev);
	must(lseek(disk_fd, 0, SEEK_END) == DISK);
	return 0;
}
