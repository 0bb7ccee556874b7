/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arm64 machine on a fake KVM: RAM's place, vCPU features, interrupt
 * controller, and the device tree, read back with libfdt.
 */
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/kvm/kvm.h"
#include "core/machine/mem.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

struct machine {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu[ARCH_VCPUS_MAX];
	struct arch_vm arch;
	struct guest_mem mem;
	const void *fdt;
	struct err e;
};

static int set_up(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	const struct guest_mem_region ram = {.gpa = RAM_BASE, .size = MIB(32)};

	kvm_fake_reset();
	m->vm.kvm_fd = kvm_open("kvm", &m->e);
	assert_int_equal(kvm_vm_create(&m->vm, m->vm.kvm_fd, 0, &m->e), 0);
	assert_int_equal(guest_mem_create(&m->mem, &ram, 1, &m->e), 0);
	for (unsigned i = 0; i < ARCH_VCPUS_MAX; i++)
		m->vcpu[i].fd = -1;
	m->arch = ARCH_VM_NONE;
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	for (unsigned i = 0; i < ARCH_VCPUS_MAX; i++)
		kvm_vcpu_destroy(&m->vcpu[i]);
	arch_vm_fini(&m->arch);
	kvm_vm_destroy(&m->vm);
	close(m->vm.kvm_fd);
	guest_mem_destroy(&m->mem);
	free(m);
	return 0;
}

static int build(struct machine *m, unsigned count)
{
	m->arch.vcpu_count = count;
	if (arch_vm_init(&m->arch, &m->vm, &m->e))
		return -1;
	for (unsigned i = 0; i < count; i++) {
		if (kvm_vcpu_create(&m->vm, &m->vcpu[i], i, &m->e) ||
		    arch_vcpu_init(&m->arch, &m->vcpu[i], &m->e))
			return -1;
	}
	return arch_irqchip_init(&m->arch, &m->vm, &m->e);
}

static void write_fdt(struct machine *m, const char *cmdline, bool serial)
{
	const struct arch_topology topology = {
		.mem = &m->mem,
		.cmdline = cmdline,
		.initrd = 0x81000000,
		.initrd_size = 0x1234,
		.serial = serial,
	};
	gpa_t gpa;

	assert_int_equal(arch_write_fdt(&m->arch, &topology, &gpa, &m->e), 0);
	m->fdt = guest_mem_at(&m->mem, gpa, FDT_MAX_SIZE);
	assert_non_null(m->fdt);
	assert_int_equal(fdt_check_full(m->fdt, FDT_MAX_SIZE), 0);
}

static int node(struct machine *m, const char *path)
{
	return fdt_path_offset(m->fdt, path);
}

static uint64_t cell64(struct machine *m, const char *path, const char *name,
		       unsigned index)
{
	int len;
	const fdt64_t *p = fdt_getprop(m->fdt, node(m, path), name, &len);

	assert_non_null(p);
	assert_true((unsigned)len >= (index + 1) * 8);
	return fdt64_ld(p + index);
}

static const char *string(struct machine *m, const char *path, const char *name)
{
	const char *s = fdt_getprop(m->fdt, node(m, path), name, NULL);

	assert_non_null(s);
	return s;
}

/* --------------------------------------------------------------------- RAM */

static int regions(uint64_t size, struct guest_mem_region *r, unsigned *bits)
{
	struct err e;

	return arch_ram_regions(0, size, r, bits, &e);
}

static void small_ram_is_one_region(void **state)
{
	struct guest_mem_region r[GUEST_MEM_REGIONS_MAX];
	unsigned bits;

	(void)state;
	assert_int_equal(regions(MIB(128), r, &bits), 1);
	assert_int_equal(r[0].gpa, 0x80000000);
	assert_int_equal(r[0].size, MIB(128));
	assert_int_equal(bits, 32);
}

static void ram_goes_around_the_hole(void **state)
{
	struct guest_mem_region r[GUEST_MEM_REGIONS_MAX];
	unsigned bits;

	(void)state;
	assert_int_equal(regions(GIB(254), r, &bits), 1);
	assert_int_equal(bits, 38);
	assert_int_equal(regions(GIB(254) + MIB(1), r, &bits), 2);
	assert_int_equal(r[0].size, GIB(254));
	assert_int_equal(r[1].gpa, GIB(512));
	assert_int_equal(r[1].size, MIB(1));
	assert_int_equal(bits, 40);
}

