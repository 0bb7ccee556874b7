/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any state, loaded into a VM on a fake KVM.  An input is a list of changes to
 * what a VM was really saved as: the first byte chooses which VM, and each
 * change is what to do, where (16 bits), how many bytes, and these.  What is
 * loaded runs for a moment and is saved again.
 */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "snapshot/memory/memory_file.h"
#include "snapshot/state_file.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/net_fake.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

enum { MODELS = 4, BODY_MAX = 1 << 16, MEM_MIB = 32, VCPUS_MAX = 3 };

/* What there is to change. */
static struct model {
	uint8_t *body;
	size_t len;
	int memory_fd;
} model[MODELS];

static struct event_loop loop;
static char disk[32], folder[40], vsock[48];

static void remove_folder(void)
{
	unlink(vsock);
	rmdir(folder);
}

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	(void)context;
	(void)end;
	(void)reason;
}

static const struct vm_host host = {
	.kvm_path = "kvm",
	.loop = &loop,
	.serial_out = -1,
	.serial_room = -1,
	.ended = on_ended,
};

/* -------------------------------------------------------------- the models */

static int make_file(const void *data, size_t len, size_t size, char *path,
		     size_t path_size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && !ftruncate(fd, (off_t)size));
	must(pwrite(fd, data, len, 0) == (ssize_t)len);
	snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

static void put_network(struct vm_config *config, struct err *e)
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

	must(!vm_config_put_interface(config, &plain, e));
	must(!vm_config_put_interface(config, &more, e));
	must(!vm_config_set(&config->vsock.uds_path, vsock, e));
	config->vsock.guest_cid = 3;
}

static void configure(struct vm_config *config, unsigned which,
		      const char *kernel, struct err *e)
{
	struct drive_config drive = {.block.id = strdup("d"),
				     .block.path = strdup(disk)};

	vm_config_init(config);
	config->vcpu_count = which == 1 ? 2 : 1;
	config->mem_mib = MEM_MIB;
	must(!vm_config_set(&config->kernel, kernel, e));
	must(!vm_config_set(&config->cmdline,
			    which == 2 ? "quiet" : "console=ttyS0", e));
	config->has_entropy = which == 1;
	config->has_balloon = which == 1;
	if (which == 3)
		put_network(config, e);
	if (which == 1)
		must(!vm_config_put_drive(config, &drive, e));
	else
		drive_config_fini(&drive);
}

static void keep(struct model *m, struct vm *vm, const struct vm_config *config)
{
	struct memory_save memory = {.mem = vm_memory(vm)};
	struct err e;
	struct snap s;
	const void *data;

	must(!vm_save(vm, config, true, &s, &e));
	data = snap_data(&s, &m->len);
	must(m->len < BODY_MAX);
	m->body = malloc(m->len);
	memcpy(m->body, data, m->len);
	snap_fini(&s);
	m->memory_fd = memory.fd = memfd_create("memory", MFD_CLOEXEC);
	must(!memory_file_save(&memory, &e));
}

static void make_model(unsigned which, const char *kernel)
{
	struct vm_config config;
	struct err e;
	struct vm *vm;

	kvm_fake_reset();
	kvm_fake.no_gic_v3 = which == 2;
	configure(&config, which, kernel, &e);
	vm = vm_create(&config, &host, &e);
	must(vm && !vm_boot(vm, &config, &e) && !vm_pause(vm, &e));
	kvm_fake_put_reg(0, KVM_REG_ARM_TIMER_CVAL, 1000);
	kvm_fake_put_reg(0, KVM_REG_ARM_PSCI_VERSION, 0x10001);
	kvm_fake_put_reg(0, KVM_REG_ARM64_SVE_VLS, 1);
	keep(&model[which], vm, &config);
	vm_destroy(vm);
	vm_config_fini(&config);
}

static void make_models(void)
{
	uint8_t image[4096] = {0};
	char kernel[32];
	struct err e;

	log_configure(&(struct log_config){.level = LOG_OFF, .fd = -1});
	must(!loop_init(&loop, &e));
	net_fake_no_vhost = 1;
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	make_file(image, sizeof(image), sizeof(image), kernel, sizeof(kernel));
	make_file("", 0, 65536, disk, sizeof(disk));
	strcpy(folder, "/tmp/vm_snapshot_fuzz.XXXXXX");
	must(mkdtemp(folder));
	snprintf(vsock, sizeof(vsock), "%s/v", folder);
	must(!atexit(remove_folder));
	for (unsigned i = 0; i < MODELS; i++)
		make_model(i, kernel);
}

