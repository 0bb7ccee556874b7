/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with EL2 that is saved and becomes another: what it gives its own
 * guests is there again, in an order that KVM takes, nothing is replayed over
 * its counters, and where it cannot be saved it is refused.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240 /* Linux 6.16 */
#endif

#define SYSREGS   KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#define ICH(m, n) (3 << 14 | 4 << 11 | 12 << 7 | (m) << 3 | (n))
#define ICH_HCR   ICH(11, 0)
#define ICH_VTR   ICH(11, 1)
#define CNTVOFF   ARM64_SYS_REG(3, 4, 14, 0, 3)

static struct vm *boot(struct snapshot_world *w)
{
	kvm_fake.caps[KVM_CAP_ARM_EL2] = w->el2 = 1;
	w->config.cpu[ARCH_NESTED] = ARCH_ON;
	return snapshot_world_boot(w);
}

/* When vCPU @vcpu's register of the controller was set to what was saved; 0:
 * never. */
static unsigned when_set(unsigned vcpu, uint32_t reg)
{
	for (unsigned i = 0; i < kvm_fake.attr_count; i++) {
		const struct fake_attr *a = &kvm_fake.attr[i];

		if (a->group != SYSREGS || (uint32_t)a->attr != reg ||
		    a->attr >> 32 != vcpu)
			continue;
		assert_int_equal((uint32_t)a->value,
				 kvm_fake_attr(a->group, a->attr));
		return a->when;
	}
	return 0;
}

static void put_affinities(void)
{
	for (unsigned v = 0; v < 2; v++)
		kvm_fake_put_reg(v, ARM64_SYS_REG(3, 0, 0, 0, 5), v);
}

static void what_it_gives_its_guests_is_what_it_was(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w);

	put_affinities();
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	if (!vm)
		fail_msg("%s", w->e.text);
	assert_int_equal(w->saved->config.cpu[ARCH_NESTED], ARCH_ON);
	for (unsigned v = 0; v < 2; v++) {
		assert_true(when_set(v, ICH_VTR));
		assert_true(when_set(v, ICH(11, 7)));
		for (unsigned n = 0; n < 4; n++) {
			assert_true(when_set(v, ICH(8, n)));
			assert_true(when_set(v, ICH(9, n)));
		}
		for (unsigned n = 0; n < 16; n++)
			assert_in_range(when_set(v, ICH(12 + n / 8, n % 8)),
					when_set(v, ICH_VTR) + 1,
					when_set(v, ICH_HCR) - 1);
	}
	vm_destroy(vm);
}

static void nothing_is_replayed_over_its_counters(void **state)
{
	const uint64_t own = 1ull << 40;
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w);
	unsigned sets;

	put_affinities();
	kvm_fake_put_reg(0, CNTVOFF, own);
	kvm_fake_put_reg(0, KVM_REG_ARM_TIMER_CNT, 77);
	kvm_fake_put_reg(0, KVM_REG_ARM_PTIMER_CNT, 78);
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	if (!vm)
		fail_msg("%s", w->e.text);
	assert_int_equal(kvm_fake_reg(0, CNTVOFF), own);
	for (unsigned i = 0; i < kvm_fake.vcpu[0].reg_count; i++) {
		uint64_t id = kvm_fake.vcpu[0].regs[i].id;

		assert_true(id != KVM_REG_ARM_TIMER_CNT &&
			    id != KVM_REG_ARM_PTIMER_CNT);
	}
	sets = kvm_fake.offset_sets;
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_int_equal(kvm_fake.offset_sets, sets + 1);
	assert_int_equal(kvm_fake_reg(0, CNTVOFF), own);
	vm_destroy(vm);
}

static void it_is_not_saved_without_them(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w);
	struct snap s;

	kvm_fake.no_gic_el2 = true;
	assert_ok(vm_pause(vm, &w->e), w->e);
	assert_err(vm_save(vm, &w->config, true, &s, &w->e), w->e,
		   "what its interrupt controller gives the guest's guests "
		   "(Linux 6.17 does)");
	snap_fini(&s);
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	vm_destroy(vm);
}

static void it_is_not_restored_without_them(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = boot(w);

	snapshot_world_save(w, vm);
	w->no_gic_el2 = true;
	vm = snapshot_world_load(w);
	assert_null(vm);
	assert_non_null(strstr(w->e.text, "needs a host like its own"));
	w->no_gic_el2 = w->el2 = false;
	vm = snapshot_world_load(w);
	assert_null(vm);
	assert_non_null(strstr(w->e.text, "do not offer"));
}

#define WORLD_TEST(name)                                             \
	cmocka_unit_test_setup_teardown(name, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(what_it_gives_its_guests_is_what_it_was),
		WORLD_TEST(nothing_is_replayed_over_its_counters),
		WORLD_TEST(it_is_not_saved_without_them),
		WORLD_TEST(it_is_not_restored_without_them),
	};

	return RUN_TESTS("snapshot_nested", tests);
}