static void ram_beyond_the_hosts_addresses_is_refused(void **state)
{
	struct guest_mem_region r[GUEST_MEM_REGIONS_MAX];
	unsigned bits;

	(void)state;
	kvm_fake.caps[KVM_CAP_ARM_VM_IPA_SIZE] = 36;
	assert_int_equal(regions(GIB(62), r, &bits), 1);
	assert_int_equal(regions(GIB(62) + MIB(1), r, &bits), -1);
}

static void an_old_kvm_gets_its_only_width(void **state)
{
	struct guest_mem_region r[GUEST_MEM_REGIONS_MAX];
	unsigned bits;

	(void)state;
	kvm_fake.caps[KVM_CAP_ARM_VM_IPA_SIZE] = 0;
	assert_int_equal(regions(MIB(128), r, &bits), 1);
	assert_int_equal(bits, 0);
}

/* ---------------------------------------------------------------- features */

enum {
	PSCI = 1 << KVM_ARM_VCPU_PSCI_0_2,
	SVE = 1 << KVM_ARM_VCPU_SVE,
	PMU = 1 << KVM_ARM_VCPU_PMU_V3,
	PAUTH = 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS |
		1 << KVM_ARM_VCPU_PTRAUTH_GENERIC,
	OFF = 1 << KVM_ARM_VCPU_POWER_OFF,
};

static void offer_all(void)
{
	kvm_fake.caps[KVM_CAP_ARM_SVE] = 1;
	kvm_fake.caps[KVM_CAP_ARM_PTRAUTH_ADDRESS] = 1;
	kvm_fake.caps[KVM_CAP_ARM_PTRAUTH_GENERIC] = 1;
}

static void a_plain_host_gives_a_plain_vcpu(void **state)
{
	assert_int_equal(build(*state, 1), 0);
	assert_int_equal(kvm_fake.vcpu[0].features, PSCI);
	assert_false(kvm_fake.vcpu[0].finalized);
}

static void what_the_host_has_is_passed_through(void **state)
{
	offer_all();
	assert_int_equal(build(*state, 1), 0);
	assert_int_equal(kvm_fake.vcpu[0].features, PSCI | SVE | PAUTH);
	assert_true(kvm_fake.vcpu[0].finalized);
}

static void half_of_pointer_authentication_is_none(void **state)
{
	kvm_fake.caps[KVM_CAP_ARM_PTRAUTH_ADDRESS] = 1;
	assert_int_equal(build(*state, 1), 0);
	assert_int_equal(kvm_fake.vcpu[0].features, PSCI);
}

static void features_can_be_switched_off(void **state)
{
	struct machine *m = *state;

	offer_all();
	m->arch.want[ARCH_SVE] = m->arch.want[ARCH_PAUTH] = ARCH_OFF;
	assert_int_equal(build(m, 1), 0);
	assert_int_equal(kvm_fake.vcpu[0].features, PSCI);
}

static void a_feature_that_is_missing_is_refused_by_name(void **state)
{
	struct machine *m = *state;

	m->arch.want[ARCH_SVE] = ARCH_ON;
	assert_int_equal(build(m, 1), -1);
	assert_non_null(strstr(m->e.text, "sve=off"));
}

static void only_vcpu_0_starts_by_itself(void **state)
{
	assert_int_equal(build(*state, 3), 0);
	assert_int_equal(kvm_fake.vcpu[0].features & OFF, 0);
	assert_int_equal(kvm_fake.vcpu[1].features & OFF, OFF);
	assert_int_equal(kvm_fake.vcpu[2].features & OFF, OFF);
}

static void accesses_kvm_cannot_decode_come_to_us(void **state)
{
	assert_int_equal(build(*state, 1), 0);
	assert_true(kvm_fake.enabled[KVM_CAP_ARM_NISV_TO_USER]);
}

static unsigned count_attrs(unsigned group, uint64_t attr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < kvm_fake.attr_count; i++)
		n += kvm_fake.attr[i].group == group &&
		     kvm_fake.attr[i].attr == attr;
	return n;
}

static void each_vcpu_has_a_steal_time_record_of_its_own(void **state)
{
	unsigned seen = 0;

	assert_int_equal(build(*state, 4), 0);
	for (unsigned i = 0; i < kvm_fake.attr_count; i++) {
		if (kvm_fake.attr[i].group != KVM_ARM_VCPU_PVTIME_CTRL)
			continue;
		assert_int_equal(kvm_fake.attr[i].value,
				 0x80010000 + 64 * seen);
		seen++;
	}
	assert_int_equal(seen, 4);
}

