/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy: devices/virtio/rng/rng.c, on a getrandom() that can fail. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/virtio/rng/rng.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"

enum { SIZE = 16 };

static struct driver d;
static struct rng_config config;
static int fail_after;   /* calls; negative: never */
static size_t most;      /* bytes of a call */
static unsigned slow_us; /* what a call takes at least */

ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	if (!fail_after) {
		errno = ENOSYS;
		return -1;
	}
	fail_after--;
	if (slow_us)
		usleep(slow_us);
	return __real_getrandom(buf, len < most ? len : most, flags);
}

static int begin(void **state)
{
	(void)state;
	driver_begin(&d);
	config = (struct rng_config){0};
	fail_after = -1;
	most = SIZE_MAX;
	slow_us = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

static void create(void)
{
	struct virtio_slot slot = driver_slot(&d);
	struct err e;

	d.dev = rng_create(&slot, &config, &e);
	if (!d.dev)
		fail_msg("%s", e.text);
	driver_start(&d, d.dev->offered, SIZE);
}

static void ask(gpa_t gpa, uint32_t len)
{
	struct driver_buffer buffer = {gpa, len, true};

	driver_add(&d, 0, &buffer, 1);
	driver_kick(&d, 0);
	driver_run(&d);
}

static uint32_t got(void)
{
	uint32_t len = 0;

	assert_true(driver_used(&d, 0, NULL, &len));
	return len;
}

/* Bytes of @len at @gpa that are not @fill. */
static unsigned changed(gpa_t gpa, unsigned len, uint8_t fill)
{
	const uint8_t *p = driver_at(&d, gpa);
	unsigned count = 0;

	for (unsigned i = 0; i < len; i++)
		count += p[i] != fill;
	return count;
}

static void buffer_is_filled_and_no_more(void **state)
{
	gpa_t at = driver_alloc(&d, 4096);

	(void)state;
	create();
	memset(driver_at(&d, at), 0x55, 4096);
	ask(at + 100, 2000);
	assert_int_equal(got(), 2000);
	assert_true(changed(at + 100, 2000, 0x55) > 1900);
	assert_int_equal(changed(at, 100, 0x55), 0);
	assert_int_equal(changed(at + 2100, 1996, 0x55), 0);
	assert_int_equal(rng_metrics(d.dev)->entropy_bytes, 2000);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void two_answers_differ(void **state)
{
	gpa_t a = driver_alloc(&d, 32), b = driver_alloc(&d, 32);

	(void)state;
	create();
	ask(a, 32);
	ask(b, 32);
	assert_memory_not_equal(driver_at(&d, a), driver_at(&d, b), 32);
}

static void answer_spans_buffers_and_calls(void **state)
{
	gpa_t at = driver_alloc(&d, 600);
	struct driver_buffer three[] = {
		{at, 100, true}, {at + 200, 0, true}, {at + 200, 300, true}};

	(void)state;
	most = 7;
	create();
	memset(driver_at(&d, at), 0, 600);
	driver_add(&d, 0, three, 3);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(got(), 400);
	assert_true(changed(at, 100, 0) > 80);
	assert_true(changed(at + 200, 300, 0) > 270);
	assert_int_equal(changed(at + 100, 100, 0), 0);
}

static void slow_answers_leave_the_loop_in_between(void **state)
{
	struct driver_buffer buffer = {DRIVER_DATA, 100, true};
	unsigned done = 0;

	(void)state;
	create();
	slow_us = 700;
	for (unsigned i = 0; i < SIZE; i++)
		driver_add(&d, 0, &buffer, 1);
	driver_kick(&d, 0);
	while (done < SIZE) {
		unsigned before = done;

		assert_int_equal(driver_poll(&d, 0), 1);
		while (driver_used(&d, 0, NULL, NULL))
			done++;
		/* Two milliseconds, and what is not measured. */
		assert_in_range(done - before, 1, 5);
	}
}

static void large_requests_are_cut(void **state)
{
	(void)state;
	create();
	ask(DRIVER_DATA, 1 << 20);
	assert_int_equal(got(), 65536);
}

static void request_for_nothing_is_given_back(void **state)
{
	struct driver_buffer out = {DRIVER_DATA, 64, false};

	(void)state;
	create();
	driver_add(&d, 0, &out, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(got(), 0);
	assert_int_equal(rng_metrics(d.dev)->entropy_event_fails, 1);
}

static void host_without_entropy_gives_what_it_has(void **state)
{
	(void)state;
	create();
	most = 10;
	fail_after = 3;
	ask(DRIVER_DATA, 64);
	assert_int_equal(got(), 30);
	assert_int_equal(rng_metrics(d.dev)->host_rng_fails, 1);
	fail_after = -1;
	ask(DRIVER_DATA, 64);
	assert_int_equal(got(), 64);
}

static void limiter_holds(void **state)
{
	(void)state;
	config.limiter.bandwidth =
		(struct token_bucket_config){100, 1000000, 0};
	create();
	ask(DRIVER_DATA, 100);
	assert_int_equal(got(), 100);
	ask(DRIVER_DATA, 100);
	ask(DRIVER_DATA, 50);
	assert_false(driver_used(&d, 0, NULL, NULL));
	assert_int_equal(rng_metrics(d.dev)->entropy_rate_limiter_throttled, 1);
}

static void timer_lets_go(void **state)
{
	(void)state;
	config.limiter.ops = (struct token_bucket_config){1, 20, 0};
	create();
	ask(DRIVER_DATA, 8);
	ask(DRIVER_DATA, 8);
	assert_int_equal(got(), 8);
	assert_false(driver_used(&d, 0, NULL, NULL));
	assert_true(driver_wait_used(&d, 0));
	assert_int_equal(got(), 8);
	assert_int_equal(rng_metrics(d.dev)->rate_limiter_event_count, 1);
}

static void destroying_leaves_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	config.limiter.ops = (struct token_bucket_config){1, 20, 0};
	create();
	assert_int_equal(testing_count_fds(), before + 2);
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_int_equal(testing_count_fds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(buffer_is_filled_and_no_more),
		TEST(two_answers_differ),
		TEST(answer_spans_buffers_and_calls),
		TEST(slow_answers_leave_the_loop_in_between),
		TEST(large_requests_are_cut),
		TEST(request_for_nothing_is_given_back),
		TEST(host_without_entropy_gives_what_it_has),
		TEST(limiter_holds),
		TEST(timer_lets_go),
		TEST(destroying_leaves_no_descriptor),
	};

	return RUN_TESTS("rng", tests);
}
