/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/golden_world.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "devices/mmds/responder.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_snapshot.h"

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240 /* Linux 6.16 */
#endif

#define TTBR0  ARM64_SYS_REG(3, 0, 2, 0, 0)
#define SP_EL0 ARM64_SYS_REG(3, 0, 4, 1, 0)

enum { MEM_MIB = 32, DISK_SIZE = 65536, FIRST_VALUE = 0x1000 };

static const char folder_pattern[] = "/tmp/golden.XXXXXX";

static const uint64_t registers[] = {
	TTBR0,
	SP_EL0,
	KVM_REG_ARM_PSCI_VERSION,
	KVM_REG_ARM_TIMER_CVAL,
	KVM_REG_ARM_TIMER_CTL,
};

static struct event_loop loop;
static char folder[32], disk[2][40], socket_path[40], kernel[40];
static struct err e;

int golden_memory_fd;

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	(void)context;
	(void)end;
	fail_msg("the guest ended: %s", reason);
}

/* Nothing asks it. */
static const struct responder_server mmds;

const struct vm_host golden_host = {
	.kvm_path = "kvm",
	.loop = &loop,
	.serial_out = -1,
	.serial_room = -1,
	.mmds = &mmds,
	.ended = on_ended,
};

/* -------------------------------------------------------------- the machine */

static void make_file(char *path, size_t path_size, const char *name,
		      const void *data, size_t len, size_t size)
{
	int fd;

	snprintf(path, path_size, "%s/%s", folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
	close(fd);
}

void golden_reset(void)
{
	kvm_fake_reset();
	kvm_fake.caps[KVM_CAP_ARM_EL2] = 1;
}

int golden_set_up(void **state)
{
	uint8_t image[4096] = {0};

	(void)state;
	strcpy(folder, folder_pattern);
	assert_non_null(mkdtemp(folder));
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	make_file(kernel, sizeof(kernel), "kernel", image, sizeof(image),
		  sizeof(image));
	make_file(disk[0], sizeof(disk[0]), "disk0", "", 0, DISK_SIZE);
	make_file(disk[1], sizeof(disk[1]), "disk1", "", 0, DISK_SIZE);
	snprintf(socket_path, sizeof(socket_path), "%s/vsock", folder);
	golden_memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(golden_memory_fd, MIB(MEM_MIB)), 0);
	assert_ok(loop_init(&loop, &e), e);
	golden_reset();
	return 0;
}

int golden_tear_down(void **state)
{
	(void)state;
	loop_fini(&loop);
	close(golden_memory_fd);
	unlink(kernel);
	unlink(disk[0]);
	unlink(disk[1]);
	return rmdir(folder);
}

static void put_drives(struct vm_config *config)
{
	struct drive_config root = {
		.block.id = strdup("root"),
		.block.path = strdup(disk[0]),
		.partuuid = strdup("1234-01"),
		.root = true,
		.block.writeback = true,
	};
	struct drive_config data = {
		.block.id = strdup("data"),
		.block.path = strdup(disk[1]),
		.block.read_only = true,
		.block.limiter.bandwidth = {.size = 4096,
					    .refill_time_ms = 100},
	};

	assert_ok(vm_config_put_drive(config, &root, &e), e);
	assert_ok(vm_config_put_drive(config, &data, &e), e);
}

static void put_network(struct vm_config *config)
{
	struct interface_config plain = {.net.id = strdup("n"),
					 .net.tap = strdup("t")};
	struct interface_config more = {
		.net.id = strdup("m"),
		.net.tap = strdup("u"),
		.net.mac = {6, 0, 0, 0, 0, 1},
		.net.has_mac = true,
		.net.mtu = 1400,
		.net.rx_limiter.ops = {.size = 5, .refill_time_ms = 100},
	};

	assert_ok(vm_config_put_interface(config, &plain, &e), e);
	assert_ok(vm_config_put_interface(config, &more, &e), e);
}

