/* SPDX-License-Identifier: Apache-2.0 */
/* Guest time: the arithmetic by itself, then what is asked of KVM and when. */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/aarch64/clock_model.h"
#include "arch/arch.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/base/err.h"

/* ------------------------------------------------------------------ model */

static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void an_offset_gives_back_the_guest_counter(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t host = random64(), guest = random64();

		assert_int_equal(clock_guest(host, clock_offset(host, guest)),
				 guest);
	}
}

static void a_frozen_guest_continues_where_it_stopped(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t stop = random64(), offset = random64();
		uint64_t resume = stop + random64(), later = random64();
		uint64_t guest = clock_guest(stop, offset);
		uint64_t moved = clock_offset(resume, guest);

		/* O' = O + D, and the guest sees only what came after. */
		assert_int_equal(moved, offset + (resume - stop));
		assert_int_equal(clock_guest(resume + later, moved),
				 guest + later);
	}
}

static void a_bracket_takes_what_lies_within(void **state)
{
	(void)state;
	assert_true(clock_bracketed(100, 60, 100, 40));
	assert_true(clock_bracketed(100, 65, 105, 40));
	assert_true(clock_bracketed(5, UINT64_MAX, 9, 6));
}

static void a_bracket_refuses_one_tick_outside(void **state)
{
	(void)state;
	assert_false(clock_bracketed(100, 59, 105, 40));
	assert_false(clock_bracketed(100, 66, 105, 40));
	assert_false(clock_bracketed(5, UINT64_MAX - 2, 9, 6));
}

static void nanoseconds_neither_wrap_nor_round_up(void **state)
{
	(void)state;
	assert_int_equal(clock_ns(1, 1000000000), 1);
	assert_int_equal(clock_ns(3, 2000000000), 1);
	/* 768 s at 24 MHz is where 64-bit products wrap. */
	assert_int_equal(clock_ns(24000000ull * 10000, 24000000),
			 10000ull * 1000000000);
	assert_int_equal(clock_ns(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(clock_ns(5, 0), 0);
}

/* -------------------------------------------------------------------- KVM */

struct machine {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct arch_clock clock;
	struct err e;
};

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	kvm_fake_reset();
	m->vm.kvm_fd = kvm_open("kvm", &m->e);
	assert_int_equal(kvm_vm_create(&m->vm, m->vm.kvm_fd, 0, &m->e), 0);
	assert_int_equal(kvm_vcpu_create(&m->vm, &m->vcpu, 0, &m->e), 0);
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	kvm_vcpu_destroy(&m->vcpu);
	kvm_vm_destroy(&m->vm);
	close(m->vm.kvm_fd);
	free(m);
	return 0;
}

static uint64_t guest_now(void)
{
	return kvm_counter_read() - kvm_fake.offset;
}

static void boot(struct machine *m)
{
	assert_int_equal(arch_clock_pin(&m->clock, &m->vm, &m->e), 0);
	kvm_fake.counter += 5000; /* building takes its time */
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 0);
}

static void creation_pins_the_offset(void **state)
{
	struct machine *m = *state;

	assert_int_equal(arch_clock_pin(&m->clock, &m->vm, &m->e), 0);
	assert_int_equal(kvm_fake.offset_sets, 1);
	assert_int_equal(m->clock.offset, kvm_fake.offset);
}

static void boot_starts_the_guest_at_zero(void **state)
{
	boot(*state);
	assert_int_equal(kvm_fake.offset_sets, 2);
	assert_in_range(guest_now(), 0, 10 * kvm_fake.tick);
}

static void a_frozen_pause_does_not_pass(void **state)
{
	struct machine *m = *state;
	uint64_t before, after;

	boot(m);
	kvm_fake.counter += 1000000;
	assert_int_equal(arch_clock_stop(&m->clock, &m->vcpu, &m->e), 0);
	before = m->clock.guest_stopped;
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 0);
	after = guest_now();
	assert_in_range(after - before, 1, 10 * kvm_fake.tick);
	assert_true(m->clock.frozen_ticks >= 1ull << 33);
}

