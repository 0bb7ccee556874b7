/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/mmio.h"
#include "tests/unit/testing.h"

enum { QUEUE_STRIDE = 0x10000, AVAIL_AT = 0x2000, USED_AT = 0x4000 };

static void on_wake(struct event_source *source, uint32_t events)
{
	struct driver *d = container_of(source, struct driver, wake);

	(void)events;
	virtio_look_at_reset(d->dev);
}

void driver_begin(struct driver *d)
{
	struct guest_mem_region region = {.gpa = DRIVER_RAM,
					  .size = DRIVER_RAM_SIZE};
	struct err e;

	*d = (struct driver){.free = DRIVER_DATA};
	assert_ok(guest_mem_create(&d->mem, &region, 1, &e), e);
	assert_ok(loop_init(&d->loop, &e), e);
	d->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(d->irq_fd >= 0);
	d->wake.ready = on_wake;
	assert_int_equal(loop_add(&d->loop, &d->wake,
				  eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				  EPOLLIN | EPOLLET),
			 0);
}

void driver_end(struct driver *d)
{
	virtio_destroy(d->dev);
	d->dev = NULL;
	loop_close(&d->loop, &d->wake);
	loop_fini(&d->loop);
	close(d->irq_fd);
	guest_mem_destroy(&d->mem);
}

struct virtio_slot driver_slot(struct driver *d)
{
	return (struct virtio_slot){
		.mem = &d->mem,
		.loop = &d->loop,
		.irq_fd = d->irq_fd,
		.wake_fd = d->wake.fd,
		.knocked = &d->knocked,
	};
}

uint32_t driver_get(struct driver *d, uint64_t reg)
{
	return (uint32_t)virtio_mmio_ops.read(d->dev, reg, 4);
}

void driver_set(struct driver *d, uint64_t reg, uint32_t value)
{
	virtio_mmio_ops.write(d->dev, reg, 4, value);
}

uint64_t driver_config(struct driver *d, uint64_t at, unsigned len)
{
	return virtio_mmio_ops.read(d->dev, VIRTIO_MMIO_CONFIG + at, len);
}