static void a_pmu_gets_its_interrupt_after_the_controller(void **state)
{
	struct machine *m = *state;
	struct fake_attr *last;

	m->arch.want[ARCH_PMU] = ARCH_ON;
	assert_int_equal(build(m, 1), 0);
	assert_int_equal(kvm_fake.vcpu[0].features, PSCI | PMU);
	last = &kvm_fake.attr[kvm_fake.attr_count - 1];
	assert_int_equal(last->group, KVM_ARM_VCPU_PMU_V3_CTRL);
	assert_int_equal(last->attr, KVM_ARM_VCPU_PMU_V3_INIT);
	assert_int_equal(last[-1].value, 23);
}

/* ----------------------------------------------------- interrupt controller */

static void gic_v3_is_preferred(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 2), 0);
	assert_int_equal(m->arch.gic_version, 3);
	assert_int_equal(count_attrs(KVM_DEV_ARM_VGIC_GRP_ADDR,
				     KVM_VGIC_V3_ADDR_TYPE_REDIST),
			 1);
	assert_int_equal(count_attrs(KVM_DEV_ARM_VGIC_GRP_CTRL,
				     KVM_DEV_ARM_VGIC_CTRL_INIT),
			 1);
}

static void gic_v2_is_the_fallback(void **state)
{
	struct machine *m = *state;

	kvm_fake.no_gic_v3 = true;
	assert_int_equal(build(m, 8), 0);
	assert_int_equal(m->arch.gic_version, 2);
}

static void gic_v2_serves_eight_vcpus(void **state)
{
	struct machine *m = *state;

	kvm_fake.no_gic_v3 = true;
	assert_int_equal(build(m, 9), -1);
	assert_non_null(strstr(m->e.text, "at most 8"));
}

static void a_host_without_any_gic_is_refused(void **state)
{
	struct machine *m = *state;

	kvm_fake.no_gic_v3 = kvm_fake.no_gic_v2 = true;
	assert_int_equal(build(m, 1), -1);
	assert_non_null(strstr(m->e.text, "neither GICv3 nor GICv2"));
}

/* -------------------------------------------------------------- device tree */

static void the_tree_tells_memory_but_the_reserved_part(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "quiet", true);
	assert_int_equal(cell64(m, "/memory@80200000", "reg", 0), 0x80200000);
	assert_int_equal(cell64(m, "/memory@80200000", "reg", 1), MIB(30));
}

static void the_tree_tells_what_was_chosen(void **state)
{
	struct machine *m = *state;
	int len;

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "console=ttyS0 x=\"y z\"", true);
	assert_string_equal(string(m, "/chosen", "bootargs"),
			    "console=ttyS0 x=\"y z\"");
	assert_int_equal(cell64(m, "/chosen", "linux,initrd-start", 0),
			 0x81000000);
	assert_int_equal(cell64(m, "/chosen", "linux,initrd-end", 0),
			 0x81001234);
	assert_non_null(
		fdt_getprop(m->fdt, node(m, "/chosen"), "rng-seed", &len));
	assert_int_equal(len, 64);
}

static void two_trees_have_different_seeds(void **state)
{
	struct machine *m = *state;
	uint8_t first[64];

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "quiet", true);
	memcpy(first, string(m, "/chosen", "rng-seed"), sizeof(first));
	write_fdt(m, "quiet", true);
	assert_memory_not_equal(first, string(m, "/chosen", "rng-seed"),
				sizeof(first));
}

static void every_cpu_is_there_with_its_affinity(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 32), 0);
	write_fdt(m, "quiet", true);
	assert_int_equal(cell64(m, "/cpus/cpu@0", "reg", 0), 0);
	assert_int_equal(cell64(m, "/cpus/cpu@f", "reg", 0), 0xf);
	assert_int_equal(cell64(m, "/cpus/cpu@100", "reg", 0), 0x100);
	assert_int_equal(cell64(m, "/cpus/cpu@10f", "reg", 0), 0x10f);
	assert_string_equal(string(m, "/cpus/cpu@10f", "enable-method"),
			    "psci");
}

