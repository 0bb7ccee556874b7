/* SPDX-License-Identifier: Apache-2.0 */
/* Guest time: what is asked of KVM and when. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

/* -------------------------------------------------------------------- KVM */

struct machine {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct clock_config config;
	struct arch_clock clock;
	struct err e;
};

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));

	kvm_fake_reset();
	m->config.max_jump_ms = CLOCK_MAX_JUMP_MS;
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

static int pin(struct machine *m)
{
	return arch_clock_pin(&m->clock, &m->vm, &m->config, &m->e);
}

static int start_with(struct machine *m, struct clock_request request)
{
	return arch_clock_start(&m->clock, &m->vm, &m->vcpu, &request, &m->e);
}

static int start(struct machine *m, enum clock_policy policy)
{
	return start_with(m, (struct clock_request){.policy = policy});
}

static void boot(struct machine *m)
{
	assert_int_equal(pin(m), 0);
	kvm_fake.counter += 5000; /* building takes its time */
	assert_int_equal(start(m, CLOCK_FROZEN), 0);
}

static void creation_pins_the_offset(void **state)
{
	struct machine *m = *state;

	assert_int_equal(pin(m), 0);
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
	assert_int_equal(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		0);
	before = m->clock.guest_stopped;
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(start(m, CLOCK_FROZEN), 0);
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
	assert_int_equal(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		0);
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(start(m, CLOCK_CONTINUOUS), 0);
	assert_int_equal(kvm_fake.offset, offset);
	assert_int_equal(kvm_fake.offset_sets, sets);
	assert_true(guest_now() - m->clock.guest_stopped >= 1ull << 33);
}

static void a_host_counter_behind_the_guests_is_ordinary(void **state)
{
	struct machine *m = *state;

	boot(m);
	kvm_fake.counter += 1ull << 35;
	assert_int_equal(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		0);
	kvm_fake.counter = 1000; /* the host was rebooted */
	assert_int_equal(start(m, CLOCK_FROZEN), 0);
	assert_in_range(guest_now() - m->clock.guest_stopped, 1,
			10 * kvm_fake.tick);
}

static void a_busy_vcpu_is_waited_for(void **state)
{
	struct machine *m = *state;

	assert_int_equal(pin(m), 0);
	kvm_fake.busy = 3;
	assert_int_equal(start(m, CLOCK_FROZEN), 0);
	assert_int_equal(m->clock.busy_retries, 3);
}

static void a_vcpu_that_stays_busy_fails_the_start(void **state)
{
	struct machine *m = *state;

	assert_int_equal(pin(m), 0);
	kvm_fake.busy = 1000000;
	assert_int_equal(start(m, CLOCK_FROZEN), -1);
	assert_non_null(strstr(m->e.text, "debugger"));
}

static void an_offset_that_did_not_take_fails_the_start(void **state)
{
	struct machine *m = *state;

	assert_int_equal(pin(m), 0);
	kvm_fake.ignore_offset = true;
	kvm_fake.counter += 1000000;
	assert_int_equal(start(m, CLOCK_FROZEN), -1);
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
	assert_int_equal(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		0);
	before = m->clock.guest_stopped;
	kvm_fake.counter += 1ull << 33;
	assert_int_equal(start(m, CLOCK_FROZEN), 0);
	assert_in_range(guest_now() - before, 0, 10 * kvm_fake.tick);
	assert_in_range(m->clock.error_ticks, 1, 10 * kvm_fake.tick);
}

/* ---------------------------------------------------- what is asked for */

static void stop(struct machine *m)
{
	assert_ok(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		m->e);
}

static void the_vms_policy_counts_where_nothing_is_asked(void **state)
{
	struct machine *m = *state;
	uint64_t offset;

	m->config.on_pause = CLOCK_CONTINUOUS;
	boot(m);
	offset = kvm_fake.offset;
	stop(m);
	kvm_fake.counter += 1000000;
	assert_ok(arch_clock_start(&m->clock, &m->vm, &m->vcpu, NULL, &m->e),
		  m->e);
	assert_int_equal(kvm_fake.offset, offset);
	stop(m);
	kvm_fake.counter += 1000000;
	assert_ok(start(m, CLOCK_FROZEN), m->e);
	assert_in_range(kvm_fake.offset - offset, 1000000, 1010000);
}

static void a_set_counter_goes_on_from_there(void **state)
{
	struct machine *m = *state;
	struct clock_request set = {.policy = CLOCK_SET};

	boot(m);
	stop(m);
	set.ticks = m->clock.guest_stopped + 12345;
	kvm_fake.counter += 1ull << 40;
	assert_ok(start_with(m, set), m->e);
	assert_in_range(guest_now() - set.ticks, 1, 10 * kvm_fake.tick);
	/* To where it stopped is not back. */
	stop(m);
	set.ticks = m->clock.guest_stopped;
	assert_ok(start_with(m, set), m->e);
}