bool driver_negotiate(struct driver *d, uint64_t features)
{
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	features |= 1ull << VIRTIO_F_VERSION_1;
	driver_set(d, VIRTIO_MMIO_STATUS, 0);
	driver_set(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_set(d, VIRTIO_MMIO_STATUS, status);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	driver_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	driver_set(d, VIRTIO_MMIO_STATUS, status);
	return driver_get(d, VIRTIO_MMIO_STATUS) == status;
}

static void set_address(struct driver *d, uint64_t reg, gpa_t gpa)
{
	driver_set(d, reg, (uint32_t)gpa);
	driver_set(d, reg + 4, (uint32_t)(gpa >> 32));
}

void driver_set_queue(struct driver *d, unsigned queue, uint32_t size)
{
	struct driver_queue *q = &d->queue[queue];
	gpa_t base = DRIVER_RAM + queue * QUEUE_STRIDE;

	*q = (struct driver_queue){
		size, base, base + AVAIL_AT, base + USED_AT, 0, 0, 0};
	memset(driver_at(d, base), 0, QUEUE_STRIDE);
	driver_set(d, VIRTIO_MMIO_QUEUE_SEL, queue);
	driver_set(d, VIRTIO_MMIO_QUEUE_NUM, size);
	set_address(d, VIRTIO_MMIO_QUEUE_DESC_LOW, q->desc);
	set_address(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, q->avail);
	set_address(d, VIRTIO_MMIO_QUEUE_USED_LOW, q->used);
	driver_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

void driver_go(struct driver *d)
{
	driver_set(d, VIRTIO_MMIO_STATUS,
		   driver_get(d, VIRTIO_MMIO_STATUS) |
			   VIRTIO_CONFIG_S_DRIVER_OK);
}

void driver_start(struct driver *d, uint64_t features, uint32_t size)
{
	assert_true(driver_negotiate(d, features));
	for (unsigned i = 0; i < virtio_queue_count(d->dev); i++)
		driver_set_queue(d, i, size);
	driver_go(d);
	driver_run(d);
	driver_interrupts(d);
}

gpa_t driver_alloc(struct driver *d, uint64_t len)
{
	gpa_t gpa = d->free;

	d->free += (len + 15) / 16 * 16;
	assert_true(d->free <= (gpa_t)DRIVER_RAM + DRIVER_RAM_SIZE);
	return gpa;
}

void *driver_at(struct driver *d, gpa_t gpa)
{
	void *host = guest_mem_at(&d->mem, gpa, 1);

	assert_non_null(host);
	return host;
}

void driver_desc(struct driver *d, gpa_t table, unsigned i, gpa_t gpa,
		 uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc *desc = driver_at(d, table);

	desc[i] = (struct vring_desc){gpa, len, flags, next};
}

void driver_publish(struct driver *d, unsigned queue, uint16_t head)
{
	struct driver_queue *q = &d->queue[queue];
	struct vring_avail *avail = driver_at(d, q->avail);

	avail->ring[q->avail_idx & (q->size - 1)] = head;
	q->avail_idx++;
	__atomic_store_n(&avail->idx, q->avail_idx, __ATOMIC_RELEASE);
}

/* A chain in @table, whose entries are used round and round from @first on. */
static void write_chain(struct driver *d, gpa_t table, uint32_t size,
			unsigned first, const struct driver_buffer *buffers,
			unsigned count)
{
	for (unsigned i = 0; size && i < count; i++) {
		uint16_t flags = buffers[i].write ? VRING_DESC_F_WRITE : 0;

		if (i + 1 < count)
			flags |= VRING_DESC_F_NEXT;
		driver_desc(d, table, (first + i) % size, buffers[i].gpa,
			    buffers[i].len, flags,
			    (uint16_t)((first + i + 1) % size));
	}
}

uint16_t driver_add(struct driver *d, unsigned queue,
		    const struct driver_buffer *buffers, unsigned count)
{
	struct driver_queue *q = &d->queue[queue];
	uint16_t head = q->next_desc;

	if (d->indirect) {
		gpa_t table =
			driver_alloc(d, count * sizeof(struct vring_desc));

		write_chain(d, table, count, 0, buffers, count);
		driver_desc(d, q->desc, head, table,
			    (uint32_t)(count * sizeof(struct vring_desc)),
			    VRING_DESC_F_INDIRECT, 0);
		count = 1;
	} else {
		assert_true(count <= q->size);
		write_chain(d, q->desc, q->size, head, buffers, count);
	}
	q->next_desc = (uint16_t)((head + count) % q->size);
	driver_publish(d, queue, head);
	return head;
}

bool driver_wants_kick(struct driver *d, unsigned queue, uint16_t old)
{
	struct driver_queue *q = &d->queue[queue];
	struct vring_used *used = driver_at(d, q->used);
	const uint16_t *avail_event = (void *)&used->ring[q->size];

	return vring_need_event(*avail_event, q->avail_idx, old);
}

void driver_kick(struct driver *d, unsigned queue)
{
	driver_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool driver_used(struct driver *d, unsigned queue, uint32_t *head,
		 uint32_t *len)
{
	struct driver_queue *q = &d->queue[queue];
	struct vring_used *used = driver_at(d, q->used);
	struct vring_used_elem *e;

	if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) == q->used_idx)
		return false;
	e = &used->ring[q->used_idx & (q->size - 1)];
	q->used_idx++;
	if (head)
		*head = e->id;
	if (len)
		*len = e->len;
	return true;
}

int driver_poll(struct driver *d, int timeout_ms)
{
	struct event_loop *loop = &d->loop;
	int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);

	loop->batch_count = n;
	for (int i = 0; i < loop->batch_count; i++) {
		struct event_source *source = loop->batch[i].data.ptr;

		if (source)
			source->ready(source, loop->batch[i].events);
	}
	loop->batch_count = 0;
	return n;
}

void driver_run(struct driver *d)
{
	while (driver_poll(d, 0) > 0)
		continue;
}

bool driver_wait_used(struct driver *d, unsigned queue)
{
	struct driver_queue *q = &d->queue[queue];
	struct vring_used *used = driver_at(d, q->used);

	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) !=
		    q->used_idx)
			return true;
		driver_poll(d, 10);
	}
	return false;
}

unsigned driver_interrupts(struct driver *d)
{
	return (unsigned)testing_take_event(d->irq_fd);
}
