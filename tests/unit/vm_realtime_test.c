/* SPDX-License-Identifier: Apache-2.0 */
/* The wall-clock time that a guest is told: vmm/vm/vm_run.c. */
#include <endian.h>
#include <linux/kvm.h>
#include <string.h>

#include "core/base/now.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_internal.h"

enum { COUNTER = 0x28, TAI_OFFSET = 0x24, SECONDS = 0x48, FRACTION = 0x50 };

#define DATE_S  2145916800ull
#define DATE_NS (DATE_S * NS_PER_S + 500000000)
#define PTP     (1ull << KVM_REG_ARM_VENDOR_HYP_BIT_PTP)

#define PSTATE                                                 \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(regs.pstate))

static uint64_t page(struct vm *vm, size_t at)
{
	uint64_t value;

	memcpy(&value, (uint8_t *)vm->time_pages.vmclock.page + at,
	       sizeof(value));
	return le64toh(value);
}

static uint64_t utc(struct vm *vm)
{
	int16_t offset;

	memcpy(&offset, (uint8_t *)vm->time_pages.vmclock.page + TAI_OFFSET,
	       sizeof(offset));
	return page(vm, SECONDS) - (uint64_t)offset;
}

static struct vm *boot(struct snapshot_world *w, struct realtime realtime)
{
	struct vm *vm;

	w->config.clock.realtime = realtime;
	vm = vm_create(&w->config, &w->host, &w->e);
	assert_non_null(vm);
	kvm_fake_put_reg(0, KVM_REG_ARM_VENDOR_HYP_BMAP, PTP | 1);
	assert_ok(vm_boot(vm, &w->config, &w->e), w->e);
	return vm;
}

static void assert_shows_the_date(struct vm *vm)
{
	assert_int_equal(page(vm, COUNTER), arch_clock_last(&vm->clock)->guest);
	assert_int_equal(utc(vm), DATE_S);
	assert_int_equal(page(vm, FRACTION), 1ull << 63);
	assert_false(page(vm, 0x18) & 1 << 6); /* no error is told */
	assert_in_range(rtc_mmio_ops.read(&vm->rtc, 0, 4), DATE_S, DATE_S + 60);
}

/* To the tick; and nothing tells the host's time. */
static void a_date_is_that_of_the_first_instruction(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w, (struct realtime){true, DATE_NS});

	assert_shows_the_date(vm);
	assert_int_equal(kvm_fake_reg(0, KVM_REG_ARM_VENDOR_HYP_BMAP), 1);
	vm_destroy(vm);
}

static void without_one_it_is_the_hosts(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w, (struct realtime){0});
	uint64_t now = clock_now_ns(CLOCK_REALTIME) / NS_PER_S;

	assert_in_range(utc(vm), now - 60, now);
	assert_int_equal(kvm_fake_reg(0, KVM_REG_ARM_VENDOR_HYP_BMAP), PTP | 1);
	vm_destroy(vm);
}

/* From its beginning on, a date is a distance to the host's time. */
static void it_goes_on_with_the_hosts(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w, (struct realtime){true, DATE_NS});
	int64_t ns = vm->clock.config.realtime.ns;

	assert_false(vm->clock.config.realtime.is_date);
	assert_ok(vm_pause(vm, &w->e), w->e);
	kvm_fake.counter += kvm_fake.hz * 1000ull;
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_in_range(utc(vm), DATE_S, DATE_S + 60);
	assert_true(vm->clock.config.realtime.ns == ns);
	vm_destroy(vm);
}

static void a_snapshot_has_it(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w, (struct realtime){true, DATE_NS});
	int64_t ns = vm->clock.config.realtime.ns;

	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	assert_non_null(vm);
	assert_true(vm->clock.config.realtime.ns == ns);
	assert_int_equal(kvm_fake_reg(0, KVM_REG_ARM_VENDOR_HYP_BMAP), 1);
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_in_range(utc(vm), DATE_S, DATE_S + 60);
	vm_destroy(vm);
}

/* Two clones with the same date are told the same. */
static void a_load_may_choose_another(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w, (struct realtime){.ns = 3600});
	uint8_t first[VMCLOCK_SIZE];

	snapshot_world_save(w, vm);
	for (unsigned i = 0; i < 2; i++) {
		vm = snapshot_world_load(w);
		assert_non_null(vm);
		vm->clock.config.realtime = (struct realtime){true, DATE_NS};
		assert_ok(vm_resume(vm, NULL, &w->e), w->e);
		assert_shows_the_date(vm);
		if (i)
			assert_memory_equal(vm->time_pages.vmclock.page, first,
					    VMCLOCK_SIZE);
		memcpy(first, vm->time_pages.vmclock.page, VMCLOCK_SIZE);
		vm_destroy(vm);
		kvm_fake.counter += 12345;
	}
}

static void a_time_that_nothing_shows_is_refused(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm;

	w->config.clock.realtime = (struct realtime){.ns = INT64_MIN};
	vm = vm_create(&w->config, &w->host, &w->e);
	assert_non_null(vm);
	assert_err(vm_boot(vm, &w->config, &w->e), w->e, "before 1970");
	vm_destroy(vm);
}

static void a_host_that_cannot_hide_its_clock_is_refused(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm;

	w->config.clock.realtime = (struct realtime){.ns = 1};
	vm = vm_create(&w->config, &w->host, &w->e);
	assert_non_null(vm);
	kvm_fake_put_reg(0, PSTATE, 5);
	kvm_fake.reg_list_is_closed = true;
	assert_err(vm_boot(vm, &w->config, &w->e), w->e,
		   "does not hide its clock");
	vm_destroy(vm);
}

#define REALTIME_TEST(test)                                          \
	cmocka_unit_test_setup_teardown(test, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REALTIME_TEST(a_date_is_that_of_the_first_instruction),
		REALTIME_TEST(without_one_it_is_the_hosts),
		REALTIME_TEST(it_goes_on_with_the_hosts),
		REALTIME_TEST(a_snapshot_has_it),
		REALTIME_TEST(a_load_may_choose_another),
		REALTIME_TEST(a_time_that_nothing_shows_is_refused),
		REALTIME_TEST(a_host_that_cannot_hide_its_clock_is_refused),
	};

	return RUN_TESTS("vm_realtime", tests);
}
