/* SPDX-License-Identifier: Apache-2.0 */
/* Quiet devices, saved and loaded: devices/virtio/virtio.c. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "devices/virtio/virtio.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "tests/unit/virtio_probe.h"

enum { SIZE = 8 };

static void quiet_device_takes_nothing_until_it_is_resumed(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	driver_start(&d, 0, SIZE);
	virtio_quiesce(d.dev, UINT64_MAX);
	driver_add(&d, 0, &one, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(probe->chains, 0);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(probe->chains, 1);
}

static void quiesce_waits_for_what_is_in_flight(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	driver_start(&d, 0, SIZE);
	probe->hold = true;
	driver_add(&d, 0, &one, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(probe->drains, 1);
}

static void resume_repeats_an_interrupt_that_is_pending(void **state)
{
	(void)state;
	driver_start(&d, 0, SIZE);
	probe->dev.isr = VIRTIO_MMIO_INT_VRING;
	virtio_quiesce(d.dev, UINT64_MAX);
	virtio_resume(d.dev);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void save(struct snap *s)
{
	virtio_quiesce(d.dev, UINT64_MAX);
	snap_save(s, 1);
	virtio_state(d.dev, s);
}

/* Into a new device, in the place of the old one. */
static int load(const struct snap *saved, struct err *e)
{
	struct virtio_slot slot = driver_slot(&d);
	struct snap s;
	const void *data;
	size_t len;
	int r;

	virtio_destroy(d.dev);
	probe = probe_create(&slot);
	d.dev = &probe->dev;
	virtio_quiesce(d.dev, UINT64_MAX);
	data = snap_data(saved, &len);
	snap_load(&s, data, len, 1);
	virtio_state(d.dev, &s);
	r = snap_finish(&s, e);
	snap_fini(&s);
	return r;
}

static void loaded_device_goes_on(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};
	struct snap s;
	struct err e;

	(void)state;
	driver_start(&d, 1ull << VIRTIO_RING_F_EVENT_IDX, SIZE);
	for (int i = 0; i < SIZE + 3; i++) {
		driver_add(&d, 0, &one, 1);
		driver_kick(&d, 0);
		driver_run(&d);
		assert_true(driver_used(&d, 0, NULL, NULL));
	}
	probe->extra = 77;
	driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	save(&s);
	driver_add(&d, 0, &one, 1); /* its kick is lost */
	assert_ok(load(&s, &e), e);
	snap_fini(&s);
	assert_int_equal(probe->extra, 77);
	assert_int_equal(probe->dev.queue_sel, 1);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_int_equal(probe->chains, 1);
}

static void hostile_state_is_refused(void **state)
{
	struct virtq *vq;
	struct snap s;
	struct err e;

	(void)state;
	driver_start(&d, 0, SIZE);
	vq = &probe->dev.queue[1];
	vq->size = 1u << 31;
	save(&s);
	assert_err(load(&s, &e), e, "queue is impossible");
	snap_fini(&s);

	driver_start(&d, 0, SIZE);
	virtio_resume(d.dev);
	probe->dev.queue[0].used_gpa = DRIVER_RAM - 4;
	save(&s);
	assert_err(load(&s, &e), e, "queue is impossible");
	snap_fini(&s);

	driver_start(&d, 0, SIZE);
	probe->dev.inflight = 1;
	snap_save(&s, 1);
	virtio_state(d.dev, &s);
	probe->dev.inflight = 0;
	assert_err(snap_finish(&s, &e), e, "not quiet");
	snap_fini(&s);
}

static void state_with_other_features_is_refused(void **state)
{
	struct snap s;
	struct err e;

	(void)state;
	driver_start(&d, 0, SIZE);
	probe->dev.accepted |= 1;
	probe->dev.offered |= 1;
	save(&s);
	assert_err(load(&s, &e), e, "does not offer");
	snap_fini(&s);
}

/* A guest cannot keep its VM from being saved by writing any features: they
 * are checked when the driver says that it is done. */
static void features_that_are_not_agreed_on_may_be_any(void **state)
{
	struct snap s;
	struct err e;

	(void)state;
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	driver_set(&d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_set(&d, VIRTIO_MMIO_STATUS,
		   VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff);
	save(&s);
	assert_ok(load(&s, &e), e);
	snap_fini(&s);
	driver_set(&d, VIRTIO_MMIO_STATUS,
		   VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			   VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(probe_status() & VIRTIO_CONFIG_S_FEATURES_OK, 0);
	/* Nor is a device loaded that runs without having agreed. */
	driver_start(&d, 0, SIZE);
	probe->dev.accepted |= 1;
	probe->dev.offered |= 1;
	probe->dev.status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	save(&s);
	assert_err(load(&s, &e), e, "does not offer");
	snap_fini(&s);
}

static void device_that_waits_for_a_reset_is_saved_so(void **state)
{
	struct driver_buffer bad = {0, 1, true};
	struct snap s;
	struct err e;

	(void)state;
	driver_start(&d, 0, SIZE);
	driver_add(&d, 0, &bad, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	save(&s);
	assert_ok(load(&s, &e), e);
	snap_fini(&s);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(probe_status() & VIRTIO_CONFIG_S_NEEDS_RESET,
			 VIRTIO_CONFIG_S_NEEDS_RESET);
	driver_start(&d, 0, SIZE);
	assert_int_equal(probe->kicks[0], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, probe_begin, probe_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(quiet_device_takes_nothing_until_it_is_resumed),
		TEST(quiesce_waits_for_what_is_in_flight),
		TEST(resume_repeats_an_interrupt_that_is_pending),
		TEST(loaded_device_goes_on),
		TEST(hostile_state_is_refused),
		TEST(state_with_other_features_is_refused),
		TEST(features_that_are_not_agreed_on_may_be_any),
		TEST(device_that_waits_for_a_reset_is_saved_so),
	};

	return RUN_TESTS("virtio_state", tests);
}
