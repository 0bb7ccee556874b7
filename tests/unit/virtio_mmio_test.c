/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and status: devices/virtio/mmio.c, virtio.c. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "core/base/util.h"
#include "devices/virtio/mmio.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "tests/unit/virtio_probe.h"

enum { SIZE = 8, ACK_DRIVER = 3, FEATURES_OK = 8, DRIVER_OK = 4 };

static void set_status(uint32_t value)
{
	driver_set(&d, VIRTIO_MMIO_STATUS, value);
}

static void constants_are_what_drivers_expect(void **state)
{
	(void)state;
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_ID), PROBE_ID);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_VENDOR_ID), 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
}

static void features_come_in_halves(void **state)
{
	(void)state;
	driver_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_FEATURES),
			 1u << PROBE_FEATURE | 1u << VIRTIO_RING_F_EVENT_IDX |
				 1u << VIRTIO_RING_F_INDIRECT_DESC);
	driver_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_FEATURES), 1);
	driver_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	driver_set(&d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

static void offered_features_are_accepted(void **state)
{
	(void)state;
	assert_true(driver_negotiate(&d, 1 << PROBE_FEATURE));
	assert_true(virtio_has(&probe->dev, PROBE_FEATURE));
	assert_false(virtio_has(&probe->dev, VIRTIO_RING_F_EVENT_IDX));
}

static void other_features_are_not(void **state)
{
	(void)state;
	assert_false(driver_negotiate(&d, 1));
	assert_int_equal(probe_status(), ACK_DRIVER);
	set_status(ACK_DRIVER | DRIVER_OK);
	assert_int_equal(probe_status(), ACK_DRIVER);
	assert_true(driver_negotiate(&d, 0));
}

static void legacy_driver_is_refused(void **state)
{
	(void)state;
	set_status(1);
	set_status(ACK_DRIVER);
	set_status(ACK_DRIVER | FEATURES_OK);
	assert_int_equal(probe_status(), ACK_DRIVER);
}

static void agreed_features_are_frozen(void **state)
{
	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1 << PROBE_FEATURE);
	assert_false(virtio_has(&probe->dev, PROBE_FEATURE));
}

static void features_of_no_half_are_ignored(void **state)
{
	(void)state;
	set_status(ACK_DRIVER);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, UINT32_MAX);
	driver_set(&d, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	assert_int_equal(probe->dev.accepted, 0);
}

static void status_out_of_order_is_ignored(void **state)
{
	static const uint32_t wrong[] = {2, 4, 8, 12, 16, 32, 0x40, 10, 1 | 8};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		set_status(wrong[i]);
		assert_int_equal(probe_status(), 0);
	}
	assert_true(driver_negotiate(&d, 0));
	set_status(ACK_DRIVER); /* takes a bit back */
	assert_int_equal(probe_status(), ACK_DRIVER | FEATURES_OK);
	set_status(0x80 | probe_status());
	assert_int_equal(probe_status(), 0x80 | ACK_DRIVER | FEATURES_OK);
}

static void queue_registers_are_per_queue(void **state)
{
	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set_queue(&d, 1, SIZE);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_READY), 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 256);
	driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 256);
	assert_int_equal(probe->dev.queue[0].desc_gpa, 0);
}

static void addresses_are_replaced_not_merged(void **state)
{
	(void)state;
	driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xffffffff);
	driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
	driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1000);
	driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_HIGH, 2);
	assert_true(probe->dev.queue[0].desc_gpa == 0x200001000);
	driver_set(&d, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 3);
	driver_set(&d, VIRTIO_MMIO_QUEUE_USED_HIGH, 4);
	assert_true(probe->dev.queue[0].avail_gpa == 0x300000000);
	assert_true(probe->dev.queue[0].used_gpa == 0x400000000);
}

static void queue_that_does_not_exist_is_nothing(void **state)
{
	static const uint32_t none[] = {2, 5, 255, 0x80000000, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, none[i]);
		assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		for (uint64_t reg = VIRTIO_MMIO_QUEUE_NUM;
		     reg <= VIRTIO_MMIO_QUEUE_USED_HIGH; reg += 4) {
			if (reg != VIRTIO_MMIO_STATUS)
				driver_set(&d, reg, 1);
		}
		assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
		driver_kick(&d, none[i]);
		driver_run(&d);
	}
	assert_int_equal(probe->kicks[0] + probe->kicks[1], 0);
}

static void geometry_is_frozen_at_driver_ok(void **state)
{
	struct virtq before;

	(void)state;
	driver_start(&d, 0, SIZE);
	before = probe->dev.queue[0];
	driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 0);
	driver_set(&d, VIRTIO_MMIO_QUEUE_NUM, 256);
	driver_set(&d, VIRTIO_MMIO_QUEUE_READY, 0);
	driver_set(&d, VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
	driver_set(&d, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 1);
	driver_set(&d, VIRTIO_MMIO_QUEUE_USED_LOW, 0);
	assert_int_equal(probe->dev.queue[0].size, before.size);
	assert_true(probe->dev.queue[0].desc_gpa == before.desc_gpa);
	assert_true(probe->dev.queue[0].avail_gpa == before.avail_gpa);
	assert_true(probe->dev.queue[0].used_gpa == before.used_gpa);
	assert_true(probe->dev.queue[0].ready);
	assert_true(probe->dev.mistakes.count >= 5);
}

