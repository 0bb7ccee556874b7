/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest time in a snapshot: on the same boot of the same host, after a reboot,
 * and on another host, whose clocks and counter are what the test says.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "snapshot/codec.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

enum { NOW = 1800000000 }; /* seconds since 1970 */

#define BOOTED (1799999000123456789ll) /* ns since 1970 */

struct host {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct clock_config config;
	struct arch_clock clock;
	struct arch_clock_record record;
	struct err e;
};

/* ----------------------------------------------------- what the kernel says */

static struct timex kernel_clock;
static int kernel_state;

/* The linker's --wrap leads all calls here. */
int __wrap_adjtimex(struct timex *t);
int __wrap_adjtimex(struct timex *t)
{
	*t = kernel_clock; /* its rate does not matter here */
	return kernel_state;
}

static void synchronise(long max_error_us, int tai)
{
	kernel_state = TIME_OK;
	kernel_clock = (struct timex){.maxerror = max_error_us, .tai = tai};
	fake_clock_set_tai(tai);
}

/* ------------------------------------------------------------------- worlds */

static void create(struct host *h)
{
	h->config.max_jump_ms = CLOCK_MAX_JUMP_MS;
	h->vm.kvm_fd = kvm_open("kvm", &h->e);
	assert_ok(kvm_vm_create(&h->vm, h->vm.kvm_fd, 0, &h->e), h->e);
	assert_ok(kvm_vcpu_create(&h->vm, &h->vcpu, 0, &h->e), h->e);
	assert_ok(arch_clock_pin(&h->clock, &h->vm, &h->config, &h->e), h->e);
}

static void destroy(struct host *h)
{
	kvm_vcpu_destroy(&h->vcpu);
	kvm_vm_destroy(&h->vm);
	close(h->vm.kvm_fd);
}

/* A guest that ran for a while, and stopped; what is recorded of it. */
static int set_up(void **state)
{
	struct host *h = calloc(1, sizeof(*h));
	const struct clock_request boot = {.policy = CLOCK_FROZEN};

	kvm_fake_reset();
	fake_clock_set(NOW, 0);
	fake_clock_set_boot(BOOTED);
	synchronise(1000, 37);
	create(h);
	assert_ok(arch_clock_start(&h->clock, &h->vm, &h->vcpu, &boot, &h->e),
		  h->e);
	kvm_fake.counter += 5ull * kvm_fake.hz;
	assert_ok(
		arch_clock_stop(&h->clock, &h->vcpu, kvm_counter_read(), &h->e),
		h->e);
	assert_ok(arch_clock_record(&h->clock, &h->record, &h->e), h->e);
	destroy(h);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct host *h = *state;

	destroy(h);
	free(h);
	return 0;
}

/* Another process, when the host's counter is at @counter. */
static int load(struct host *h, uint64_t counter)
{
	kvm_fake_reset();
	kvm_fake.counter = counter;
	create(h);
	return arch_clock_restore(&h->clock, &h->record, &h->e);
}

static void reboot(struct host *h)
{
	h->record.boot_id[0] ^= 1;
}

static int go_on(struct host *h, enum clock_policy policy, bool any_clock)
{
	const struct clock_request request = {.policy = policy,
					      .unsynchronized = any_clock};

	return arch_clock_start(&h->clock, &h->vm, &h->vcpu, &request, &h->e);
}

static uint64_t guest_now(void)
{
	return kvm_counter_read() - kvm_fake.offset;
}

static uint64_t ticks_of_ms(uint64_t ms)
{
	return ms * kvm_fake.hz / 1000;
}

/* ------------------------------------------------------------ the same boot */

static void frozen_goes_on_where_it_stopped(void **state)
{
	struct host *h = *state;

	assert_ok(load(h, kvm_fake.counter + (1ull << 50)), h->e);
	assert_ok(go_on(h, CLOCK_FROZEN, false), h->e);
	assert_in_range(guest_now() - h->record.guest_stopped, 1,
			100 * kvm_fake.tick);
}

static void continuous_has_the_same_offset(void **state)
{
	struct host *h = *state;

	/* What the wall clock says does not matter. */
	fake_clock_set(NOW - 1000000, 0);
	synchronise(0, 0);
	kernel_state = TIME_ERROR;
	assert_ok(load(h, kvm_fake.counter + 60ull * kvm_fake.hz), h->e);
	assert_false(h->clock.estimated);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	assert_int_equal(kvm_fake.offset, h->record.offset);
	assert_int_equal(h->clock.offset, h->record.offset);
}

