/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State files that earlier versions wrote (tests/golden/state-1.N, one for each
 * minor version of the format, made by its own build) must be loaded for ever;
 * and nobody changes what is written without a new minor version and its file.
 *
 * The machine in them is that of configure().  A new minor version's file is
 * made by its own build:
 *
 *	STASIS_GOLDEN=tests/golden/state-1.N out/native/snapshot_golden_test
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/loop.h"
#include "snapshot/state_file.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/net_fake.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

#define TTBR0  ARM64_SYS_REG(3, 0, 2, 0, 0)
#define SP_EL0 ARM64_SYS_REG(3, 0, 4, 1, 0)

enum { MEM_MIB = 32, DISK_SIZE = 65536, FIRST_VALUE = 0x1000 };

static const uint64_t registers[] = {
	TTBR0,
	SP_EL0,
	KVM_REG_ARM_PSCI_VERSION,
	KVM_REG_ARM_TIMER_CVAL,
	KVM_REG_ARM_TIMER_CTL,
};

static struct event_loop loop;
static char folder[32], disk[2][40], socket_path[40], kernel[40];
static int memory_fd;
static struct err e;

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	(void)context;
	(void)end;
	fail_msg("the guest ended: %s", reason);
}

static const struct vm_host host = {
	.kvm_path = "kvm",
	.loop = &loop,
	.serial_out = -1,
	.serial_room = -1,
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

static int set_up(void **state)
{
	uint8_t image[4096] = {0};

	(void)state;
	strcpy(folder, "/tmp/golden.XXXXXX");
	assert_non_null(mkdtemp(folder));
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	make_file(kernel, sizeof(kernel), "kernel", image, sizeof(image),
		  sizeof(image));
	make_file(disk[0], sizeof(disk[0]), "disk0", "", 0, DISK_SIZE);
	make_file(disk[1], sizeof(disk[1]), "disk1", "", 0, DISK_SIZE);
	snprintf(socket_path, sizeof(socket_path), "%s/vsock", folder);
	memory_fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(memory_fd, MIB(MEM_MIB)), 0);
	assert_ok(loop_init(&loop, &e), e);
	kvm_fake_reset();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	loop_fini(&loop);
	close(memory_fd);
	unlink(kernel);
	unlink(disk[0]);
	unlink(disk[1]);
	return rmdir(folder);
}

static void put_drives(struct vm_config *config)
{
	struct drive_config root = {
		.id = strdup("root"),
		.path = strdup(disk[0]),
		.partuuid = strdup("1234-01"),
		.root = true,
		.writeback = true,
	};
	struct drive_config data = {
		.id = strdup("data"),
		.path = strdup(disk[1]),
		.read_only = true,
		.limiter.bandwidth = {.size = 4096, .refill_time_ms = 100},
	};

	assert_ok(vm_config_put_drive(config, &root, &e), e);
	assert_ok(vm_config_put_drive(config, &data, &e), e);
}

static void put_network(struct vm_config *config)
{
	struct interface_config plain = {.id = strdup("n"), .tap = strdup("t")};
	struct interface_config more = {
		.id = strdup("m"),
		.tap = strdup("u"),
		.mac = {6, 0, 0, 0, 0, 1},
		.has_mac = true,
		.mtu = 1400,
		.rx_limiter.ops = {.size = 5, .refill_time_ms = 100},
	};

	assert_ok(vm_config_put_interface(config, &plain, &e), e);
	assert_ok(vm_config_put_interface(config, &more, &e), e);
}

/* One of everything. */
static void configure(struct vm_config *config)
{
	vm_config_init(config);
	config->vcpu_count = 2;
	config->mem_mib = MEM_MIB;
	assert_ok(vm_config_set(&config->kernel, kernel, &e), e);
	assert_ok(vm_config_set(&config->cmdline, "console=ttyS0", &e), e);
	config->entropy = true;
	config->has_balloon = true;
	config->balloon.amount_mib = 4;
	config->balloon.deflate_on_oom = true;
	put_drives(config);
	put_network(config);
	assert_ok(vm_config_set(&config->vsock.uds_path, socket_path, &e), e);
	config->vsock.guest_cid = 7;
}

static uint64_t value_of(unsigned vcpu, unsigned reg)
{
	return FIRST_VALUE + vcpu * ARRAY_SIZE(registers) + reg;
}