static void no_phandle_is_given_twice(void **state)
{
	struct machine *m = *state;
	uint32_t seen[1024];
	unsigned count = 0;

	assert_int_equal(build(m, 32), 0);
	write_fdt(m, "quiet", true);
	for (int n = 0; n >= 0; n = fdt_next_node(m->fdt, n, NULL)) {
		uint32_t phandle = fdt_get_phandle(m->fdt, n);

		for (unsigned i = 0; phandle && i < count; i++)
			assert_int_not_equal(seen[i], phandle);
		if (phandle)
			seen[count++] = phandle;
	}
	assert_true(count >= 2);
}

static void the_controller_in_the_tree_is_the_one_there_is(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 2), 0);
	write_fdt(m, "quiet", true);
	assert_string_equal(string(m, "/intc", "compatible"), "arm,gic-v3");
	assert_int_equal(cell64(m, "/intc", "reg", 0), 0x3fff0000);
	assert_int_equal(cell64(m, "/intc", "reg", 2), 0x3ffb0000);
	assert_int_equal(cell64(m, "/intc", "reg", 3), 2 * 0x20000);
}

static void gic_v2_has_its_own_description(void **state)
{
	struct machine *m = *state;
	const fdt32_t *irq;

	kvm_fake.no_gic_v3 = true;
	assert_int_equal(build(m, 4), 0);
	write_fdt(m, "quiet", true);
	assert_string_equal(string(m, "/intc", "compatible"), "arm,gic-400");
	irq = fdt_getprop(m->fdt, node(m, "/timer"), "interrupts", NULL);
	assert_int_equal(fdt32_ld(irq + 2), 0xf04);
}

static void a_serial_port_is_described_only_if_there(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "quiet", false);
	assert_true(node(m, "/uart@40002000") < 0);
	write_fdt(m, "quiet", true);
	assert_string_equal(string(m, "/uart@40002000", "compatible"),
			    "ns16550a");
}

static void a_pmu_is_described_only_if_there(void **state)
{
	struct machine *m = *state;

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "quiet", true);
	assert_true(node(m, "/pmu") < 0);
}

static void the_power_key_hangs_on_the_gpio_controller(void **state)
{
	struct machine *m = *state;
	const fdt32_t *gpios;

	assert_int_equal(build(m, 1), 0);
	write_fdt(m, "quiet", true);
	gpios = fdt_getprop(m->fdt, node(m, "/gpio-keys/power"), "gpios", NULL);
	assert_int_equal(fdt_node_offset_by_phandle(m->fdt, fdt32_ld(gpios)),
			 node(m, "/gpio@6ffff000"));
}

#define MACHINE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MACHINE_TEST(small_ram_is_one_region),
		MACHINE_TEST(ram_goes_around_the_hole),
		MACHINE_TEST(ram_beyond_the_hosts_addresses_is_refused),
		MACHINE_TEST(an_old_kvm_gets_its_only_width),
		MACHINE_TEST(a_plain_host_gives_a_plain_vcpu),
		MACHINE_TEST(what_the_host_has_is_passed_through),
		MACHINE_TEST(half_of_pointer_authentication_is_none),
		MACHINE_TEST(features_can_be_switched_off),
		MACHINE_TEST(a_feature_that_is_missing_is_refused_by_name),
		MACHINE_TEST(only_vcpu_0_starts_by_itself),
		MACHINE_TEST(accesses_kvm_cannot_decode_come_to_us),
		MACHINE_TEST(each_vcpu_has_a_steal_time_record_of_its_own),
		MACHINE_TEST(a_pmu_gets_its_interrupt_after_the_controller),
		MACHINE_TEST(gic_v3_is_preferred),
		MACHINE_TEST(gic_v2_is_the_fallback),
		MACHINE_TEST(gic_v2_serves_eight_vcpus),
		MACHINE_TEST(a_host_without_any_gic_is_refused),
		MACHINE_TEST(the_tree_tells_memory_but_the_reserved_part),
		MACHINE_TEST(the_tree_tells_what_was_chosen),
		MACHINE_TEST(two_trees_have_different_seeds),
		MACHINE_TEST(every_cpu_is_there_with_its_affinity),
		MACHINE_TEST(no_phandle_is_given_twice),
		MACHINE_TEST(the_controller_in_the_tree_is_the_one_there_is),
		MACHINE_TEST(gic_v2_has_its_own_description),
		MACHINE_TEST(a_serial_port_is_described_only_if_there),
		MACHINE_TEST(a_pmu_is_described_only_if_there),
		MACHINE_TEST(the_power_key_hangs_on_the_gpio_controller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