/* One of everything. */
void golden_configure(struct vm_config *config)
{
	vm_config_init(config);
	config->vcpu_count = 2;
	config->mem_mib = MEM_MIB;
	assert_ok(vm_config_set(&config->kernel, kernel, &e), e);
	assert_ok(vm_config_set(&config->cmdline, "console=ttyS0", &e), e);
	config->no_kaslr = true;
	config->cpu[ARCH_NESTED] = ARCH_ON;
	config->huge_pages = GUEST_MEM_TRANSPARENT;
	config->has_entropy = true;
	config->has_balloon = true;
	config->balloon.amount_mib = 4;
	config->balloon.deflate_on_oom = true;
	put_drives(config);
	put_network(config);
	assert_ok(vm_config_set(&config->vsock.uds_path, socket_path, &e), e);
	config->vsock.guest_cid = 7;
	config->mmds = (struct mmds_config){
		.given = true, .imds_compat = true, .address = 0xa9fe0102};
	config->interface[1].mmds = true;
}

static uint64_t value_of(unsigned vcpu, unsigned reg)
{
	return FIRST_VALUE + vcpu * ARRAY_SIZE(registers) + reg;
}

/* What this build saves that machine as; snap_fini() it. */
void golden_save(struct snap *s)
{
	struct vm_config config;
	struct vm *vm;

	golden_configure(&config);
	vm = vm_create(&config, &golden_host, &e);
	if (!vm)
		fail_msg("%s", e.text);
	assert_ok(vm_boot(vm, &config, &e), e);
	assert_ok(vm_pause(vm, &e), e);
	for (unsigned v = 0; v < 2; v++) {
		for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
			kvm_fake_put_reg(v, registers[i], value_of(v, i));
	}
	assert_ok(vm_save(vm, &config, true, s, &e), e);
	vm_destroy(vm);
	vm_config_fini(&config);
}

/* ---------------------------------------------------------------- loading */

/* The files of then are gone; those of now are like them. */
void golden_point_to_files(struct vm_config *config)
{
	assert_int_equal(config->drive_count, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_ok(vm_config_set(&config->drive[i].block.path, disk[i],
					&e),
			  e);
	assert_ok(vm_config_set(&config->vsock.uds_path, socket_path, &e), e);
}

/* The folder of the files has another name each time. */
void golden_hide_folder(uint8_t *data, size_t len)
{
	static const char name[] = "/tmp/golden.";
	uint8_t *at;

	while ((at = memmem(data, len, name, sizeof(name) - 1)))
		memset(at, 'x', sizeof(folder_pattern) - 1);
}

void golden_check_config(const struct vm_config *config, unsigned minor)
{
	assert_int_equal(config->no_kaslr, minor >= 3);
	assert_int_equal(config->cpu[ARCH_NESTED],
			 minor >= 4 ? ARCH_ON : ARCH_AUTO);
	assert_int_equal(config->huge_pages,
			 minor >= 4 ? GUEST_MEM_TRANSPARENT : GUEST_MEM_PLAIN);
	assert_int_equal(config->vcpu_count, 2);
	assert_int_equal(config->mem_mib, MEM_MIB);
	assert_string_equal(config->cmdline, "console=ttyS0");
	assert_string_equal(config->drive[0].block.id, "root");
	assert_string_equal(config->drive[0].partuuid, "1234-01");
	assert_true(config->drive[1].block.read_only);
	assert_int_equal(config->drive[1].block.limiter.bandwidth.size, 4096);
	assert_int_equal(config->interface_count, 2);
	assert_int_equal(config->interface[1].net.mtu, 1400);
	assert_int_equal(config->interface[1].net.rx_limiter.ops.size, 5);
	assert_int_equal(config->vsock.guest_cid, 7);
	assert_int_equal(config->mmds.given, minor >= 3);
	assert_int_equal(config->mmds.address, minor >= 3 ? 0xa9fe0102 : 0);
	assert_int_equal(config->mmds.imds_compat, minor >= 3);
	assert_false(config->mmds.v2 || config->interface[0].mmds);
	assert_int_equal(config->interface[1].mmds, minor >= 3);
	assert_true(config->has_balloon && config->has_entropy);
	assert_int_equal(config->balloon.amount_mib, 4);
}

void golden_check_registers(void)
{
	for (unsigned v = 0; v < 2; v++) {
		for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
			assert_int_equal(kvm_fake_reg(v, registers[i]),
					 value_of(v, i));
	}
}