static void it_can_be_set_but_not_back(void **state)
{
	struct host *h = *state;
	struct clock_request set = {.policy = CLOCK_SET};

	assert_ok(load(h, kvm_fake.counter + 1000), h->e);
	set.ticks = h->record.guest_stopped - 1;
	assert_err(arch_clock_start(&h->clock, &h->vm, &h->vcpu, &set, &h->e),
		   h->e, "cannot go back");
	set.ticks = h->record.guest_stopped + 12345;
	assert_ok(arch_clock_start(&h->clock, &h->vm, &h->vcpu, &set, &h->e),
		  h->e);
	assert_in_range(guest_now() - set.ticks, 1, 100 * kvm_fake.tick);
}

static void by_default_it_is_as_configured_for_a_restore(void **state)
{
	struct host *h = *state;

	h->config.on_restore = CLOCK_CONTINUOUS;
	assert_ok(load(h, kvm_fake.counter + 60ull * kvm_fake.hz), h->e);
	assert_ok(arch_clock_start(&h->clock, &h->vm, &h->vcpu, NULL, &h->e),
		  h->e);
	assert_int_equal(kvm_fake.offset, h->record.offset);
}

/* ---------------------------------------------------------- after a reboot */

/* Its counter is less than the guest's. */
static void frozen_needs_no_clock(void **state)
{
	struct host *h = *state;

	reboot(h);
	fake_clock_set(5, 0);
	kernel_state = TIME_ERROR;
	assert_ok(load(h, 1000), h->e);
	assert_ok(go_on(h, CLOCK_FROZEN, false), h->e);
	assert_true(kvm_fake.counter < h->record.guest_stopped);
	assert_in_range(guest_now() - h->record.guest_stopped, 1,
			100 * kvm_fake.tick);
}

static void continuous_adds_what_the_clock_says(void **state)
{
	struct host *h = *state;
	uint64_t late;

	reboot(h);
	fake_clock_set(NOW + 100, 500000000);
	assert_ok(load(h, 12345), h->e);
	assert_true(h->clock.estimated);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	late = guest_now() - h->record.guest_stopped - ticks_of_ms(100500);
	/* And from the stop until it was recorded. */
	assert_in_range(late, h->record.sample.host - h->record.host_stopped,
			1000 * kvm_fake.tick);
	/* Both clocks' errors, and the oscillator's. */
	assert_in_range(h->clock.elapsed_error_ns, 3000000 + 5000000,
			3000000 + 5100000);
}

/* To the tick, over a time whose ticks no double holds. */
static void ticks_are_neither_rounded_nor_lost(void **state)
{
	const int64_t years = 100 * 365ll * 86400;
	struct host *h = *state;
	uint64_t ticks = (uint64_t)years * kvm_fake.hz + 2;
	uint64_t before = h->record.sample.host - h->record.host_stopped;

	reboot(h);
	assert_int_equal(kvm_fake.hz, 62500000);
	fake_clock_set(NOW + years, 39); /* 2.4 ticks */
	kvm_fake_reset();
	kvm_fake.counter = 1000;
	kvm_fake.tick = 0;
	create(h);
	assert_ok(arch_clock_restore(&h->clock, &h->record, &h->e), h->e);
	assert_true(h->clock.estimated);
	assert_true(1000 - h->clock.host_stopped == ticks + before);
}

/* The same boot's name, but its counter went back: it is another. */
static void a_counter_that_went_back_is_another_boot(void **state)
{
	struct host *h = *state;

	fake_clock_set(NOW + 10, 0);
	assert_ok(load(h, 1000), h->e);
	assert_true(h->clock.estimated);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	assert_true(guest_now() - h->record.guest_stopped >=
		    ticks_of_ms(10000));
}

static void leap_seconds_between_do_not_count(void **state)
{
	struct host *h = *state;

	reboot(h);
	synchronise(1000, 38);
	fake_clock_set(NOW + 9, 0); /* a second longer ago than UTC says */
	assert_ok(load(h, 1000), h->e);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	assert_in_range(guest_now() - h->record.guest_stopped,
			ticks_of_ms(10000), ticks_of_ms(10001));
}

