/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface whose frames the kernel's vhost-net moves: a vhost-net
 * that is played here remembers what it was told.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_net_guest.h"

enum { DRIVER_OK = 4, NEEDS_RESET = 0x40, NO_BACKEND = -1 };

#define ALL_FEATURES                                                  \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | MRG | BIT(VHOST_F_LOG_ALL))

struct ring {
	unsigned num, base;
	struct vhost_vring_addr addr;
	int kick, call, error, backend;
};

static struct {
	bool absent;
	int fd;
	unsigned calls, fail_at; /* the n-th fails, from 1 */
	uint64_t offers;
	bool owned;
	uint64_t features;
	struct vhost_memory_region ram;
	uint64_t *log;
	struct ring ring[NET_QUEUES];
} vhost;

/* ---------------------------------------------------------- the played one */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/vhost-net") != 0)
		return __real_open64(path, flags);
	if (vhost.absent) {
		errno = ENOENT;
		return -1;
	}
	vhost.fd = eventfd(0, EFD_CLOEXEC);
	return vhost.fd;
}

/* The kernel is told addresses as numbers. */
static void *pointer(uint64_t address)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return (void *)(uintptr_t)address;
}

/* From here on it may interrupt, and the driver may ask why at once. */
static void set_backend(struct ring *r, int fd)
{
	assert_true(fd == NO_BACKEND || d.dev->lent);
	r->backend = fd;
}

static void set_ring(unsigned long request, void *arg)
{
	const struct vhost_vring_file *file = arg;
	const struct vhost_vring_state *state = arg;
	struct ring *r = &vhost.ring[file->index];

	assert_true(file->index < NET_QUEUES);
	assert_true(vhost.owned);
	if (request == VHOST_SET_VRING_NUM)
		r->num = state->num;
	else if (request == VHOST_SET_VRING_BASE)
		r->base = state->num;
	else if (request == VHOST_GET_VRING_BASE)
		((struct vhost_vring_state *)arg)->num = r->base;
	else if (request == VHOST_SET_VRING_ADDR)
		r->addr = *(struct vhost_vring_addr *)arg;
	else if (request == VHOST_SET_VRING_KICK)
		r->kick = file->fd;
	else if (request == VHOST_SET_VRING_CALL)
		r->call = file->fd;
	else if (request == VHOST_SET_VRING_ERR)
		r->error = file->fd;
	else if (request == VHOST_NET_SET_BACKEND)
		set_backend(r, file->fd);
	else
		fail_msg("an ioctl that nobody expects: %lx", request);
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
	if (++vhost.calls == vhost.fail_at) {
		errno = EFAULT;
		return -1;
	}
	if (request == VHOST_SET_OWNER)
		vhost.owned = true;
	else if (request == VHOST_GET_FEATURES)
		*(uint64_t *)arg = vhost.offers;
	else if (request == VHOST_SET_FEATURES)
		vhost.features = *(uint64_t *)arg;
	else if (request == VHOST_SET_MEM_TABLE)
		vhost.ram = ((struct vhost_memory *)arg)->regions[0];
	else if (request == VHOST_SET_LOG_BASE)
		vhost.log = pointer(*(uint64_t *)arg);
	else
		set_ring(request, arg);
	return 0;
}

/* As if it had used one more buffer of the ring. */
static void use_one(unsigned queue)
{
	struct vring_used *used =
		pointer(vhost.ring[queue].addr.used_user_addr);

	used->idx++;
	assert_int_equal(eventfd_write(vhost.ring[queue].call, 1), 0);
}

/* ------------------------------------------------------------------ helpers */

static int begin_vhost(void **state)
{
	memset(&vhost, 0, sizeof(vhost));
	vhost.offers = ALL_FEATURES;
	vhost.fd = -1;
	for (unsigned i = 0; i < NET_QUEUES; i++)
		vhost.ring[i].backend = NO_BACKEND;
	return begin(state);
}

static int end_vhost(void **state)
{
	guest_mem_untrack(&d.mem);
	return end(state);
}

static void create_vhost(void)
{
	struct err e;

	create();
	assert_ok(net_use_vhost(d.dev, &e), e);
}

