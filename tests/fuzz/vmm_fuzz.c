/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does anything, in a whole VM: it reads and writes registers of
 * all devices, from the main thread as from a vCPU's, and has anything in its
 * rings; the host sends, types, presses, changes disks and limits; the VM is
 * paused, resumed, saved and restored in between, and requests of the host's
 * ring are answered in any order and way.  An input is a list of struct op.
 *
 * Beside what sanitizers see: what was saved of RAM is RAM, to the byte, also
 * as a diff; and whatever the guest did, what was saved of it can be restored.
 */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/machine/mem.h"
#include "core/machine/mmio_bus.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/net/net.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/uring_fake.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/vmm_world.h"
#include "vmm/config/bodies.h"
#include "vmm/vm/vm_internal.h"

enum {
	SLOTS = 6, /* virtio devices: balloon, disks, network, vsock, entropy */
	QUEUES = 4, /* of a device, each in a page and another */
	RING = 16,
	AVAIL = 0x400,
	USED = 1 << 17,  /* in pages that nobody but devices writes to */
	RINGS = 8 << 20, /* where they are in RAM */
	DATA = RINGS + (1 << 18),
	DATA_SIZE = 1 << 17,
	SNAPSHOTS_MAX = 4,
	VCPU_STEPS_MAX = FAKE_STEPS_MAX,
};

struct op {
	uint8_t kind, where;
	uint16_t a;
	uint32_t b;
};

static unsigned snapshots, vcpu_steps;

/* ---------------------------------------------------------------- the guest */

static uint8_t *ram(uint32_t at)
{
	return vm_memory(vmm_world.vm)->region[0].host + at;
}

/* As KVM's dirty log would. */
static void store(uint32_t at, const void *data, uint32_t len)
{
	memcpy(ram(at), data, len);
	guest_mem_written(vm_memory(vmm_world.vm), ram(at), len);
}

static gpa_t gpa_of(uint32_t at)
{
	return vm_memory(vmm_world.vm)->region[0].gpa + at;
}

static gpa_t window(const struct op *op)
{
	const gpa_t others[] = {arch_layout.boot_timer, arch_layout.rtc,
				arch_layout.serial, arch_layout.gpio};
	unsigned i = op->where % (SLOTS + ARRAY_SIZE(others));

	return i < SLOTS ? arch_layout.virtio + i * arch_layout.device_size
			 : others[i - SLOTS];
}

static uint32_t ring_at(unsigned slot, unsigned queue)
{
	return RINGS + (slot * QUEUES + queue % QUEUES) * 0x1000;
}

static void put(gpa_t window_at, uint64_t reg, uint32_t value)
{
	mmio_bus_write(&vmm_world.vm->bus, window_at + reg, 4, value);
}

/* A reset of a device waits for its requests. */
static void use_register(const struct op *op, bool write)
{
	gpa_t at = window(op) + (op->a & 0xfff);
	unsigned len = 1u << (op->a >> 12 & 3);

	vmm_world_finish_requests();
	if (write)
		mmio_bus_write(&vmm_world.vm->bus, at, len, op->b);
	else
		(void)mmio_bus_read(&vmm_world.vm->bus, at, len);
}