static void impossible_queues_need_a_reset(void **state)
{
	static const struct {
		uint64_t reg;
		uint32_t value;
	} wrong[] = {
		{VIRTIO_MMIO_QUEUE_NUM, 0},
		{VIRTIO_MMIO_QUEUE_NUM, 7},
		{VIRTIO_MMIO_QUEUE_NUM, 512},
		{VIRTIO_MMIO_QUEUE_NUM, 0x80000000},
		{VIRTIO_MMIO_QUEUE_DESC_LOW, DRIVER_RAM + 8},
		{VIRTIO_MMIO_QUEUE_AVAIL_LOW, DRIVER_RAM + 1},
		{VIRTIO_MMIO_QUEUE_USED_LOW, DRIVER_RAM + 2},
		{VIRTIO_MMIO_QUEUE_DESC_LOW, DRIVER_RAM - 16},
		{VIRTIO_MMIO_QUEUE_DESC_HIGH, 1},
		{VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0xffffffff},
		{VIRTIO_MMIO_QUEUE_USED_LOW, DRIVER_RAM + DRIVER_RAM_SIZE - 4u},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_true(driver_negotiate(&d, 0));
		driver_set_queue(&d, 0, SIZE);
		driver_set(&d, wrong[i].reg, wrong[i].value);
		driver_go(&d);
		assert_int_equal(probe_status() & VIRTIO_CONFIG_S_NEEDS_RESET,
				 VIRTIO_CONFIG_S_NEEDS_RESET);
		driver_kick(&d, 0);
		driver_run(&d);
	}
	assert_int_equal(probe->kicks[0], 0);
	driver_start(&d, 0, SIZE);
	assert_int_equal(probe->kicks[0], 1);
}

/* Only a reset does. */
static void needs_reset_cannot_be_cleared(void **state)
{
	uint32_t status;

	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set_queue(&d, 0, 7);
	driver_go(&d);
	status = probe_status();
	assert_true(status & VIRTIO_CONFIG_S_NEEDS_RESET);
	set_status(status & ~VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(probe_status(), status);
	set_status(status);
	assert_int_equal(probe_status(), status);
	set_status(0);
	assert_int_equal(probe_status(), 0);
}

static void queue_that_is_not_ready_is_left_alone(void **state)
{
	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set_queue(&d, 0, SIZE);
	driver_go(&d);
	driver_kick(&d, 1);
	driver_run(&d);
	assert_int_equal(probe->kicks[0], 1);
	assert_int_equal(probe->kicks[1], 0);
}

static void kicks_before_driver_ok_are_ignored(void **state)
{
	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set_queue(&d, 0, SIZE);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(probe->kicks[0], 0);
	driver_go(&d);
	driver_run(&d);
	assert_int_equal(probe->kicks[0], 1);
}

static void configuration_is_read_in_every_width(void **state)
{
	(void)state;
	assert_int_equal(driver_config(&d, 0, 1), 1);
	assert_int_equal(driver_config(&d, 15, 1), 16);
	assert_int_equal(driver_config(&d, 1, 2), 0x0302);
	assert_int_equal(driver_config(&d, 0, 4), 0x04030201);
	assert_true(driver_config(&d, 8, 8) == 0x100f0e0d0c0b0a09);
}

static void configuration_ends(void **state)
{
	(void)state;
	assert_int_equal(driver_config(&d, 15, 2), 0);
	assert_int_equal(driver_config(&d, 16, 1), 0);
	assert_int_equal(driver_config(&d, 0xefc, 4), 0);
	assert_int_equal(driver_config(&d, 9, 8), 0);
}

static void configuration_is_written_where_it_may(void **state)
{
	const struct mmio_ops *ops = &virtio_mmio_ops;
	static const struct {
		unsigned at, len;
	} refused[] = {{0, 4}, {7, 1},  {7, 2},  {11, 2},   {12, 1},
		       {8, 8}, {10, 4}, {16, 1}, {0xefc, 4}};

	(void)state;
	ops->write(d.dev, VIRTIO_MMIO_CONFIG + 8, 4, 0xa0b0c0d0);
	ops->write(d.dev, VIRTIO_MMIO_CONFIG + 11, 1, 0xee);
	assert_int_equal(probe->config_writes, 2);
	assert_int_equal(driver_config(&d, 8, 4), 0xeeb0c0d0);
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
		ops->write(d.dev, VIRTIO_MMIO_CONFIG + refused[i].at,
			   refused[i].len, UINT64_MAX);
	assert_int_equal(probe->config_writes, 2);
	assert_int_equal(driver_config(&d, 4, 4), 0x08070605);
	assert_int_equal(driver_config(&d, 12, 4), 0x100f0e0d);
}

static void changed_configuration_interrupts(void **state)
{
	uint32_t before = driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION);

	(void)state;
	driver_start(&d, 0, SIZE);
	virtio_enter(d.dev);
	virtio_config_changed(d.dev);
	virtio_leave(d.dev);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION),
			 before + 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void interrupts_are_acknowledged_by_bit(void **state)
{
	(void)state;
	probe->dev.isr = 3;
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

/* KVM may keep an acknowledgement until there is another interrupt. */
static void what_was_not_read_is_not_acknowledged(void **state)
{
	(void)state;
	driver_start(&d, 0, SIZE);
	virtio_enter(d.dev);
	virtio_config_changed(d.dev);
	virtio_leave(d.dev);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	virtio_enter(d.dev);
	virtio_config_changed(d.dev);
	virtio_leave(d.dev);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX); /* the first */
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(probe->dev.isr, 0);
}