static void a_counter_is_not_set_back(void **state)
{
	struct machine *m = *state;
	struct clock_request set = {.policy = CLOCK_SET};
	uint64_t offset;

	boot(m);
	kvm_fake.counter += 1000000;
	stop(m);
	offset = kvm_fake.offset;
	set.ticks = m->clock.guest_stopped - 1;
	assert_err(arch_clock_may_start(&m->clock, &set, &m->e), m->e,
		   "cannot go back");
	assert_err(start_with(m, set), m->e, "cannot go back");
	assert_int_equal(kvm_fake.offset, offset);
	assert_ok(start(m, CLOCK_FROZEN), m->e);
}

static void a_jump_that_is_too_long_is_refused(void **state)
{
	struct machine *m = *state;
	struct clock_request request = {
		.policy = CLOCK_CONTINUOUS,
		.has_max_jump = true,
		.max_jump_ms = 601000,
	};
	uint64_t offset;

	boot(m);
	stop(m);
	offset = kvm_fake.offset;
	kvm_fake.counter += 600ull * kvm_fake.hz;
	assert_err(start(m, CLOCK_CONTINUOUS), m->e,
		   "jump by 600000 ms, more than `max_jump_ms` (600000)");
	assert_contains(m->e.text, "resume it frozen");
	assert_int_equal(kvm_fake.offset, offset);
	assert_int_equal(m->clock.longest_jump_ticks, 0);
	assert_ok(start_with(m, request), m->e);
	assert_in_range(m->clock.longest_jump_ticks, 600ull * kvm_fake.hz,
			601ull * kvm_fake.hz);
	assert_int_equal(kvm_fake.offset, offset);
}

static void a_set_counter_may_jump_no_further(void **state)
{
	struct machine *m = *state;
	struct clock_request set = {.policy = CLOCK_SET};

	boot(m);
	stop(m);
	set.ticks = m->clock.guest_stopped + 600ull * kvm_fake.hz + 1;
	assert_err(start_with(m, set), m->e, "`max_jump_ms`");
	set.ticks--;
	assert_ok(start_with(m, set), m->e);
}

static void a_frozen_pause_may_take_for_ever(void **state)
{
	struct machine *m = *state;

	m->config.max_jump_ms = 0;
	boot(m);
	stop(m);
	kvm_fake.counter += 1ull << 62;
	assert_ok(start(m, CLOCK_FROZEN), m->e);
}

static void a_host_counter_that_went_back_is_not_gone_on_with(void **state)
{
	struct machine *m = *state;

	boot(m);
	stop(m);
	kvm_fake.counter -= 1000000;
	assert_err(start(m, CLOCK_CONTINUOUS), m->e, "went back");
	assert_ok(start(m, CLOCK_FROZEN), m->e);
}

/* KVM took the new offset, and then something else went wrong. */
static void continuous_after_a_failed_start_is_still_exact(void **state)
{
	struct machine *m = *state;
	uint64_t offset;

	boot(m);
	stop(m);
	offset = kvm_fake.offset;
	kvm_fake.counter += 1000000;
	kvm_fake.fail_at = kvm_fake.calls + 2;
	kvm_fake.fail_errno = EIO;
	assert_int_equal(start(m, CLOCK_FROZEN), -1);
	assert_int_not_equal(kvm_fake.offset, offset);
	assert_ok(start(m, CLOCK_CONTINUOUS), m->e);
	assert_int_equal(kvm_fake.offset, offset);
}

static void frozen_after_a_failed_start_loses_nothing(void **state)
{
	struct machine *m = *state;

	boot(m);
	stop(m);
	kvm_fake.counter += 1000000;
	kvm_fake.fail_at = kvm_fake.calls + 2;
	kvm_fake.fail_errno = EIO;
	assert_int_equal(start(m, CLOCK_FROZEN), -1);
	kvm_fake.counter += 1000000;
	assert_ok(start(m, CLOCK_FROZEN), m->e);
	assert_in_range(guest_now() - m->clock.guest_stopped, 1,
			10 * kvm_fake.tick);
	assert_in_range(m->clock.frozen_ticks, 2000000, 2010000);
}

/* --------------------------------------------------- the physical counter */

static void the_hosts_physical_counter_is_left_alone(void **state)
{
	struct machine *m = *state;

	m->config.physical = CLOCK_PHYSICAL_HOST;
	boot(m);
	stop(m);
	kvm_fake.counter += 1ull << 33;
	assert_ok(start(m, CLOCK_FROZEN), m->e);
	assert_int_equal(kvm_fake.offset_sets, 0);
	assert_in_range(guest_now() - m->clock.guest_stopped, 0,
			10 * kvm_fake.tick);
	/* What we believe is what KVM does, but for the error we tell. */
	assert_in_range(kvm_fake.offset - m->clock.offset, 0,
			m->clock.error_ticks);
	for (unsigned i = 0; i < kvm_fake.vcpu[0].reg_count; i++)
		assert_int_not_equal(kvm_fake.vcpu[0].regs[i].id,
				     KVM_REG_ARM_PTIMER_CNT);
}

