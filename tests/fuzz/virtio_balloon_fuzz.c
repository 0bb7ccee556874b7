/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that gives pages, hints, reports and statistics of all kinds, and
 * a client that interferes; the rings themselves are in order.  A page is
 * zero after it was given, and no other page changes; every request is given
 * back, but for one of statistics; what is saved can be loaded.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/mmio.h"
#include "snapshot/codec.h"
#include "tests/fuzz/fuzz.h"

enum { PAGE = 4096, PAGES = 256, RAM = 0x80000000, RING = 16 };
/* A page of rings for each queue, two of lists, and what may be given. */
enum { LISTS = 8, FIRST = 10, BUFFERS = 4, LIST_MAX = PAGE };

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd;
static struct virtio_device *dev;
static struct balloon_config config;
static uint16_t published[VIRTIO_QUEUES_MAX];
static uint16_t used[VIRTIO_QUEUES_MAX];
static bool named[PAGES]; /* by the request */

struct op {
	uint8_t kind, queue, count, writable; /* a bit per buffer */
	uint16_t where[BUFFERS], len[BUFFERS];
	uint32_t value;
};

static uint8_t *ram(unsigned at)
{
	return mem.region[0].host + at;
}

static void create_world(void)
{
	const struct guest_mem_region region = {.gpa = RAM,
						.size = PAGES * PAGE};
	const struct log_config quiet = {.level = LOG_OFF, .fd = 2};
	struct err e;

	log_configure(&quiet);
	must(!guest_mem_create(&mem, &region, 1, &e));
	guest_mem_expect_little(&mem, RAM, PAGES * PAGE);
	must(!loop_init(&loop, &e));
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(irq_fd >= 0);
}

static void create_device(void)
{
	const struct virtio_slot slot = {
		.mem = &mem, .loop = &loop, .irq_fd = irq_fd};
	struct err e;

	dev = balloon_create(&slot, &config, &e);
	must(dev);
}

/* Until nothing is ready: a slow machine's turn may end within a request. */
static void turn_loop(void)
{
	int n;

	do {
		n = epoll_wait(loop.epoll_fd, loop.batch, LOOP_BATCH, 0);
		for (int i = 0; i < n; i++) {
			struct event_source *source = loop.batch[i].data.ptr;

			source->ready(source, loop.batch[i].events);
		}
	} while (n > 0);
}

/* -------------------------------------------------------------- the driver */

static void put(uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(dev, reg, 4, value);
}

