/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon as a device: devices/virtio/balloon/balloon.c. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_balloon_guest.h"

enum { RAM_MIB = DRIVER_RAM_SIZE >> 20 };

#define BIT(n) (1ull << (n))

static uint32_t config_word(unsigned i)
{
	return (uint32_t)driver_config(&g.d, 4ull * i, 4);
}

/* -------------------------------------------------------- what is offered */

static uint64_t offered(const struct balloon_config *config)
{
	uint64_t bits;

	g.config = *config;
	balloon_new();
	bits = g.d.dev->offered & 0x3f;
	virtio_destroy(g.d.dev);
	g.d.dev = NULL;
	return bits;
}

static void features_are_those_asked_for(void **state)
{
	(void)state;
	assert_int_equal(offered(&(struct balloon_config){0}), 0);
	assert_int_equal(
		offered(&(struct balloon_config){.deflate_on_oom = true}),
		BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
	assert_int_equal(offered(&(struct balloon_config){
				 .stats_polling_interval_s = 1}),
			 BIT(VIRTIO_BALLOON_F_STATS_VQ));
	assert_int_equal(
		offered(&(struct balloon_config){.free_page_hinting = true}),
		BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT));
	assert_int_equal(
		offered(&(struct balloon_config){.free_page_reporting = true}),
		BIT(VIRTIO_BALLOON_F_REPORTING));
}

static void queues_are_those_that_are_needed(void **state)
{
	(void)state;
	balloon_new();
	assert_int_equal(driver_get(&g.d, VIRTIO_MMIO_DEVICE_ID), 5);
	assert_int_equal(virtio_queue_count(g.d.dev), 2);
	virtio_destroy(g.d.dev);
	g.config.free_page_reporting = true;
	balloon_new();
	assert_int_equal(virtio_queue_count(g.d.dev), 3);
	virtio_destroy(g.d.dev);
	g.config.free_page_hinting = true;
	g.config.stats_polling_interval_s = 1;
	balloon_new();
	assert_int_equal(virtio_queue_count(g.d.dev), 5);
}

static void configuration_can_be_read_back(void **state)
{
	const struct balloon_config config = {.amount_mib = 3,
					      .deflate_on_oom = true,
					      .stats_polling_interval_s = 7,
					      .free_page_hinting = true,
					      .free_page_reporting = true};
	struct balloon_config got;

	(void)state;
	g.config = config;
	balloon_new();
	balloon_config_get(g.d.dev, &got);
	assert_int_equal(got.amount_mib, 3);
	assert_int_equal(got.stats_polling_interval_s, 7);
	assert_true(got.deflate_on_oom && got.free_page_hinting &&
		    got.free_page_reporting);
	virtio_destroy(g.d.dev);
	g.config = (struct balloon_config){0};
	balloon_new();
	balloon_config_get(g.d.dev, &got);
	assert_int_equal(got.amount_mib + got.stats_polling_interval_s, 0);
	assert_false(got.deflate_on_oom || got.free_page_hinting ||
		     got.free_page_reporting);
}

/* ---------------------------------------------------------------- target */

static void driver_sees_the_target(void **state)
{
	(void)state;
	g.config.amount_mib = 5;
	balloon_up();
	assert_int_equal(config_word(0), 5 * 256);
	assert_int_equal(config_word(1), 0);
	assert_int_equal(config_word(2), BALLOON_HINT_STOP);
	assert_int_equal(config_word(3), 0);
}