/* A kernel that knows no TAI differs by today's offset, not by 37 s. */
static void a_kernel_without_tai_counts_the_same(void **state)
{
	struct host *h = *state;

	reboot(h);
	synchronise(1000, 0);
	fake_clock_set(NOW + 10, 0);
	assert_ok(load(h, 1000), h->e);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	assert_in_range(guest_now() - h->record.guest_stopped,
			ticks_of_ms(10000), ticks_of_ms(10001));
}

/* --------------------------------------------------------- what is refused */

static void clocks_that_nobody_set_are_not_believed(void **state)
{
	struct host *h = *state;

	reboot(h);
	fake_clock_set(NOW + 10, 0);
	kernel_state = TIME_ERROR;
	assert_ok(load(h, 1000), h->e);
	assert_err(go_on(h, CLOCK_CONTINUOUS, false), h->e, "not synchronised");
	assert_ok(go_on(h, CLOCK_CONTINUOUS, true), h->e);
	assert_true(guest_now() - h->record.guest_stopped >=
		    ticks_of_ms(10000));
}

static void nor_was_the_one_then(void **state)
{
	struct host *h = *state;

	reboot(h);
	fake_clock_set(NOW + 10, 0);
	h->record.sample.synchronized = false;
	assert_ok(load(h, 1000), h->e);
	assert_err(go_on(h, CLOCK_CONTINUOUS, false), h->e, "not synchronised");
	assert_ok(go_on(h, CLOCK_FROZEN, false), h->e);
}

static void a_clock_that_went_back_is_refused(void **state)
{
	struct host *h = *state;

	reboot(h);
	fake_clock_set(NOW - 10, 0);
	assert_ok(load(h, 1000), h->e);
	assert_err(go_on(h, CLOCK_CONTINUOUS, true), h->e, "clock went back");
	assert_ok(go_on(h, CLOCK_FROZEN, false), h->e);
	assert_in_range(guest_now() - h->record.guest_stopped, 1,
			100 * kvm_fake.tick);
}

static void a_jump_above_the_limit_is_refused(void **state)
{
	struct host *h = *state;
	struct clock_request far = {.policy = CLOCK_CONTINUOUS,
				    .has_max_jump = true,
				    .max_jump_ms = 1000000};

	reboot(h);
	fake_clock_set(NOW + CLOCK_MAX_JUMP_MS / 1000 + 1, 0);
	assert_ok(load(h, 1000), h->e);
	assert_err(go_on(h, CLOCK_CONTINUOUS, false), h->e, "max_jump_ms");
	assert_ok(arch_clock_start(&h->clock, &h->vm, &h->vcpu, &far, &h->e),
		  h->e);
}

static void another_frequency_is_refused(void **state)
{
	struct host *h = *state;

	h->record.hz++;
	assert_err(load(h, kvm_fake.counter), h->e, "62500001 Hz");
	assert_contains(h->e.text, "62500000 Hz");
}

static void a_host_without_offsets_is_refused(void **state)
{
	struct host *h = *state;

	kvm_fake_reset();
	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 0;
	create(h);
	assert_err(arch_clock_restore(&h->clock, &h->record, &h->e), h->e,
		   "no counter offset");
	assert_err(arch_clock_record(&h->clock, &h->record, &h->e), h->e,
		   "no counter offset");
}

/* ------------------------------------------------------------------- chains */

/* Restored by wall clocks, and saved before it went on: the doubt stays. */
static void what_is_not_known_is_not_forgotten(void **state)
{
	struct host *h = *state;
	struct arch_clock_record again;

	reboot(h);
	fake_clock_set(NOW + 100, 0);
	h->record.sample.synchronized = false;
	assert_ok(load(h, 1000), h->e);
	assert_ok(arch_clock_record(&h->clock, &again, &h->e), h->e);
	assert_false(again.sample.synchronized);
	assert_true(again.sample.max_error >= 2000000);
	assert_int_equal(again.guest_stopped, h->record.guest_stopped);
}

/* Saved again without having run: how long it was away adds up. */
static void a_pause_over_two_reboots_counts_as_one(void **state)
{
	struct host *h = *state;
	const uint64_t stopped = h->record.guest_stopped;

	reboot(h);
	fake_clock_set(NOW + 100, 0);
	assert_ok(load(h, 1000), h->e);
	assert_ok(arch_clock_record(&h->clock, &h->record, &h->e), h->e);
	destroy(h);
	reboot(h);
	fake_clock_set(NOW + 150, 0);
	assert_ok(load(h, 77), h->e);
	assert_ok(go_on(h, CLOCK_CONTINUOUS, false), h->e);
	assert_in_range(guest_now() - stopped, ticks_of_ms(150000),
			ticks_of_ms(150001));
}