static void start_vhost(void)
{
	create_vhost();
	driver_start(&d, d.dev->offered, SIZE);
}

static bool is_running(void)
{
	return vhost.ring[NET_RX].backend != NO_BACKEND &&
	       vhost.ring[NET_TX].backend != NO_BACKEND;
}

static uint32_t interrupt_status(void)
{
	return driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS);
}

static void acknowledge(void)
{
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
}

/* -------------------------------------------------------------------- start */

static void it_gets_the_rings_at_the_first_kick(void **state)
{
	(void)state;
	create_vhost();
	assert_int_equal(vhost.ram.guest_phys_addr, DRIVER_RAM);
	assert_int_equal(vhost.ram.memory_size, DRIVER_RAM_SIZE);
	assert_ptr_equal(pointer(vhost.ram.userspace_addr),
			 driver_at(&d, DRIVER_RAM));
	assert_null(vhost.log);
	assert_false(is_running());

	driver_start(&d, d.dev->offered, SIZE);
	assert_true(is_running());
	assert_int_equal(vhost.features, ALL_FEATURES & ~BIT(VHOST_F_LOG_ALL));
	for (unsigned i = 0; i < NET_QUEUES; i++) {
		const struct ring *r = &vhost.ring[i];

		assert_int_equal(r->num, SIZE);
		assert_int_equal(r->base, 0);
		assert_int_equal(r->kick, virtio_kick_fd(d.dev, i));
		assert_int_equal(r->call, d.irq_fd);
		assert_int_equal(r->addr.flags, 0);
		assert_ptr_equal(pointer(r->addr.desc_user_addr),
				 driver_at(&d, d.queue[i].desc));
		assert_ptr_equal(pointer(r->addr.avail_user_addr),
				 driver_at(&d, d.queue[i].avail));
		assert_ptr_equal(pointer(r->addr.used_user_addr),
				 driver_at(&d, d.queue[i].used));
	}
}

static void it_gets_the_features_of_rings_that_were_agreed_on(void **state)
{
	(void)state;
	create_vhost();
	driver_start(&d, MRG | BIT(VIRTIO_NET_F_CSUM), SIZE);
	assert_int_equal(vhost.features, BIT(VIRTIO_F_VERSION_1) | MRG);
}

/* A kick wakes it, and not us as well. */
static void kicks_are_not_ours(void **state)
{
	uint64_t before;

	(void)state;
	start_vhost();
	before = metrics()->tx_queue_event_count;
	transmit_in(100, 100, 0);
	driver_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, NET_TX);
	assert_int_equal(driver_poll(&d, 0), 0);
	assert_int_equal(metrics()->tx_queue_event_count, before);
	assert_int_equal(host_got(), -1);
}

static void a_ring_that_is_not_ready_is_left_alone(void **state)
{
	(void)state;
	create_vhost();
	assert_true(driver_negotiate(&d, MRG));
	driver_set_queue(&d, NET_TX, SIZE);
	driver_go(&d);
	driver_run(&d);
	assert_int_equal(vhost.ring[NET_RX].backend, NO_BACKEND);
	assert_int_not_equal(vhost.ring[NET_TX].backend, NO_BACKEND);
}

/* --------------------------------------------------------------- interrupts */

static void the_status_is_found_in_the_rings(void **state)
{
	(void)state;
	start_vhost();
	assert_int_equal(interrupt_status(), 0);
	for (unsigned i = 0; i < 5; i++) {
		use_one(i % NET_QUEUES);
		assert_int_equal(driver_interrupts(&d), 1);
		assert_int_equal(interrupt_status(), VIRTIO_MMIO_INT_VRING);
		acknowledge();
		assert_int_equal(interrupt_status(), 0);
	}
}

static void an_acknowledgement_does_not_hide_what_came_later(void **state)
{
	(void)state;
	start_vhost();
	use_one(NET_RX);
	assert_int_equal(interrupt_status(), VIRTIO_MMIO_INT_VRING);
	use_one(NET_RX);
	acknowledge();
	assert_int_equal(interrupt_status(), VIRTIO_MMIO_INT_VRING);
}

/* ---------------------------------------------------------- stop, and again */