/* What this build saves that machine as; snap_fini() it. */
static void save(struct snap *s)
{
	struct vm_config config;
	struct vm *vm;

	configure(&config);
	vm = vm_create(&config, &host, &e);
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

/* ------------------------------------------------------------ golden files */

struct golden {
	void *body; /* owned */
	size_t len;
	uint16_t minor;
};

static void read_golden(struct golden *g, unsigned minor)
{
	char path[sizeof(GOLDEN_FOLDER) + 32];
	uint64_t size;
	int fd;

	snprintf(path, sizeof(path), "%s/state-1.%u", GOLDEN_FOLDER, minor);
	fd = io_open_file(path, &size, &e);
	if (fd < 0)
		fail_msg("%s: each minor version needs its file", e.text);
	assert_ok(state_file_load(fd, &g->body, &g->len, &g->minor, &e), e);
	close(fd);
	assert_int_equal(g->minor, minor);
}

/* The files of then are gone; those of now are like them. */
static void point_to_files_of_now(struct vm_config *config)
{
	assert_int_equal(config->drive_count, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_ok(vm_config_set(&config->drive[i].path, disk[i], &e),
			  e);
	assert_ok(vm_config_set(&config->vsock.uds_path, socket_path, &e), e);
}

/* RAM of zeroes, but that it belongs to this state. */
static void mark_memory(const struct snapshot_id *id)
{
	assert_int_equal(pwrite(memory_fd, id->bytes, sizeof(id->bytes),
				(off_t)id->offset),
			 sizeof(id->bytes));
}

static void check_config(const struct vm_config *config)
{
	assert_int_equal(config->vcpu_count, 2);
	assert_int_equal(config->mem_mib, MEM_MIB);
	assert_string_equal(config->cmdline, "console=ttyS0");
	assert_string_equal(config->drive[0].id, "root");
	assert_string_equal(config->drive[0].partuuid, "1234-01");
	assert_true(config->drive[1].read_only);
	assert_int_equal(config->drive[1].limiter.bandwidth.size, 4096);
	assert_int_equal(config->interface_count, 2);
	assert_int_equal(config->interface[1].mtu, 1400);
	assert_int_equal(config->interface[1].rx_limiter.ops.size, 5);
	assert_int_equal(config->vsock.guest_cid, 7);
	assert_true(config->has_balloon && config->entropy);
	assert_int_equal(config->balloon.amount_mib, 4);
}

static void check_registers(void)
{
	for (unsigned v = 0; v < 2; v++) {
		for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
			assert_int_equal(kvm_fake_reg(v, registers[i]),
					 value_of(v, i));
	}
}

static void load(const struct golden *g)
{
	const struct vm_ram_source ram = {.fd = memory_fd};
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	struct vm *vm;

	kvm_fake_reset();
	assert_ok(vm_saved_read(saved, g->body, g->len, g->minor, &e), e);
	point_to_files_of_now(&saved->config);
	mark_memory(&saved->id);
	check_config(&saved->config);
	vm = vm_restore(saved, &ram, &host, &e);
	if (!vm)
		fail_msg("format 1.%u: %s", g->minor, e.text);
	check_registers();
	vm_destroy(vm);
	vm_saved_fini(saved);
	free(saved);
}

static void files_of_every_minor_version_are_loaded(void **state)
{
	(void)state;
	for (unsigned minor = 0; minor <= STATE_FILE_MINOR; minor++) {
		struct golden g;

		read_golden(&g, minor);
		load(&g);
		free(g.body);
	}
}

/* An interface is switched to vhost once, whoever decides it: the VM's
 * configuration, the state, or who loads it. */
static void vhost_is_set_up_once(void **state)
{
	const struct vm_ram_source ram = {.fd = memory_fd};
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	struct vm_config config;
	struct golden g;
	struct vm *vm;

	(void)state;
	configure(&config);
	config.interface[0].vhost = true;
	net_fake_vhosts = 0;
	vm = vm_create(&config, &host, &e);
	assert_non_null(vm);
	assert_int_equal(net_fake_vhosts, 1);
	vm_destroy(vm);
	vm_config_fini(&config);

	kvm_fake_reset();
	read_golden(&g, STATE_FILE_MINOR);
	assert_ok(vm_saved_read(saved, g.body, g.len, g.minor, &e), e);
	point_to_files_of_now(&saved->config);
	mark_memory(&saved->id);
	saved->config.interface[0].vhost = true;
	saved->config.interface[0].vhost_chosen = true;
	net_fake_vhosts = 0;
	vm = vm_restore(saved, &ram, &host, &e);
	assert_non_null(vm);
	assert_int_equal(net_fake_vhosts, 1);
	vm_destroy(vm);
	vm_saved_fini(saved);
	free(saved);
	free(g.body);
}

/* --------------------------------------------------------- nothing changed */

enum { SECTION_HEAD = SNAP_TAG('h', 'e', 'a', 'd') };

/* A section's tag and length, and the next one; false at the end. */
static bool next_section(const uint8_t **at, const uint8_t *end,
			 uint32_t header[2])
{
	if (*at == end)
		return false;
	assert_true(end - *at >= 8);
	memcpy(header, *at, 8);
	*at += 8 + header[1];
	assert_true(*at <= end);
	return true;
}

static void what_is_written_is_what_the_newest_file_has(void **state)
{
	uint32_t then[2] = {0}, now[2] = {0};
	struct golden g;
	struct snap s;
	const uint8_t *a, *b;
	size_t len;

	(void)state;
	read_golden(&g, STATE_FILE_MINOR);
	save(&s);
	a = g.body;
	b = snap_data(&s, &len);
	while (next_section(&a, (uint8_t *)g.body + g.len, then)) {
		assert_true(next_section(&b, (uint8_t *)s.out + len, now));
		assert_int_equal(now[0], then[0]);
		/* The host's kernel has a name, of any length. */
		if (then[0] != SECTION_HEAD)
			assert_int_equal(now[1], then[1]);
	}
	assert_ptr_equal(b, (uint8_t *)s.out + len);
	snap_fini(&s);
	free(g.body);
}

static void write_golden(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	const void *data;
	struct snap s;
	size_t len;

	assert_true(fd >= 0);
	save(&s);
	data = snap_data(&s, &len);
	assert_ok(state_file_save(fd, data, len, &e), e);
	snap_fini(&s);
	close(fd);
}

static void the_file_is_written(void **state)
{
	(void)state;
	write_golden(getenv("STASIS_GOLDEN"));
}

int main(void)
{
	const struct CMUnitTest making[] = {
		cmocka_unit_test_setup_teardown(the_file_is_written, set_up,
						tear_down),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			files_of_every_minor_version_are_loaded, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_written_is_what_the_newest_file_has, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(vhost_is_set_up_once, set_up,
						tear_down),
	};

	if (getenv("STASIS_GOLDEN"))
		return RUN_TESTS("snapshot_golden", making);
	return RUN_TESTS("snapshot_golden", tests);
}
