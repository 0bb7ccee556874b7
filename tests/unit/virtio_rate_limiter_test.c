/* SPDX-License-Identifier: Apache-2.0 */
/* Two buckets and a timer: devices/virtio/rate_limiter.c. */
#include "core/base/util.h"
#include "devices/virtio/rate_limiter.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "tests/unit/virtio_probe.h"

enum { HOUR_MS = 3600000 };

static struct rate_limiter limiter;

static void ready(struct virtio_device *dev)
{
	(void)dev;
}

static void start(struct token_bucket_config bandwidth,
		  struct token_bucket_config ops)
{
	const struct rate_limiter_config config = {bandwidth, ops};
	struct err e;

	assert_ok(rate_limiter_init(&limiter, &probe->dev, &config, ready, &e),
		  e);
}

static int end(void **state)
{
	rate_limiter_fini(&limiter);
	return probe_end(state);
}

/* A request that waits for bytes has not cost an operation. */
static void what_waits_costs_one_operation_in_all(void **state)
{
	(void)state;
	start((struct token_bucket_config){100, 100, 0},
	      (struct token_bucket_config){2, HOUR_MS, 0});
	assert_true(rate_limiter_take(&limiter, 90));
	for (unsigned i = 0; i < 2; i++) {
		assert_false(rate_limiter_take(&limiter, 90));
		assert_true(limiter.throttled);
		limiter.throttled = false; /* as if it was told to try */
	}
	limiter.throttled = true;
	while (limiter.throttled)
		driver_poll(&d, 1000);
	assert_true(rate_limiter_take(&limiter, 90));
	assert_false(rate_limiter_take(&limiter, 1));
}

/* What is saved of this one, with this in its buckets, is loaded. */
static bool loads(uint64_t budget, uint64_t refill_ns)
{
	struct snap out, in;
	const void *data;
	struct err e;
	size_t len;
	int r;

	start((struct token_bucket_config){100, HOUR_MS, 0},
	      (struct token_bucket_config){5, HOUR_MS, 0});
	limiter.ops.budget = budget;
	limiter.ops.refill_ns = refill_ns;
	snap_save(&out, SNAPSHOT_VERSION);
	/* Saving checks as loading does. */
	rate_limiter_state(&limiter, &probe->dev, &out);
	out.failed = false;
	data = snap_data(&out, &len);
	snap_load(&in, data, len, SNAPSHOT_VERSION);
	rate_limiter_state(&limiter, &probe->dev, &in);
	r = snap_finish(&in, &e);
	snap_fini(&out);
	rate_limiter_fini(&limiter);
	return !r;
}

static void impossible_buckets_are_not_loaded(void **state)
{
	(void)state;
	assert_true(loads(5, 1));
	assert_true(loads(0, 1));
	assert_false(loads(6, UINT64_MAX));
	assert_false(loads(UINT64_MAX, UINT64_MAX));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, probe_begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_waits_costs_one_operation_in_all),
		TEST(impossible_buckets_are_not_loaded),
	};

	return RUN_TESTS("rate_limiter", tests);
}