static void count_late(void *count, unsigned index)
{
	assert_int_equal(index, 5);
	++*(unsigned *)count;
}

/* It costs something, so it is for those that acknowledge often, once. */
static void frequent_acknowledgements_may_come_late(void **state)
{
	unsigned count = 0;

	(void)state;
	probe->dev.slot.tell_acks_late = count_late;
	probe->dev.slot.kvm = &count;
	probe->dev.slot.index = 5;
	for (unsigned i = 0; i < 8; i++)
		driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(count, 0);
	for (unsigned i = 0; i < 100; i++)
		driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(count, 1);
}

/* The driver's interrupt handler must not wait for a disk. */
static void interrupt_registers_take_no_lock(void **state)
{
	(void)state;
	probe->dev.isr = 3;
	virtio_enter(d.dev); /* a second time would never end */
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
	driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	driver_kick(&d, 0);
	virtio_leave(d.dev);
	assert_int_equal(probe->dev.isr, 0);
}

static void other_widths_and_offsets_are_nothing(void **state)
{
	const struct mmio_ops *ops = &virtio_mmio_ops;

	(void)state;
	for (uint64_t at = 0; at < VIRTIO_MMIO_CONFIG; at++) {
		for (unsigned len = 1; len <= 8; len *= 2) {
			if (len == 4 && at % 4 == 0)
				continue;
			assert_int_equal(ops->read(d.dev, at, len), 0);
			ops->write(d.dev, at, len, UINT64_MAX);
		}
	}
	assert_int_equal(probe_status(), 0);
	assert_int_equal(probe->dev.queue_sel, 0);
}

static void reset_forgets_everything(void **state)
{
	(void)state;
	driver_start(&d, 1 << PROBE_FEATURE, SIZE);
	driver_set(&d, VIRTIO_MMIO_QUEUE_SEL, 1);
	probe->dev.isr = 3;
	probe->resets = 0;
	set_status(0);
	assert_int_equal(probe->resets, 1);
	assert_int_equal(probe_status(), 0);
	assert_int_equal(probe->dev.accepted, 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(probe->kicks[0], 1);
}

static void reset_waits_for_what_is_in_flight(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	driver_start(&d, 0, SIZE);
	probe->hold = true;
	driver_add(&d, 0, &one, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(probe->dev.inflight, 1);
	set_status(0);
	assert_int_equal(probe->drains, 1);
	assert_int_equal(probe->dev.inflight, 0);
}

static void destroying_leaves_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();
	struct virtio_slot slot = driver_slot(&d);
	struct probe *other = probe_create(&slot);

	(void)state;
	assert_int_equal(testing_count_fds(), before + 2);
	assert_true(virtio_kick_fd(&other->dev, 0) >= 0);
	assert_int_equal(virtio_queue_count(&other->dev), 2);
	virtio_destroy(&other->dev);
	assert_int_equal(testing_count_fds(), before);
	virtio_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, probe_begin, probe_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(constants_are_what_drivers_expect),
		TEST(features_come_in_halves),
		TEST(offered_features_are_accepted),
		TEST(other_features_are_not),
		TEST(legacy_driver_is_refused),
		TEST(agreed_features_are_frozen),
		TEST(features_of_no_half_are_ignored),
		TEST(status_out_of_order_is_ignored),
		TEST(queue_registers_are_per_queue),
		TEST(addresses_are_replaced_not_merged),
		TEST(queue_that_does_not_exist_is_nothing),
		TEST(geometry_is_frozen_at_driver_ok),
		TEST(impossible_queues_need_a_reset),
		TEST(needs_reset_cannot_be_cleared),
		TEST(needs_reset_cannot_be_cleared),
		TEST(queue_that_is_not_ready_is_left_alone),
		TEST(kicks_before_driver_ok_are_ignored),
		TEST(configuration_is_read_in_every_width),
		TEST(configuration_ends),
		TEST(configuration_is_written_where_it_may),
		TEST(changed_configuration_interrupts),
		TEST(interrupts_are_acknowledged_by_bit),
		TEST(what_was_not_read_is_not_acknowledged),
		TEST(frequent_acknowledgements_may_come_late),
		TEST(interrupt_registers_take_no_lock),
		TEST(other_widths_and_offsets_are_nothing),
		TEST(reset_forgets_everything),
		TEST(reset_waits_for_what_is_in_flight),
		TEST(destroying_leaves_no_descriptor),
	};

	return RUN_TESTS("virtio_mmio", tests);
}