static void set_queue(unsigned slot, unsigned queue)
{
	gpa_t w = arch_layout.virtio + slot * arch_layout.device_size;
	uint64_t at = gpa_of(ring_at(slot, queue));
	static const uint8_t zeroes[0x1000];

	store(ring_at(slot, queue), zeroes, sizeof(zeroes));
	put(w, VIRTIO_MMIO_QUEUE_SEL, queue);
	put(w, VIRTIO_MMIO_QUEUE_NUM, RING);
	put(w, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)at);
	put(w, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)at + AVAIL);
	put(w, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)at + USED);
	put(w, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* A driver starts, with some of the features. */
static void start(const struct op *op)
{
	unsigned slot = op->where % SLOTS;
	gpa_t w = arch_layout.virtio + slot * arch_layout.device_size;
	uint32_t offered;

	vmm_world_finish_requests();
	put(w, VIRTIO_MMIO_STATUS, 0);
	put(w, VIRTIO_MMIO_STATUS, 1);
	put(w, VIRTIO_MMIO_STATUS, 3);
	put(w, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	offered = (uint32_t)mmio_bus_read(&vmm_world.vm->bus,
					  w + VIRTIO_MMIO_DEVICE_FEATURES, 4);
	put(w, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(w, VIRTIO_MMIO_DRIVER_FEATURES, offered & op->b);
	put(w, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	put(w, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	put(w, VIRTIO_MMIO_STATUS, 11);
	for (unsigned i = 0; i < 5; i++)
		set_queue(slot, i);
	put(w, VIRTIO_MMIO_STATUS, 15);
}

static uint32_t length(unsigned code)
{
	static const uint16_t common[] = {1,  4,   16,  44,   10,   1526, 512,
					  12, 513, 528, 4096, 8192, 17,   0};

	return code < ARRAY_SIZE(common) ? common[code] : code * 257u;
}

/* Bits of @b: where in the data, flags, a code of a length, the next one. */
static void descriptor(const struct op *op)
{
	uint32_t at = ring_at(op->where % SLOTS, op->where / SLOTS);
	struct vring_desc d = {
		.addr = gpa_of(DATA) + (op->b & 0xffff),
		.len = length(op->b >> 19 & 0xff),
		.flags = op->b >> 16 & 7,
		.next = op->b >> 27 & 31,
	};

	if (op->a & 0x8000) /* anywhere */
		d.addr = gpa_of(0) + (uint64_t)op->b * 4;
	store(at + (op->a & 15) * (uint32_t)sizeof(d), &d, sizeof(d));
}

static void publish(const struct op *op)
{
	unsigned slot = op->where % SLOTS, queue = op->where / SLOTS % QUEUES;
	uint32_t at = ring_at(slot, queue) + AVAIL;
	uint16_t head = op->a & 31, idx;

	memcpy(&idx, ram(at + 2), sizeof(idx));
	store(at + 4 + idx % RING * 2, &head, sizeof(head));
	idx = (uint16_t)(idx + 1 + (op->a >> 8 ? op->b & 3 : 0));
	store(at + 2, &idx, sizeof(idx));
	put(arch_layout.virtio + slot * arch_layout.device_size,
	    VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* By a vCPU's thread, when it is resumed. */
static void vcpu_access(const struct op *op)
{
	unsigned vcpu = op->b & 1;

	vmm_world_finish_requests();
	if (vcpu_steps == VCPU_STEPS_MAX || !vmm_world_pause())
		return;
	vcpu_steps++;
	kvm_fake_step(vcpu, (struct fake_step){
				    .kind = op->b & 2 ? FAKE_READ : FAKE_WRITE,
				    .gpa = window(op) + (op->a & 0xfff),
				    .len = 1u << (op->a >> 12 & 3),
				    .value = op->b >> 2,
			    });
	vmm_world_resume(false);
	usleep(100);
}

/* ----------------------------------------------------------------- the host */

static void vsock_program(const struct op *op)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "v"};
	int *fd = &vmm_world.vsock[op->a % WORLD_VSOCK_MAX];
	char text[64];

	if (*fd >= 0 && op->b & 1) {
		util_close(fd);
	} else if (*fd >= 0) {
		memset(text, (int)(op->b >> 8), sizeof(text));
		(void)!send(*fd, text, op->b >> 1 & 63, MSG_NOSIGNAL);
		(void)!recv(*fd, text, sizeof(text), MSG_DONTWAIT);
	} else {
		*fd = socket(AF_UNIX,
			     SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		must(*fd >= 0);
		if (connect(*fd, (struct sockaddr *)&name, sizeof(name)))
			util_close(fd);
		else
			(void)!send(*fd, "CONNECT 52\n", op->b & 2 ? 11 : 9,
				    MSG_NOSIGNAL);
	}
}

static void tap(const struct op *op)
{
	static uint8_t frame[4096];

	memset(frame, 0, 12);
	memset(frame + 12, (int)op->b, sizeof(frame) - 12);
	if (op->b & 0x100)
		memcpy(frame, &op->b, sizeof(op->b));
	(void)!send(vmm_world.tap, frame, op->a % sizeof(frame),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)!recv(vmm_world.tap, frame, sizeof(frame), MSG_DONTWAIT);
}

static void patch(const struct op *op)
{
	static char sync[] = "sync", async[] = "async", n[] = "n";
	struct limiter_patch limits = {
		.has_ops = true,
		.limiter.ops = {op->b & 0xffff, op->b >> 16 & 0xff, 0},
	};
	struct drive_patch drive = {
		.id = op->a & 1 ? async : sync,
		.path = op->a & 2   ? NULL
			: op->a & 4 ? async
				    : sync,
	};
	struct interface_patch interface = {.id = n, .rx = limits};
	struct err e = {""};
	int r;

	if (op->a & 8)
		drive.limits = limits;
	drive.has_limits = op->a & 8;
	vmm_world_finish_requests();
	r = op->a & 16 ? vm_patch_interface(vmm_world.vm, &interface, &e)
		       : vm_patch_drive(vmm_world.vm, &drive, &e);
	must(!r || e.text[0]);
}

static void balloon(const struct op *op)
{
	struct balloon_hinting_status status;
	struct balloon_stats stats;
	struct err e = {""};
	struct virtio_device *dev = vm_balloon(vmm_world.vm, &e);
	int r;

	if (op->a % 4 == 0)
		r = balloon_set_target(dev, op->b % WORLD_MIB, &e);
	else if (op->a % 4 == 1)
		r = balloon_hinting_start(dev, op->b & 1, &e);
	else if (op->a % 4 == 2)
		r = balloon_hinting_stop(dev, &e);
	else
		r = balloon_set_stats_interval(dev, (uint16_t)op->b, &e);
	must(!r || e.text[0]);
	must(!balloon_hinting_status(dev, &status, &e));
	must(!balloon_stats(dev, &stats, &e));
}

static void ring_answers(const struct op *op)
{
	static const int results[] = {URING_FAKE_DO, -EAGAIN,     -EIO,
				      -EINTR,        -EOPNOTSUPP, 0};

	uring_fake.hold = op->b & 1;
	if (uring_fake.waiting)
		uring_fake_complete(
			op->a % uring_fake.waiting,
			results[(op->b >> 1 & 7) % ARRAY_SIZE(results)],
			op->b >> 4 & 1);
}

static void host(const struct op *op)
{
	uint8_t typed[64];

	switch (op->where % 6) {
	case 0:
		tap(op);
		break;
	case 1:
		vsock_program(op);
		break;
	case 2:
		memset(typed, (int)op->b, sizeof(typed));
		(void)vm_serial_receive(vmm_world.vm, typed, op->a % 64);
		break;
	case 3:
		vm_press_power(vmm_world.vm);
		break;
	case 4:
		patch(op);
		break;
	default:
		balloon(op);
	}
}

static void pause_it(const struct op *op)
{
	if (!vmm_world_pause())
		return;
	if (op->a & 1 && snapshots < SNAPSHOTS_MAX) {
		snapshots++;
		vmm_world_snapshot(op->a & 2);
		/* The steps of the VM that was are not this one's. */
		if (op->a & 2)
			vcpu_steps = VCPU_STEPS_MAX;
	}
	vmm_world_resume(op->a & 4);
}

static void run(const struct op *op)
{
	switch (op->kind % 12) {
	case 0:
	case 1:
		use_register(op, op->kind % 12);
		break;
	case 2:
		start(op);
		break;
	case 3:
	case 4:
		descriptor(op);
		return;
	case 5:
	case 6:
		publish(op);
		break;
	case 7:
		store(DATA + (op->a * 4u | op->where) % (DATA_SIZE - 4), &op->b,
		      sizeof(op->b));
		return;
	case 8:
		host(op);
		break;
	case 9:
		pause_it(op);
		break;
	case 10:
		ring_answers(op);
		break;
	default:
		vcpu_access(op);
	}
	vmm_world_turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	vmm_world_begin(data[0] & 1);
	uring_fake.hold = data[0] & 2;
	snapshots = vcpu_steps = 0;
	for (data++, size--; size >= sizeof(struct op) && !vmm_world.ended;) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		data += sizeof(op);
		size -= sizeof(op);
		run(&op);
	}
	vmm_world_end();
	return 0;
}