/* ----------------------------------------------------------------- the file */

/* What must not be loaded is not written either. */
static int put_and_get(struct arch_clock_record *r,
		       struct arch_clock_record *out, struct err *e)
{
	struct snap s, in;
	const void *data;
	size_t len;
	int result;

	snap_save(&s, SNAPSHOT_VERSION);
	arch_clock_record_state(r, &s);
	arch_clock_boot_state(r, &s);
	result = snap_finish(&s, e);
	if (!result) {
		data = snap_data(&s, &len);
		snap_load(&in, data, len, SNAPSHOT_VERSION);
		arch_clock_record_state(out, &in);
		arch_clock_boot_state(out, &in);
		result = snap_finish(&in, e);
	}
	snap_fini(&s);
	return result;
}

static void it_is_read_as_it_was_written(void **state)
{
	struct host *h = *state;
	struct arch_clock_record out = {0};

	create(h);
	h->record.sample.tai_offset = -5;
	assert_ok(put_and_get(&h->record, &out, &h->e), h->e);
	assert_int_equal(out.hz, h->record.hz);
	assert_int_equal(out.offset, h->record.offset);
	assert_int_equal(out.host_stopped, h->record.host_stopped);
	assert_int_equal(out.guest_stopped, h->record.guest_stopped);
	assert_string_equal(out.boot_id, h->record.boot_id);
	assert_memory_equal(&out.sample, &h->record.sample,
			    offsetof(struct arch_clock_sample, est_error));
	assert_int_equal(out.boot.ns, h->record.boot.ns);
	assert_int_equal(out.boot.width_ns, h->record.boot.width_ns);
}

/* The latest that can be written: any sum of it still fits. */
static void the_end_of_time_is_no_overflow(void **state)
{
	struct host *h = *state;

	reboot(h);
	h->record.sample.tai_sec = INT64_MAX / 1000000000 - 1;
	h->record.sample.tai_ns = 999999999;
	assert_ok(put_and_get(&h->record, &h->record, &h->e), h->e);
	assert_ok(load(h, 1000), h->e);
	assert_err(go_on(h, CLOCK_CONTINUOUS, true), h->e, "went back");
}

static void a_date_beyond_it_is_refused(void **state)
{
	struct host *h = *state;
	struct arch_clock_record out = {0};

	create(h);
	h->record.sample.tai_sec = INT64_MAX / 1000000000;
	assert_err(put_and_get(&h->record, &out, &h->e), h->e, "1970");
	h->record.sample.tai_sec = NOW;
	h->record.sample.tai_ns = 1000000000;
	assert_err(put_and_get(&h->record, &out, &h->e), h->e, "nanoseconds");
}

#define RECORD_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECORD_TEST(frozen_goes_on_where_it_stopped),
		RECORD_TEST(continuous_has_the_same_offset),
		RECORD_TEST(it_can_be_set_but_not_back),
		RECORD_TEST(by_default_it_is_as_configured_for_a_restore),
		RECORD_TEST(frozen_needs_no_clock),
		RECORD_TEST(continuous_adds_what_the_clock_says),
		RECORD_TEST(ticks_are_neither_rounded_nor_lost),
		RECORD_TEST(a_counter_that_went_back_is_another_boot),
		RECORD_TEST(leap_seconds_between_do_not_count),
		RECORD_TEST(a_kernel_without_tai_counts_the_same),
		RECORD_TEST(clocks_that_nobody_set_are_not_believed),
		RECORD_TEST(nor_was_the_one_then),
		RECORD_TEST(a_clock_that_went_back_is_refused),
		RECORD_TEST(a_jump_above_the_limit_is_refused),
		RECORD_TEST(another_frequency_is_refused),
		RECORD_TEST(a_host_without_offsets_is_refused),
		RECORD_TEST(what_is_not_known_is_not_forgotten),
		RECORD_TEST(a_pause_over_two_reboots_counts_as_one),
		RECORD_TEST(it_is_read_as_it_was_written),
		RECORD_TEST(the_end_of_time_is_no_overflow),
		RECORD_TEST(a_date_beyond_it_is_refused),
	};

	return RUN_TESTS("clock_record", tests);
}