/* ------------------------------------------------------------- the changes */

struct body {
	uint8_t bytes[BODY_MAX];
	size_t len;
};

static void change(struct body *b, unsigned what, size_t at,
		   const uint8_t *data, size_t len)
{
	if (at > b->len)
		at = b->len;
	switch (what % 4) {
	case 0: /* overwrite */
		if (len > b->len - at)
			len = b->len - at;
		memcpy(b->bytes + at, data, len);
		break;
	case 1: /* insert */
		if (len > BODY_MAX - b->len)
			return;
		memmove(b->bytes + at + len, b->bytes + at, b->len - at);
		memcpy(b->bytes + at, data, len);
		b->len += len;
		break;
	case 2: /* remove as many as the first byte says */
		len = len && data[0] < b->len - at ? data[0] : b->len - at;
		memmove(b->bytes + at, b->bytes + at + len, b->len - at - len);
		b->len -= len;
		break;
	default: /* flip */
		for (size_t i = 0; i < len && at + i < b->len; i++)
			b->bytes[at + i] ^= data[i];
	}
}

static void apply(struct body *b, const uint8_t *data, size_t size)
{
	while (size >= 4) {
		size_t at = data[1] | (size_t)data[2] << 8, len = data[3];

		if (len > size - 4)
			len = size - 4;
		change(b, data[0], at, data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
}

/* ------------------------------------------------------------------ loading */

/* What would touch this machine, or takes long, is not tried. */
static bool is_ours_to_try(struct vm_config *config, struct err *e)
{
	if (config->vcpu_count > VCPUS_MAX || config->mem_mib > MEM_MIB)
		return false;
	for (unsigned i = 0; i < config->interface_count; i++)
		config->interface[i].vhost = false;
	if (config->vsock.uds_path)
		must(!vm_config_set(&config->vsock.uds_path, vsock, e));
	for (unsigned i = 0; i < config->drive_count; i++)
		must(!vm_config_set(&config->drive[i].block.path, disk, e));
	return true;
}

static void run_and_save(struct vm *vm, const struct vm_config *config)
{
	const struct clock_request counts = {
		.policy = CLOCK_CONTINUOUS,
		.unsynchronized = true,
		.has_max_jump = true,
		.max_jump_ms = UINT64_MAX,
	};
	struct err e = {""};
	struct snap s;

	if (vm_resume(vm, NULL, &e) && vm_resume(vm, &counts, &e)) {
		must(e.text[0]);
		return;
	}
	if (vm_pause(vm, &e)) {
		must(e.text[0]);
		return;
	}
	if (vm_save(vm, config, true, &s, &e))
		must(e.text[0]);
	snap_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct body body;
	static struct vm_saved saved;
	const struct model *m = &model[size ? data[0] % MODELS : 0];
	struct vm_ram_source ram = {.eager = size && data[0] & 0x80};
	struct err e = {""};
	struct vm *vm = NULL;

	if (!m->body)
		make_models();
	memcpy(body.bytes, m->body, m->len);
	body.len = m->len;
	if (size)
		apply(&body, data + 1, size - 1);
	kvm_fake_reset();
	kvm_fake.no_gic_v3 = m == &model[2];
	kvm_fake.caps[KVM_CAP_ARM_SVE] = size && data[0] & 0x40;
	if (vm_saved_read(&saved, body.bytes, body.len,
			  STATE_FILE_MINOR + (size && data[0] & 0x20), &e)) {
		must(e.text[0]);
	} else if (is_ours_to_try(&saved.config, &e)) {
		ram.fd = m->memory_fd;
		vm = vm_restore(&saved, &ram, &host, &e);
		must(vm || e.text[0]);
		must(vm || size > 1);
	}
	if (vm)
		run_and_save(vm, &saved.config);
	vm_destroy(vm);
	vm_saved_fini(&saved);
	return 0;
}