static void a_continuous_pause_passes_and_touches_nothing(void **state)
{
	struct machine *m = *state;
	uint64_t offset;
	unsigned sets;

	boot(m);
	offset = kvm_fake.offset;
	sets = kvm_fake.offset_sets;
	assert_int_equal(arch_clock_stop(&m->clock, &m->vcpu, &m->e), 0);
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_CONTINUOUS, &m->e),
			 0);
	assert_int_equal(kvm_fake.offset, offset);
	assert_int_equal(kvm_fake.offset_sets, sets);
	assert_true(guest_now() - m->clock.guest_stopped >= 1ull << 33);
}

static void a_host_counter_behind_the_guests_is_ordinary(void **state)
{
	struct machine *m = *state;

	boot(m);
	kvm_fake.counter += 1ull << 35;
	assert_int_equal(arch_clock_stop(&m->clock, &m->vcpu, &m->e), 0);
	kvm_fake.counter = 1000; /* the host was rebooted */
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 0);
	assert_in_range(guest_now() - m->clock.guest_stopped, 1,
			10 * kvm_fake.tick);
}

static void a_busy_vcpu_is_waited_for(void **state)
{
	struct machine *m = *state;

	assert_int_equal(arch_clock_pin(&m->clock, &m->vm, &m->e), 0);
	kvm_fake.busy = 3;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 0);
	assert_int_equal(m->clock.busy_retries, 3);
}

static void a_vcpu_that_stays_busy_fails_the_start(void **state)
{
	struct machine *m = *state;

	assert_int_equal(arch_clock_pin(&m->clock, &m->vm, &m->e), 0);
	kvm_fake.busy = 1000000;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 -1);
	assert_non_null(strstr(m->e.text, "debugger"));
}

static void an_offset_that_did_not_take_fails_the_start(void **state)
{
	struct machine *m = *state;

	assert_int_equal(arch_clock_pin(&m->clock, &m->vm, &m->e), 0);
	kvm_fake.ignore_offset = true;
	kvm_fake.counter += 1000000;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 -1);
	assert_non_null(strstr(m->e.text, "not what was set"));
}

static void an_old_kernel_moves_the_virtual_counter(void **state)
{
	struct machine *m = *state;
	uint64_t before;

	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 0;
	boot(m);
	assert_int_equal(kvm_fake.offset_sets, 0);
	kvm_fake.counter += 1000000;
	assert_int_equal(arch_clock_stop(&m->clock, &m->vcpu, &m->e), 0);
	before = m->clock.guest_stopped;
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(arch_clock_start(&m->clock, &m->vm, &m->vcpu,
					  CLOCK_FROZEN, &m->e),
			 0);
	assert_in_range(guest_now() - before, 0, 10 * kvm_fake.tick);
	assert_in_range(m->clock.error_ticks, 1, 10 * kvm_fake.tick);
}

#define KVM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_offset_gives_back_the_guest_counter),
		cmocka_unit_test(a_frozen_guest_continues_where_it_stopped),
		cmocka_unit_test(a_bracket_takes_what_lies_within),
		cmocka_unit_test(a_bracket_refuses_one_tick_outside),
		cmocka_unit_test(nanoseconds_neither_wrap_nor_round_up),
		KVM_TEST(creation_pins_the_offset),
		KVM_TEST(boot_starts_the_guest_at_zero),
		KVM_TEST(a_frozen_pause_does_not_pass),
		KVM_TEST(a_continuous_pause_passes_and_touches_nothing),
		KVM_TEST(a_host_counter_behind_the_guests_is_ordinary),
		KVM_TEST(a_busy_vcpu_is_waited_for),
		KVM_TEST(a_vcpu_that_stays_busy_fails_the_start),
		KVM_TEST(an_offset_that_did_not_take_fails_the_start),
		KVM_TEST(an_old_kernel_moves_the_virtual_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
