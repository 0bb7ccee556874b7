/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs with EL2: when they are given, and what the guest is told. */
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

struct machine {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct arch_vm arch;
	struct guest_mem mem;
	struct err e;
};

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	const struct guest_mem_region ram = {.gpa = RAM_BASE, .size = MIB(32)};

	kvm_fake_reset();
	m->vm.kvm_fd = kvm_open("kvm", &m->e);
	assert_ok(kvm_vm_create(&m->vm, m->vm.kvm_fd, 0, &m->e), m->e);
	assert_ok(guest_mem_create(&m->mem, &ram, 1, &m->e), m->e);
	m->arch.vcpu_count = 1;
	m->arch.want[ARCH_NESTED] = ARCH_ON;
	m->arch.gic_fd = m->vcpu.fd = -1;
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	kvm_vcpu_destroy(&m->vcpu);
	arch_vm_fini(&m->arch);
	kvm_vm_destroy(&m->vm);
	close(m->vm.kvm_fd);
	guest_mem_destroy(&m->mem);
	free(m);
	return 0;
}

static int build(struct machine *m)
{
	if (arch_vm_init(&m->arch, &m->vm, &m->e) ||
	    kvm_vcpu_create(&m->vm, &m->vcpu, 0, &m->e) ||
	    arch_vcpu_init(&m->arch, &m->vcpu, &m->e))
		return -1;
	return arch_irqchip_init(&m->arch, &m->vm, &m->e);
}

static void el2_is_refused_where_there_is_none(void **state)
{
	struct machine *m = *state;

	assert_err(build(m), m->e, "do not offer nested to guests");
}

static void el2_needs_the_new_interrupt_controller(void **state)
{
	struct machine *m = *state;

	kvm_fake.caps[KVM_CAP_ARM_EL2] = 1;
	kvm_fake.no_gic_v3 = true;
	assert_err(build(m), m->e, "nested virtualisation needs a GICv3");
}

static void a_vcpu_starts_where_kvm_put_it(void **state)
{
	const uint64_t pstate = KVM_REG_ARM64 | KVM_REG_SIZE_U64 |
				KVM_REG_ARM_CORE |
				KVM_REG_ARM_CORE_REG(regs.pstate);
	const uint64_t at_el2 = 0x3c9, at_el1 = 0x3c5;
	struct machine *m = *state;

	kvm_fake.caps[KVM_CAP_ARM_EL2] = 1;
	assert_ok(build(m), m->e);
	assert_true(kvm_fake.vcpu[0].features & 1u << KVM_ARM_VCPU_HAS_EL2);
	kvm_vcpu_set_reg(&m->vcpu, pstate, &at_el2);
	assert_ok(arch_vcpu_boot(&m->vcpu, 0, 0, &m->e), m->e);
	assert_int_equal(kvm_fake_reg(0, pstate), at_el2);
	kvm_vcpu_set_reg(&m->vcpu, pstate, &at_el1);
	assert_ok(arch_vcpu_boot(&m->vcpu, 0, 0, &m->e), m->e);
	assert_int_equal(kvm_fake_reg(0, pstate), at_el1);
}

static void a_hypervisor_calls_the_firmware_by_smc(void **state)
{
	struct machine *m = *state;
	const struct arch_topology topology = {.mem = &m->mem, .cmdline = ""};
	const void *fdt;
	gpa_t gpa;
	int len;

	kvm_fake.caps[KVM_CAP_ARM_EL2] = 1;
	assert_ok(build(m), m->e);
	assert_ok(arch_write_fdt(&m->arch, &topology, &gpa, &m->e), m->e);
	fdt = guest_mem_at(&m->mem, gpa, FDT_MAX_SIZE);
	assert_string_equal(
		fdt_getprop(fdt, fdt_path_offset(fdt, "/psci"), "method", NULL),
		"smc");
	/* With the timer of hypervisors that are hosts. */
	assert_non_null(fdt_getprop(fdt, fdt_path_offset(fdt, "/timer"),
				    "interrupts", &len));
	assert_int_equal(len, 5 * 12);
}

#define NESTED_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest nested[] = {
		NESTED_TEST(el2_is_refused_where_there_is_none),
		NESTED_TEST(el2_needs_the_new_interrupt_controller),
		NESTED_TEST(a_vcpu_starts_where_kvm_put_it),
		NESTED_TEST(a_hypervisor_calls_the_firmware_by_smc),
	};

	return cmocka_run_group_tests(nested, NULL, NULL);
}