static void a_pause_takes_the_rings_and_gives_them_back(void **state)
{
	(void)state;
	start_vhost();
	vhost.ring[NET_RX].base = 7;
	vhost.ring[NET_TX].base = 65535;
	use_one(NET_RX);
	use_one(NET_TX);
	driver_interrupts(&d);
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(vhost.ring[NET_RX].backend, NO_BACKEND);
	assert_int_equal(vhost.ring[NET_TX].backend, NO_BACKEND);
	assert_int_equal(d.dev->queue[NET_RX].next_avail, 7);
	assert_int_equal(d.dev->queue[NET_TX].next_avail, 65535);
	assert_int_equal(d.dev->queue[NET_RX].next_used, 1);
	/* It may have been told just now, or never. */
	assert_int_equal(driver_interrupts(&d), 1);
	assert_int_equal(interrupt_status(), VIRTIO_MMIO_INT_VRING);

	driver_run(&d);
	assert_false(is_running());
	vhost.ring[NET_RX].base = vhost.ring[NET_TX].base = 99;
	virtio_resume(d.dev);
	driver_run(&d);
	assert_true(is_running());
	assert_int_equal(vhost.ring[NET_RX].base, 7);
	assert_int_equal(vhost.ring[NET_TX].base, 65535);
}

static void a_pause_in_which_nothing_was_used_interrupts_nobody(void **state)
{
	(void)state;
	start_vhost();
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(driver_interrupts(&d), 0);
	assert_int_equal(interrupt_status(), 0);
}

/* On a vCPU's thread, which must not touch the loop. */
static void a_reset_takes_the_rings_and_a_driver_begins_anew(void **state)
{
	(void)state;
	start_vhost();
	vhost.ring[NET_TX].base = 3;
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(vhost.ring[NET_RX].backend, NO_BACKEND);
	assert_int_equal(vhost.ring[NET_TX].backend, NO_BACKEND);
	driver_start(&d, d.dev->offered, SIZE);
	assert_true(is_running());
	assert_int_equal(vhost.ring[NET_TX].base, 0);
}

static void a_ring_that_it_gives_up_needs_a_reset(void **state)
{
	(void)state;
	start_vhost();
	assert_int_equal(eventfd_write(vhost.ring[NET_RX].error, 1), 0);
	driver_run(&d);
	assert_false(is_running());
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_STATUS) & NEEDS_RESET,
			 NEEDS_RESET);
	assert_int_equal(driver_interrupts(&d), 1);
	assert_int_equal(interrupt_status(), VIRTIO_MMIO_INT_CONFIG);
	driver_set(&d, VIRTIO_MMIO_QUEUE_NOTIFY, NET_TX);
	driver_run(&d);
	assert_false(is_running());
	driver_start(&d, d.dev->offered, SIZE);
	assert_true(is_running());
}

/* ------------------------------------------------------------ written pages */

static void pages_that_it_writes_are_kept_track_of(void **state)
{
	const uint64_t page = DRIVER_DATA / VHOST_PAGE_SIZE;
	uint64_t at = (DRIVER_DATA - DRIVER_RAM) / (uint64_t)getpagesize();
	struct err e;

	(void)state;
	assert_ok(guest_mem_track(&d.mem, &e), e);
	start_vhost();
	assert_int_equal(vhost.features, ALL_FEATURES);
	assert_int_equal(vhost.ring[NET_RX].addr.flags, BIT(VHOST_VRING_F_LOG));
	assert_int_equal(vhost.ring[NET_RX].addr.log_guest_addr,
			 d.queue[NET_RX].used);
	vhost.log[page / 64] |= 1ull << page % 64;
	/* The last of RAM, and what no guest has: the kernel would not. */
	vhost.log[(DRIVER_RAM + DRIVER_RAM_SIZE) / VHOST_PAGE_SIZE / 64 - 1] |=
		1ull << 63;
	vhost.log[0] |= 1;
	d.mem.dirty->bits[0][at / 64] = 0;
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_true(d.mem.dirty->bits[0][at / 64] >> at % 64 & 1);
	assert_false(d.mem.dirty->bits[0][(at + 1) / 64] >> (at + 1) % 64 & 1);
	at = DRIVER_RAM_SIZE / (uint64_t)getpagesize() - 1;
	assert_true(d.mem.dirty->bits[0][at / 64] >> at % 64 & 1);
	assert_int_equal(vhost.log[page / 64], 0);
	assert_int_equal(vhost.log[0], 0);
}

