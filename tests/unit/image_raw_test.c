/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw binaries: they lie where they are told to, and overlap neither what is
 * shared with the guest, nor its device tree, nor an initrd.
 */
#include <libfdt.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

enum { RAM_SIZE = 32 << 20, SHARED_END = 0x80080000, FDT = 0x81f00000 };

static struct guest_mem mem;
static struct arch_kernel kernel;
static int fd;
static struct err e;

static int set_up(void **state)
{
	const struct guest_mem_region ram = {.gpa = RAM_BASE, .size = RAM_SIZE};

	(void)state;
	kvm_fake_reset();
	assert_ok(guest_mem_create(&mem, &ram, 1, &e), e);
	fd = memfd_create("raw", MFD_CLOEXEC);
	kernel = (struct arch_kernel){.raw = true, .fdt_high = true};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(fd);
	guest_mem_destroy(&mem);
	return 0;
}

/* A file of so many bytes, of which the first and the last are not 0. */
static int load(gpa_t at, uint64_t size)
{
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (size) {
		assert_int_equal(pwrite(fd, "b", 1, 0), 1);
		assert_int_equal(pwrite(fd, "e", 1, (off_t)size - 1), 1);
	}
	kernel.load = at;
	return arch_load_kernel(&mem, fd, size, &kernel, &e);
}

static void assert_lies(gpa_t at, uint64_t size)
{
	const char *host = guest_mem_at(&mem, at, size);

	assert_int_equal(kernel.entry, at);
	assert_int_equal(kernel.end, at + size);
	assert_int_equal(host[0], 'b');
	assert_int_equal(host[size - 1], 'e');
}

static void by_default_it_is_512_kib_above_rams_base(void **state)
{
	(void)state;
	assert_ok(load(0, 100001), e);
	assert_lies(0x80080000, 100001);
}

static void it_lies_where_it_is_told(void **state)
{
	(void)state;
	assert_ok(load(0x80fffffc, 5000), e);
	assert_lies(0x80fffffc, 5000);
}

/* What it looks like does not matter. */
static void an_image_can_be_raw(void **state)
{
	uint8_t image[64] = {0};

	(void)state;
	memcpy(image + 56, "ARM\x64", 4);
	assert_int_equal(pwrite(fd, image, sizeof(image), 0), sizeof(image));
	assert_ok(arch_load_kernel(&mem, fd, sizeof(image), &kernel, &e), e);
	assert_int_equal(kernel.entry, 0x80080000);
}

static void it_fits_up_to_the_device_tree(void **state)
{
	(void)state;
	assert_ok(load(0, FDT - SHARED_END), e);
	assert_lies(SHARED_END, FDT - SHARED_END);
}

static void it_can_be_right_below_the_device_tree(void **state)
{
	(void)state;
	assert_ok(load(FDT - 4, 4), e);
	assert_lies(FDT - 4, 4);
}

static void one_that_would_overlap_the_device_tree_is_refused(void **state)
{
	(void)state;
	assert_err(load(0, FDT - SHARED_END + 1), e, "overlap the device tree");
	assert_err(load(FDT - 4, 5), e, "overlap the device tree");
}

static void other_addresses_are_refused(void **state)
{
	static const gpa_t addresses[] = {
		4,
		RAM_BASE - 4,
		RAM_BASE,
		SHARED_END - 4,
		FDT,
		RAM_BASE + RAM_SIZE - 4,
		RAM_BASE + RAM_SIZE,
		UINT64_MAX - 3,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++)
		assert_err(load(addresses[i], 4), e,
			   "choose one from 0x80080000");
	for (unsigned i = 1; i < 4; i++)
		assert_err(load(0x80200000 + i, 4), e, "multiple of 4");
}

static void an_empty_one_is_refused(void **state)
{
	(void)state;
	assert_err(load(0, 0), e, "empty");
}

static void an_initrd_lies_between_it_and_the_device_tree(void **state)
{
	gpa_t gpa;

	(void)state;
	assert_ok(load(0, 100), e);
	assert_ok(arch_place_initrd(&mem, 65536, &kernel, &gpa, &e), e);
	assert_int_equal(gpa, FDT - 65536);
	kernel.end = FDT - 65536;
	assert_ok(arch_place_initrd(&mem, 65536, &kernel, &gpa, &e), e);
	assert_int_equal(arch_place_initrd(&mem, 65537, &kernel, &gpa, &e), -1);
}

/* All RAM that it is told of is its own, and what it is told lies in that. */
static void its_device_tree_lies_in_ram_that_it_tells_of(void **state)
{
	struct kvm_vcpu vcpu = {0};
	const struct arch_vm arch = {
		.vcpu_count = 1,
		.vcpu = {&vcpu},
		.gic_version = 3,
	};
	const struct arch_topology topology = {
		.mem = &mem,
		.cmdline = "",
		.raw = true,
		.fdt_high = true,
	};
	const fdt64_t *reg;
	const void *fdt;
	gpa_t gpa;

	(void)state;
	assert_ok(arch_write_fdt(&arch, &topology, &gpa, &e), e);
	assert_int_equal(gpa, FDT);
	fdt = guest_mem_at(&mem, gpa, FDT_MAX_SIZE);
	assert_int_equal(fdt_check_full(fdt, FDT_MAX_SIZE), 0);
	reg = fdt_getprop(fdt, fdt_path_offset(fdt, "/memory@80080000"), "reg",
			  NULL);
	assert_non_null(reg);
	assert_int_equal(fdt64_ld(reg), SHARED_END);
	assert_int_equal(fdt64_ld(reg + 1), RAM_BASE + RAM_SIZE - SHARED_END);
}

/* Nothing of ours lies in what such a guest may use. */
static void what_is_shared_lies_below(void **state)
{
	(void)state;
	assert_true(PVTIME_GPA + ARCH_VCPUS_MAX * PVTIME_SIZE <= SHARED_END);
	assert_true(arch_layout.vmclock + KIB(64) <= SHARED_END);
	assert_true(arch_layout.vmgenid + KIB(64) <= SHARED_END);
	assert_true(arch_layout.snapshot_id + KIB(64) <= SHARED_END);
}

#define RAW_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void it_is_entered_within_itself(void **state)
{
	(void)state;
	kernel.enter = 0x80200010;
	assert_ok(load(0x80200000, 0x14), e);
	assert_int_equal(kernel.entry, 0x80200010);
	assert_err(load(0x80200000, 0x10), e, "within the binary");
	assert_err(load(0x80200014, 0x14), e, "within the binary");
	kernel.enter = 0x80200002;
	assert_err(load(0x80200000, 0x14), e, "multiple of 4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RAW_TEST(by_default_it_is_512_kib_above_rams_base),
		RAW_TEST(it_lies_where_it_is_told),
		RAW_TEST(an_image_can_be_raw),
		RAW_TEST(it_fits_up_to_the_device_tree),
		RAW_TEST(it_can_be_right_below_the_device_tree),
		RAW_TEST(one_that_would_overlap_the_device_tree_is_refused),
		RAW_TEST(other_addresses_are_refused),
		RAW_TEST(an_empty_one_is_refused),
		RAW_TEST(it_is_entered_within_itself),
		RAW_TEST(an_initrd_lies_between_it_and_the_device_tree),
		RAW_TEST(its_device_tree_lies_in_ram_that_it_tells_of),
		RAW_TEST(what_is_shared_lies_below),
	};

	return RUN_TESTS("image_raw", tests);
}
