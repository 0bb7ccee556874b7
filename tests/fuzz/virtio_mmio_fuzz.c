/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that does anything to the registers of a device with two queues,
 * while the guest writes anything to the RAM that its rings may be in.  The
 * device copies what it is given, or keeps it in flight.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "snapshot/codec.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 14, OP_SIZE = 6, WINDOW = 4096 };
enum { OP_READ, OP_WRITE, OP_LOOP, OP_STORE, OP_START, OP_QUIET, OP_STATE };
enum { OP_COUNT = OP_STATE + 1 };

struct device {
	struct virtio_device dev;
	struct virtq_chain chain;
	uint8_t config[24];
};

static struct guest_mem mem;
static struct event_loop loop;
static int irq_fd;

static void kick(struct virtio_device *dev, unsigned queue)
{
	struct device *d = container_of(dev, struct device, dev);
	struct virtq *vq = &dev->queue[queue];
	uint8_t buf[512];

	must(!dev->quiesced && dev->status & VIRTIO_CONFIG_S_DRIVER_OK);
	while (virtq_pop(vq, &d->chain)) {
		uint64_t len = min_u64(min_u64(d->chain.out_len, sizeof(buf)),
				       d->chain.in_len);

		must(virtq_read(&d->chain, 0, buf, len));
		must(virtq_write(&d->chain, 0, buf, len));
		if (queue == 1)
			dev->inflight++;
		else
			virtq_push(vq, &d->chain, (uint32_t)len);
	}
}

static bool drain(struct virtio_device *dev, uint64_t deadline_ns)
{
	(void)deadline_ns;
	dev->inflight = 0;
	return true;
}

static const struct virtio_kind kind = {.device_id = 42};

static const struct virtio_ops ops = {
	.kind = &kind,
	.queue_count = 2,
	.writable_at = 4,
	.writable_len = 9,
	.kick = kick,
	.drain = drain,
};

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

static void turn_loop(void)
{
	int n = epoll_wait(loop.epoll_fd, loop.batch, LOOP_BATCH, 0);

	for (int i = 0; i < n; i++) {
		struct event_source *source = loop.batch[i].data.ptr;

		source->ready(source, loop.batch[i].events);
	}
}

static void put(struct virtio_device *dev, uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(dev, reg, 4, value);
}

/* What a good driver does, or fuzzing would hardly get beyond it. */
static void start(struct virtio_device *dev, const uint8_t op[OP_SIZE])
{
	static const uint32_t status[] = {0, 1, 3, 11};

	for (unsigned i = 0; i < ARRAY_SIZE(status); i++) {
		put(dev, VIRTIO_MMIO_STATUS, status[i]);
		put(dev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i & 1);
		put(dev, VIRTIO_MMIO_DRIVER_FEATURES,
		    i & 1 ? 1 : (op[1] & 3u) << 28);
	}
	for (unsigned i = 0; i < 2; i++) {
		put(dev, VIRTIO_MMIO_QUEUE_SEL, i);
		put(dev, VIRTIO_MMIO_QUEUE_NUM, 1u << op[2] % 10);
		put(dev, VIRTIO_MMIO_QUEUE_DESC_LOW, RAM + op[3] * 16u);
		put(dev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, RAM + op[4] * 16u);
		put(dev, VIRTIO_MMIO_QUEUE_USED_LOW, RAM + op[5] * 32u);
		put(dev, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	put(dev, VIRTIO_MMIO_STATUS, 15);
}

/* Save, and load what was saved with one byte changed. */
static void save_and_load(struct virtio_device *dev, const uint8_t op[OP_SIZE])
{
	struct snap out, in;
	const void *data;
	struct err e;
	size_t len;

	virtio_quiesce(dev, UINT64_MAX);
	snap_save(&out, 1);
	virtio_state(dev, &out);
	data = snap_data(&out, &len);
	out.out[(op[1] | op[2] << 8) % len] ^= op[3];
	put(dev, VIRTIO_MMIO_STATUS, 0);
	snap_load(&in, data, len, 1);
	virtio_state(dev, &in);
	if (snap_finish(&in, &e))
		put(dev, VIRTIO_MMIO_STATUS, 0);
	snap_fini(&out);
	virtio_resume(dev);
}

static void operate(struct device *d, const uint8_t op[OP_SIZE])
{
	unsigned len = 1u << (op[0] >> 4 & 3);
	uint64_t offset = op[0] & 64 ? op[1] * 4u : op[1] * 16u + op[2] % 16u;
	uint32_t value;
	uint64_t got;

	memcpy(&value, op + 2, sizeof(value));
	offset = min_u64(offset, WINDOW - len);
	switch (op[0] % OP_COUNT) {
	case OP_READ:
		got = virtio_mmio_ops.read(&d->dev, offset, len);
		must(len == 8 || !(got >> 8 * len));
		break;
	case OP_WRITE:
		virtio_mmio_ops.write(&d->dev, offset, len, value);
		break;
	case OP_LOOP:
		turn_loop();
		break;
	case OP_STORE:
		memcpy(mem.region[0].host + op[1] * 16u + op[0] % 16u, &value,
		       sizeof(value));
		break;
	case OP_START:
		start(&d->dev, op);
		break;
	case OP_QUIET:
		virtio_quiesce(&d->dev, UINT64_MAX);
		must(!d->dev.inflight);
		if (op[1] & 1)
			virtio_resume(&d->dev);
		break;
	default:
		save_and_load(&d->dev, op);
	}
	/* What is beyond the driver's part of the configuration stays. */
	must(!memcmp(d->config, "\1\1\1\1", 4));
	must(!memcmp(d->config + 13, "\1\1\1\1\1\1\1\1\1\1\1", 11));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct device d;
	struct virtio_slot slot = {.mem = &mem, .loop = &loop};
	struct err e;

	if (!mem.region_count)
		create();
	slot.irq_fd = irq_fd;
	memset(mem.region[0].host, 0, RAM_SIZE);
	memset(&d, 0, sizeof(d));
	must(!virtio_init(&d.dev, &ops, &slot, 0xff0000, "fuzz", &e));
	memset(d.config, 1, sizeof(d.config));
	d.dev.config = d.config;
	d.dev.config_len = sizeof(d.config);
	for (; size >= OP_SIZE; data += OP_SIZE, size -= OP_SIZE)
		operate(&d, data);
	virtio_fini(&d.dev);
	return 0;
}