/* ----------------------------------------------------------------- failures */

static void where_it_is_not_it_is_refused_with_the_remedy(void **state)
{
	unsigned before;
	struct err e;

	(void)state;
	create();
	before = testing_count_fds();
	vhost.absent = true;
	assert_err(net_use_vhost(d.dev, &e), e,
		   "cannot open /dev/vhost-net (load the module vhost_net, "
		   "give this user access, or do without `vhost`): No such");
	assert_int_equal(testing_count_fds(), before);

	vhost.absent = false;
	vhost.offers &= ~MRG;
	assert_err(net_use_vhost(d.dev, &e), e,
		   "this kernel's vhost-net lacks features 0x8000; do "
		   "without `vhost`");
}

static void a_failure_leaves_nothing_behind(void **state)
{
	unsigned before = testing_count_fds();
	unsigned failures = 0;
	struct err e;

	(void)state;
	assert_ok(guest_mem_track(&d.mem, &e), e);
	for (vhost.fail_at = 1;; vhost.fail_at++) {
		vhost.calls = 0;
		create();
		if (!net_use_vhost(d.dev, &e))
			break;
		assert_contains(e.text, "Bad address");
		failures++;
		virtio_destroy(d.dev);
		d.dev = NULL;
		close(host);
		assert_int_equal(testing_count_fds(), before);
	}
	assert_int_equal(failures, 4);
}

static void a_ring_that_it_refuses_needs_a_reset(void **state)
{
	unsigned prepared;

	(void)state;
	create_vhost();
	prepared = vhost.calls;
	for (unsigned i = 1; i <= 15; i++) {
		driver_set(&d, VIRTIO_MMIO_STATUS, 0);
		vhost.calls = 0;
		vhost.fail_at = i;
		driver_start(&d, d.dev->offered, SIZE);
		assert_int_equal(driver_get(&d, VIRTIO_MMIO_STATUS) &
					 NEEDS_RESET,
				 NEEDS_RESET);
	}
	assert_int_equal(prepared, 3);
	vhost.fail_at = 0;
	driver_start(&d, d.dev->offered, SIZE);
	assert_true(is_running());
}

static void it_has_no_limiters(void **state)
{
	const struct token_bucket_config bucket = {1, 0, 1};
	const struct rate_limiter_update none = {0}, ops = {.ops = &bucket};
	struct err e;

	(void)state;
	create_vhost();
	assert_ok(net_update_limiters(d.dev, &none, &none, &e), e);
	assert_err(net_update_limiters(d.dev, &none, &ops, &e), e,
		   "rate limiters are not possible with `vhost`");
	assert_err(net_update_limiters(d.dev, &ops, NULL, &e), e,
		   "rate limiters are not possible with `vhost`");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_vhost, end_vhost)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_gets_the_rings_at_the_first_kick),
		TEST(it_gets_the_features_of_rings_that_were_agreed_on),
		TEST(kicks_are_not_ours),
		TEST(a_ring_that_is_not_ready_is_left_alone),
		TEST(the_status_is_found_in_the_rings),
		TEST(an_acknowledgement_does_not_hide_what_came_later),
		TEST(a_pause_takes_the_rings_and_gives_them_back),
		TEST(a_pause_in_which_nothing_was_used_interrupts_nobody),
		TEST(a_reset_takes_the_rings_and_a_driver_begins_anew),
		TEST(a_ring_that_it_gives_up_needs_a_reset),
		TEST(pages_that_it_writes_are_kept_track_of),
		TEST(where_it_is_not_it_is_refused_with_the_remedy),
		TEST(a_failure_leaves_nothing_behind),
		TEST(a_ring_that_it_refuses_needs_a_reset),
		TEST(it_has_no_limiters),
	};

	return RUN_TESTS("net_vhost", tests);
}
