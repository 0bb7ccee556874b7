/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device tree tells a guest about where it runs: arch/aarch64/fdt.c,
 * read back with libfdt.  machine_test.c has the rest of it.
 */
#include <libfdt.h>
#include <string.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/machine/mem.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

enum { RAM_SIZE = 32 << 20 };

static struct kvm_vcpu vcpu;
static const struct arch_vm arch = {
	.vcpu_count = 1,
	.vcpu = {&vcpu},
	.gic_version = 3,
};
static struct guest_mem mem;
static struct arch_topology topology;
static const void *fdt;
static gpa_t fdt_gpa;

static int set_up(void **state)
{
	const struct guest_mem_region ram = {.gpa = RAM_BASE, .size = RAM_SIZE};
	struct err e;

	(void)state;
	kvm_fake_reset();
	assert_ok(guest_mem_create(&mem, &ram, 1, &e), e);
	topology = (struct arch_topology){.mem = &mem, .cmdline = "quiet"};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guest_mem_destroy(&mem);
	return 0;
}

static void write_fdt(void)
{
	struct err e;

	assert_ok(arch_write_fdt(&arch, &topology, &fdt_gpa, &e), e);
	fdt = guest_mem_at(&mem, fdt_gpa, FDT_MAX_SIZE);
	assert_int_equal(fdt_check_full(fdt, FDT_MAX_SIZE), 0);
}

static const void *property(const char *path, const char *name, int *len)
{
	return fdt_getprop(fdt, fdt_path_offset(fdt, path), name, len);
}

static void each_tree_has_a_kaslr_seed_of_its_own(void **state)
{
	const fdt64_t *seed;
	uint64_t first;
	int len;

	(void)state;
	write_fdt();
	seed = property("/chosen", "kaslr-seed", &len);
	assert_non_null(seed);
	assert_int_equal(len, 8);
	first = fdt64_ld(seed);
	write_fdt();
	assert_true(first != fdt64_ld(property("/chosen", "kaslr-seed", &len)));
}

/* Programs in the guest may learn what rng-seed was made into. */
static void the_seeds_have_nothing_in_common(void **state)
{
	const uint8_t *rng, *kaslr;
	int len;

	(void)state;
	write_fdt();
	rng = property("/chosen", "rng-seed", &len);
	assert_int_equal(len, 64);
	kaslr = property("/chosen", "kaslr-seed", &len);
	for (unsigned i = 0; i <= 64 - 8; i++)
		assert_memory_not_equal(rng + i, kaslr, 8);
}

static void without_kaslr_there_is_no_seed_for_it(void **state)
{
	int len;

	(void)state;
	topology.no_kaslr = true;
	write_fdt();
	assert_null(property("/chosen", "kaslr-seed", &len));
	assert_non_null(property("/chosen", "rng-seed", &len));
}

static void the_hypervisor_is_named(void **state)
{
	(void)state;
	write_fdt();
	assert_string_equal(property("/hypervisor", "compatible", NULL),
			    "linux,kvm");
}

/* Of the clock, the number of its alarm's interrupt; an edge. */
static void the_clock_has_an_interrupt(void **state)
{
	const fdt32_t *cells;
	int len;

	(void)state;
	write_fdt();
	cells = property("/rtc@40001000", "interrupts", &len);
	assert_non_null(cells);
	assert_int_equal(len, 12);
	assert_int_equal(fdt32_ld(cells), 0);
	assert_int_equal(fdt32_ld(cells + 1), arch_layout.rtc_irq);
	assert_int_equal(fdt32_ld(cells + 2), 1);
}

static void no_interrupt_is_of_two_devices(void **state)
{
	uint32_t seen[ARCH_VIRTIO_MAX + 16];
	unsigned count = 0;

	(void)state;
	topology.virtio_count = ARCH_VIRTIO_MAX;
	topology.serial = true;
	write_fdt();
	for (int n = 0; n >= 0; n = fdt_next_node(fdt, n, NULL)) {
		int len;
		const fdt32_t *irq = fdt_getprop(fdt, n, "interrupts", &len);

		if (!irq || len != 12 || fdt32_ld(irq) != 0)
			continue;
		for (unsigned i = 0; i < count; i++)
			assert_int_not_equal(seen[i], fdt32_ld(irq + 1));
		seen[count++] = fdt32_ld(irq + 1);
	}
	assert_int_equal(count, ARCH_VIRTIO_MAX + 5);
}

static void the_power_key_wakes_the_guest(void **state)
{
	int len;

	(void)state;
	write_fdt();
	assert_non_null(property("/gpio-keys/power", "wakeup-source", &len));
	assert_int_equal(len, 0);
}

#define FDT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FDT_TEST(each_tree_has_a_kaslr_seed_of_its_own),
		FDT_TEST(the_seeds_have_nothing_in_common),
		FDT_TEST(without_kaslr_there_is_no_seed_for_it),
		FDT_TEST(the_hypervisor_is_named),
		FDT_TEST(the_clock_has_an_interrupt),
		FDT_TEST(no_interrupt_is_of_two_devices),
		FDT_TEST(the_power_key_wakes_the_guest),
	};

	return RUN_TESTS("fdt", tests);
}