static void start(uint32_t features)
{
	memset(ram(0), 0, LISTS * PAGE);
	put(VIRTIO_MMIO_STATUS, 0);
	put(VIRTIO_MMIO_STATUS, 1);
	put(VIRTIO_MMIO_STATUS, 3);
	put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(VIRTIO_MMIO_DRIVER_FEATURES, features & (uint32_t)dev->offered);
	put(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	put(VIRTIO_MMIO_STATUS, 11);
	for (unsigned i = 0; i < virtio_queue_count(dev); i++) {
		put(VIRTIO_MMIO_QUEUE_SEL, i);
		put(VIRTIO_MMIO_QUEUE_NUM, RING);
		put(VIRTIO_MMIO_QUEUE_DESC_LOW, RAM + i * PAGE);
		put(VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM + i * PAGE + 1024);
		put(VIRTIO_MMIO_QUEUE_USED_LOW, RAM + i * PAGE + 2048);
		put(VIRTIO_MMIO_QUEUE_READY, 1);
		published[i] = used[i] = 0;
	}
	put(VIRTIO_MMIO_STATUS, 15);
	turn_loop();
}

static const struct vring_used *used_ring(unsigned queue)
{
	return (void *)ram(queue * PAGE + 2048);
}

static void publish(unsigned queue)
{
	struct vring_avail *avail = (void *)ram(queue * PAGE + 1024);

	avail->ring[published[queue] % RING] = published[queue] % RING;
	avail->idx = ++published[queue];
}

/* A number of a page: near those that exist, or any. */
static uint32_t pfn_of(uint32_t value)
{
	return value >> 31 ? value : RAM / PAGE + FIRST - 2 + value % PAGES;
}

static void name_page(uint32_t pfn)
{
	if (pfn >= RAM / PAGE && pfn - RAM / PAGE < PAGES)
		named[pfn - RAM / PAGE] = true;
}

static void name_range(uint64_t gpa, uint64_t len)
{
	for (uint64_t at = align_up(gpa, PAGE); at + PAGE <= gpa + len;
	     at += PAGE)
		name_page((uint32_t)(at / PAGE));
}

/* Of the out buffers together, which lie in a row. */
static void write_list(unsigned queue, const uint8_t *data, size_t size,
		       unsigned len)
{
	memset(ram(LISTS * PAGE), 0, LIST_MAX);
	memcpy(ram(LISTS * PAGE), data, min_u64(size, LIST_MAX));
	for (unsigned at = 0; queue < 2 && at + 4 <= LIST_MAX; at += 4) {
		uint32_t word;

		memcpy(&word, ram(LISTS * PAGE + at), 4);
		word = pfn_of(word);
		/* Not what the driver itself uses. */
		if (word >= RAM / PAGE && word < RAM / PAGE + FIRST)
			word = 0;
		memcpy(ram(LISTS * PAGE + at), &word, 4);
		if (queue == 0 && at + 4 <= len)
			name_page(word);
	}
}

/* Writes the chain; how many bytes are out. */
static unsigned write_chain(unsigned queue, const struct op *op)
{
	struct vring_desc *desc = (void *)ram(queue * PAGE);
	unsigned count = 1 + op->count % BUFFERS, out = 0;

	/* The chain begins where its head says, and goes round. */
	for (unsigned i = 0; i < count; i++) {
		bool writable = op->writable >> i & 1;
		unsigned at = (published[queue] + i) % RING;
		uint32_t len = op->len[i];
		uint64_t gpa = RAM + LISTS * PAGE + out;

		if (writable) {
			gpa = RAM + FIRST * PAGE + op->where[i] * 16u;
			gpa = min_u64(gpa, RAM + (PAGES - 1) * PAGE);
			len = (uint32_t)min_u64(len * 16ull,
						RAM + PAGES * PAGE - gpa);
			name_range(gpa, len);
		} else {
			len = (uint32_t)min_u64(len, LIST_MAX - out);
			out += len;
		}
		desc[at] = (struct vring_desc){
			.addr = gpa,
			.len = len,
			.flags =
				(uint16_t)((writable ? VRING_DESC_F_WRITE : 0) |
					   (i + 1 < count ? VRING_DESC_F_NEXT
							  : 0)),
			.next = (uint16_t)((at + 1) % RING),
		};
	}
	return out;
}

/* ------------------------------------------------------------------ judging */

/* No page changed but those that were named; @all of which are zero. */
static void check_pages(bool all)
{
	for (unsigned i = FIRST; i < PAGES; i++) {
		uint8_t byte = *ram(i * PAGE);

		must(byte == 0x55 || (named[i] && byte == 0));
		must(byte == *ram(i * PAGE + PAGE - 1));
		must(!all || !named[i] || byte == 0);
		if (named[i])
			memset(ram(i * PAGE), 0x55, PAGE);
	}
	memset(named, 0, sizeof(named));
}

static void request(const struct op *op, const uint8_t *data, size_t size)
{
	unsigned queue = op->queue % virtio_queue_count(dev);
	uint16_t now;
	unsigned out;

	out = write_chain(queue, op);
	write_list(queue, data, size, out);
	publish(queue);
	put(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	turn_loop();
	/* A chain in the wrong order, or of descriptors that still are one. */
	if (virtio_mmio_ops.read(dev, VIRTIO_MMIO_STATUS, 4) & 0x40) {
		check_pages(false);
		start(op->value);
		return;
	}
	now = used_ring(queue)->idx;
	must((uint16_t)(now - used[queue]) <= 1);
	if (queue < 2)
		must((uint16_t)(now - used[queue]) == 1);
	if (now != used[queue])
		must(used_ring(queue)->ring[used[queue] % RING].len == 0);
	used[queue] = now;
	check_pages(queue == 0 && !op->writable);
	/* Held, or of a queue that does not exist for this driver: a ring with
	 * more than fits would not be in order. */
	if ((uint16_t)(published[queue] - used[queue]) == RING)
		start(op->value);
}

static void save_and_load(void)
{
	static uint8_t copy[4096];
	struct snap saved, loaded;
	const void *data;
	struct err e;
	size_t len;

	virtio_quiesce(dev, UINT64_MAX);
	snap_save(&saved, 1);
	virtio_state(dev, &saved);
	must(!snap_finish(&saved, &e));
	data = snap_data(&saved, &len);
	must(len <= sizeof(copy));
	memcpy(copy, data, len);
	snap_fini(&saved);
	virtio_destroy(dev);
	create_device();
	virtio_quiesce(dev, UINT64_MAX);
	snap_load(&loaded, copy, len, 1);
	virtio_state(dev, &loaded);
	must(!snap_finish(&loaded, &e));
	snap_fini(&loaded);
	virtio_resume(dev);
	turn_loop();
}

static void ask(const struct op *op)
{
	struct balloon_hinting_status status;
	struct balloon_stats stats;
	struct err e;

	switch (op->queue % 6) {
	case 0:
		if (!balloon_set_target(dev, op->value, &e))
			must(op->value <= PAGES * PAGE >> 20);
		break;
	case 1:
		balloon_hinting_start(dev, op->value & 1, &e);
		break;
	case 2:
		balloon_hinting_stop(dev, &e);
		break;
	case 3:
		balloon_set_stats_interval(dev, (uint16_t)op->value, &e);
		break;
	case 4:
		must(!balloon_hinting_status(dev, &status, &e) ==
		     config.free_page_hinting);
		break;
	default:
		must(!balloon_stats(dev, &stats, &e) ==
		     !!config.stats_polling_interval_s);
	}
	turn_loop();
}

static void step(const struct op *op, const uint8_t *rest, size_t size)
{
	switch (op->kind % 8) {
	case 0:
		ask(op);
		break;
	case 1:
		put(VIRTIO_MMIO_CONFIG + op->queue % 20, op->value);
		break;
	case 2:
		save_and_load();
		break;
	case 3:
		start(op->value);
		break;
	default:
		request(op, rest, size);
	}
	/* Statistics that were held came back meanwhile. */
	for (unsigned i = 2; i < virtio_queue_count(dev); i++)
		used[i] = used_ring(i)->idx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (!mem.region_count)
		create_world();
	memset(ram(FIRST * PAGE), 0x55, (PAGES - FIRST) * PAGE);
	memset(named, 0, sizeof(named));
	config = (struct balloon_config){
		.deflate_on_oom = data[0] & 1,
		.stats_polling_interval_s = data[0] & 2 ? 600 : 0,
		.free_page_hinting = data[0] & 4,
		.free_page_reporting = data[0] & 8,
	};
	create_device();
	start(UINT32_MAX);
	for (data++, size--; size >= sizeof(struct op);) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		step(&op, data, size);
	}
	must(!dev->inflight);
	virtio_destroy(dev);
	return 0;
}