static void new_target_is_told(void **state)
{
	struct balloon_config config;
	uint32_t generation;
	struct err e;

	(void)state;
	balloon_up();
	generation = driver_get(&g.d, VIRTIO_MMIO_CONFIG_GENERATION);
	assert_ok(balloon_set_target(g.d.dev, RAM_MIB, &e), e);
	assert_int_equal(config_word(0), RAM_MIB * 256);
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(driver_get(&g.d, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	assert_int_not_equal(driver_get(&g.d, VIRTIO_MMIO_CONFIG_GENERATION),
			     generation);
	balloon_config_get(g.d.dev, &config);
	assert_int_equal(config.amount_mib, RAM_MIB);
	assert_ok(balloon_set_target(g.d.dev, 0, &e), e);
	assert_int_equal(config_word(0), 0);
}

static void target_beyond_ram_is_refused(void **state)
{
	/* The last is a small number of pages, modulo 2^32. */
	const uint32_t many[] = {RAM_MIB + 1, UINT32_MAX, (1u << 24) + 1};
	struct virtio_slot slot = driver_slot(&g.d);
	struct err e;

	(void)state;
	g.config.amount_mib = 2;
	balloon_up();
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
		struct balloon_config config = {.amount_mib = many[i]};

		assert_err(balloon_set_target(g.d.dev, many[i], &e), e,
			   "Amount of pages requested is too large.");
		assert_err(balloon_check(&config, RAM_MIB, &e), e,
			   "Amount of pages requested is too large.");
		assert_null(balloon_create(&slot, &config, &e));
		assert_contains(e.text, "too large");
	}
	assert_int_equal(config_word(0), 2 * 256);
	assert_int_equal(driver_interrupts(&g.d), 0);
	g.config.amount_mib = RAM_MIB;
	assert_ok(balloon_check(&g.config, RAM_MIB, &e), e);
	/* More RAM than pages have numbers. */
	g.config.amount_mib = 1 << 24;
	assert_err(balloon_check(&g.config, UINT64_MAX, &e), e, "too large");
}

static void nothing_is_told_without_a_driver(void **state)
{
	struct err e;

	(void)state;
	g.config.free_page_hinting = true;
	balloon_new();
	assert_err(balloon_set_target(g.d.dev, 1, &e), e,
		   "Device is inactive, check if balloon driver is enabled in "
		   "guest kernel.");
	assert_err(balloon_hinting_start(g.d.dev, true, &e), e,
		   "Device is inactive");
	assert_err(balloon_hinting_stop(g.d.dev, &e), e, "Device is inactive");
	assert_int_equal(config_word(0), 0);
	assert_int_equal(config_word(2), BALLOON_HINT_STOP);
}

static void driver_tells_the_size_and_nothing_else(void **state)
{
	struct balloon_stats stats;
	struct err e;

	(void)state;
	g.config.stats_polling_interval_s = 1;
	g.config.amount_mib = 4;
	balloon_up();
	for (unsigned i = 0; i < 4; i++)
		driver_set(&g.d, VIRTIO_MMIO_CONFIG + 4 * i, 1000 + i);
	driver_set(&g.d, VIRTIO_MMIO_CONFIG + 6, 77); /* over its end */
	assert_int_equal(config_word(0), 4 * 256);
	assert_int_equal(config_word(1), 1001);
	assert_int_equal(config_word(2), 0);
	assert_int_equal(config_word(3), 0);
	assert_ok(balloon_stats(g.d.dev, &stats, &e), e);
	assert_int_equal(stats.target_pages, 1024);
	assert_int_equal(stats.target_mib, 4);
	assert_int_equal(stats.actual_pages, 1001);
	assert_int_equal(stats.actual_mib, 3);
	assert_int_equal(stats.known, 0);
}

static void reset_empties_it_and_keeps_the_target(void **state)
{
	struct err e;

	(void)state;
	balloon_up();
	assert_ok(balloon_set_target(g.d.dev, 3, &e), e);
	driver_set(&g.d, VIRTIO_MMIO_CONFIG + 4, 768);
	driver_set(&g.d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(config_word(0), 768);
	assert_int_equal(config_word(1), 0);
	balloon_up();
	assert_int_equal(config_word(0), 768);
}

/* ------------------------------------------------------------------- state */

static void snapshot_keeps_target_and_size(void **state)
{
	struct err e;

	(void)state;
	balloon_up();
	assert_ok(balloon_set_target(g.d.dev, 6, &e), e);
	driver_set(&g.d, VIRTIO_MMIO_CONFIG + 4, 999);
	balloon_restore(NULL);
	assert_int_equal(config_word(0), 6 * 256);
	assert_int_equal(config_word(1), 999);
	balloon_range(INFLATE, balloon_filled(8192), 2, 1);
}

/* The first word is the target: find it by its value. */
static void grow_target(uint8_t *data, size_t len)
{
	const uint32_t from = 0x707, to = RAM_MIB * 256 + 1;
	uint32_t word;

	for (size_t i = 0; i + sizeof(word) <= len; i++) {
		memcpy(&word, data + i, sizeof(word));
		if (word == from)
			memcpy(data + i, &to, sizeof(to));
	}
}

static void make_target_odd(uint8_t *data, size_t len)
{
	const uint32_t from = 7 * 256, to = 0x707;
	uint32_t word;

	for (size_t i = 0; i + sizeof(word) <= len; i++) {
		memcpy(&word, data + i, sizeof(word));
		if (word == from)
			memcpy(data + i, &to, sizeof(to));
	}
}

static void snapshot_with_a_target_beyond_ram_is_refused(void **state)
{
	struct err e;

	(void)state;
	balloon_up();
	assert_ok(balloon_set_target(g.d.dev, 7, &e), e);
	balloon_restore(make_target_odd);
	assert_int_equal(config_word(0), 0x707);
	balloon_restore_fails(grow_target, "more than RAM");
}

static void destroying_leaves_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	g.config.stats_polling_interval_s = 5;
	balloon_up();
	assert_int_equal(testing_count_fds(), before + 4);
	virtio_destroy(g.d.dev);
	g.config.stats_polling_interval_s = 0;
	balloon_new();
	assert_int_equal(testing_count_fds(), before + 2);
	virtio_destroy(g.d.dev);
	g.d.dev = NULL;
	assert_int_equal(testing_count_fds(), before);
}

static void take_time(void)
{
	usleep(700);
}

/* Each of its pages goes back once, a few in each turn of the loop. */
static void long_chain_leaves_the_loop_in_between(void **state)
{
	enum { COUNT = 16, PAGE = 4096, QUEUE = 2 };
	const struct balloon_metrics *m;
	gpa_t gpa;
	struct driver_buffer buffers[COUNT];
	unsigned polls = 0;

	(void)state;
	g.config.free_page_reporting = true;
	balloon_up();
	m = balloon_metrics(g.d.dev);
	gpa = balloon_filled(2 * COUNT * PAGE);
	for (unsigned i = 0; i < COUNT; i++)
		buffers[i] = (struct driver_buffer){gpa + 2ull * i * PAGE, PAGE,
						    true};
	g.watch = take_time;
	driver_add(&g.d, QUEUE, buffers, COUNT);
	driver_kick(&g.d, QUEUE);
	while (!driver_used(&g.d, QUEUE, NULL, NULL)) {
		unsigned before = g.calls;

		polls++;
		assert_int_equal(driver_poll(&g.d, 0), 1);
		assert_in_range(g.calls - before, 1, 5);
	}
	assert_in_range(polls, 4, COUNT);
	assert_int_equal(g.calls, COUNT);
	assert_int_equal(m->free_page_report_count, COUNT);
	assert_int_equal(m->free_page_report_freed, COUNT * PAGE);
	assert_int_equal(balloon_resident(gpa, 2 * COUNT * PAGE), COUNT);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, balloon_begin, balloon_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features_are_those_asked_for),
		TEST(queues_are_those_that_are_needed),
		TEST(configuration_can_be_read_back),
		TEST(driver_sees_the_target),
		TEST(new_target_is_told),
		TEST(target_beyond_ram_is_refused),
		TEST(nothing_is_told_without_a_driver),
		TEST(driver_tells_the_size_and_nothing_else),
		TEST(reset_empties_it_and_keeps_the_target),
		TEST(snapshot_keeps_target_and_size),
		TEST(snapshot_with_a_target_beyond_ram_is_refused),
		TEST(destroying_leaves_no_descriptor),
		TEST(long_chain_leaves_the_loop_in_between),
	};

	return RUN_TESTS("balloon", tests);
}