static void an_old_kernel_goes_on_after_a_failed_start(void **state)
{
	struct machine *m = *state;

	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 0;
	boot(m);
	stop(m);
	kvm_fake.counter += 1000000;
	kvm_fake.fail_at = kvm_fake.calls + 2;
	kvm_fake.fail_errno = EIO;
	assert_int_equal(start(m, CLOCK_FROZEN), -1);
	assert_ok(start(m, CLOCK_CONTINUOUS), m->e);
	assert_in_range(guest_now() - m->clock.guest_stopped, 1000000, 1010000);
}

static void the_guests_physical_counter_needs_the_offset(void **state)
{
	struct machine *m = *state;

	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 0;
	m->config.physical = CLOCK_PHYSICAL_GUEST;
	assert_err(pin(m), m->e, "no counter offset (Linux 6.4 has)");
	assert_contains(m->e.text, "`physical`");
}

static const char *host_release = "6.12.0";
static unsigned long host_hwcap2;

int __wrap_uname(struct utsname *host);
int __wrap_uname(struct utsname *host)
{
	snprintf(host->release, sizeof(host->release), "%s", host_release);
	return 0;
}

unsigned long __real_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type);
unsigned long __wrap_getauxval(unsigned long type)
{
	/* The sanitizers ask for others. */
	return type == AT_HWCAP2 ? host_hwcap2 : __real_getauxval(type);
}

static void a_kernel_with_a_wrong_physical_timer_is_not_used(void **state)
{
	static const struct {
		const char *release;
		unsigned long hwcap2;
		bool used;
	} cases[] = {
		{"6.4.0", 0, true},        {"6.4.0", 1ul << 19, false},
		{"6.5.13-x", ~0ul, false}, {"6.6.0", ~0ul, true},
		{"6.45.0", ~0ul, true},    {"7.3.4", ~0ul, true},
	};
	struct machine *m = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		host_release = cases[i].release;
		host_hwcap2 = cases[i].hwcap2;
		m->config.physical = CLOCK_PHYSICAL_ANY;
		assert_ok(pin(m), m->e);
		assert_int_equal(m->clock.has_offset, cases[i].used);
		m->config.physical = CLOCK_PHYSICAL_GUEST;
		assert_int_equal(pin(m), cases[i].used ? 0 : -1);
		if (!cases[i].used)
			assert_contains(m->e.text, "6.6");
	}
	host_hwcap2 = 0;
}

/* -------------------------------------------------------------- wall time */

static void a_sample_is_tai_beside_the_hosts_counter(void **state)
{
	uint64_t before = kvm_fake.counter, utc = (uint64_t)time(NULL);
	struct arch_clock_sample sample;

	(void)state;
	arch_clock_sample(&sample);
	assert_in_range(sample.host, before, kvm_fake.counter);
	assert_in_range(sample.tai_offset, 37, 40);
	assert_in_range(sample.tai_sec - utc, (unsigned)sample.tai_offset,
			(unsigned)sample.tai_offset + 10);
	assert_true(sample.tai_ns < 1000000000);
	assert_true(sample.synchronized || !sample.max_error);
}

#define KVM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KVM_TEST(creation_pins_the_offset),
		KVM_TEST(boot_starts_the_guest_at_zero),
		KVM_TEST(a_frozen_pause_does_not_pass),
		KVM_TEST(a_continuous_pause_passes_and_touches_nothing),
		KVM_TEST(a_host_counter_behind_the_guests_is_ordinary),
		KVM_TEST(a_busy_vcpu_is_waited_for),
		KVM_TEST(a_vcpu_that_stays_busy_fails_the_start),
		KVM_TEST(an_offset_that_did_not_take_fails_the_start),
		KVM_TEST(an_old_kernel_moves_the_virtual_counter),
		KVM_TEST(the_vms_policy_counts_where_nothing_is_asked),
		KVM_TEST(a_set_counter_goes_on_from_there),
		KVM_TEST(a_counter_is_not_set_back),
		KVM_TEST(a_jump_that_is_too_long_is_refused),
		KVM_TEST(a_set_counter_may_jump_no_further),
		KVM_TEST(a_frozen_pause_may_take_for_ever),
		KVM_TEST(a_host_counter_that_went_back_is_not_gone_on_with),
		KVM_TEST(continuous_after_a_failed_start_is_still_exact),
		KVM_TEST(frozen_after_a_failed_start_loses_nothing),
		KVM_TEST(the_hosts_physical_counter_is_left_alone),
		KVM_TEST(an_old_kernel_goes_on_after_a_failed_start),
		KVM_TEST(the_guests_physical_counter_needs_the_offset),
		KVM_TEST(a_kernel_with_a_wrong_physical_timer_is_not_used),
		KVM_TEST(a_sample_is_tai_beside_the_hosts_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
