/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/snapshot_world.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snapshot/memory/memory_file.h"
#include "snapshot/state_file.h"
#include "tests/unit/testing.h"

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240 /* Linux 6.16 */
#endif

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	(void)context;
	(void)end;
	fail_msg("the guest ended: %s", reason);
}

static void configure(struct snapshot_world *w)
{
	struct drive_config drive = {
		.block.id = strdup("root"),
		.block.path = strdup(testing_file_path(w->disk_fd)),
	};

	vm_config_init(&w->config);
	w->config.vcpu_count = 2;
	w->config.mem_mib = 64;
	w->config.has_entropy = true;
	w->config.has_balloon = true;
	assert_ok(vm_config_set(&w->config.kernel,
				testing_file_path(w->kernel_fd), &w->e),
		  w->e);
	assert_ok(vm_config_set(&w->config.cmdline, "console=ttyS0", &w->e),
		  w->e);
	assert_ok(vm_config_put_drive(&w->config, &drive, &w->e), w->e);
}

int snapshot_world_set_up(void **state)
{
	struct snapshot_world *w = calloc(1, sizeof(*w));
	uint8_t image[4096] = {0};

	kvm_fake_reset();
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	w->kernel_fd = testing_file(image, sizeof(image));
	w->disk_fd = testing_file(NULL, 0);
	assert_int_equal(ftruncate(w->disk_fd, SNAPSHOT_WORLD_DISK), 0);
	w->memory_fd = -1;
	w->minor = STATE_FILE_MINOR;
	configure(w);
	assert_ok(loop_init(&w->loop, &w->e), w->e);
	w->host = (struct vm_host){
		.kvm_path = "kvm",
		.loop = &w->loop,
		.serial_out = -1,
		.serial_room = -1,
		.ended = on_ended,
	};
	*state = w;
	return 0;
}

int snapshot_world_tear_down(void **state)
{
	struct snapshot_world *w = *state;

	snapshot_world_unload(w);
	vm_config_fini(&w->config);
	loop_fini(&w->loop);
	close(w->kernel_fd);
	close(w->disk_fd);
	if (w->memory_fd >= 0)
		close(w->memory_fd);
	free(w->body);
	free(w);
	return 0;
}

struct vm *snapshot_world_boot(struct snapshot_world *w)
{
	struct vm *vm = vm_create(&w->config, &w->host, &w->e);

	if (!vm)
		fail_msg("%s", w->e.text);
	assert_ok(vm_boot(vm, &w->config, &w->e), w->e);
	return vm;
}

static void save(struct snapshot_world *w, struct vm *vm,
		 const struct vm_config *config)
{
	struct memory_save memory = {.mem = vm_memory(vm)};
	struct snap s;
	const void *data;

	assert_ok(vm_save(vm, config, !w->no_host_details, &s, &w->e), w->e);
	data = snap_data(&s, &w->len);
	free(w->body);
	w->body = malloc(w->len);
	memcpy(w->body, data, w->len);
	snap_fini(&s);
	if (w->memory_fd >= 0)
		close(w->memory_fd);
	w->memory_fd = memory.fd = memfd_create("memory", MFD_CLOEXEC);
	assert_ok(memory_file_save(&memory, &w->e), w->e);
	w->stopped = vm_clock(vm)->guest_stopped;
}

void snapshot_world_save_paused(struct snapshot_world *w, struct vm *vm)
{
	save(w, vm, &w->config);
}

void snapshot_world_save(struct snapshot_world *w, struct vm *vm)
{
	assert_ok(vm_pause(vm, &w->e), w->e);
	save(w, vm, &w->config);
	vm_destroy(vm);
}

void snapshot_world_save_again(struct snapshot_world *w, struct vm *vm)
{
	if (!vm)
		fail_msg("%s", w->e.text);
	save(w, vm, &w->saved->config);
	vm_destroy(vm);
}

struct vm *snapshot_world_load(struct snapshot_world *w)
{
	const struct vm_ram_source ram = {.fd = w->memory_fd};
	uint64_t counter = kvm_fake.counter;

	snapshot_world_unload(w);
	kvm_fake_reset();
	kvm_fake.counter = counter;
	kvm_fake.no_gic_v3 = w->no_gic_v3;
	kvm_fake.no_gic_el2 = w->no_gic_el2;
	kvm_fake.caps[KVM_CAP_ARM_SVE] = w->sve;
	kvm_fake.caps[KVM_CAP_ARM_EL2] = w->el2;
	kvm_fake.fail_at = w->fail_at;
	kvm_fake.fail_errno = EIO;
	w->saved = calloc(1, sizeof(*w->saved));
	if (vm_saved_read(w->saved, w->body, w->len, w->minor, &w->e))
		return NULL;
	return vm_restore(w->saved, &ram, &w->host, &w->e);
}

void snapshot_world_unload(struct snapshot_world *w)
{
	if (!w->saved)
		return;
	vm_saved_fini(w->saved);
	free(w->saved);
	w->saved = NULL;
}

uint32_t snapshot_world_gic(const struct fake_attr *a)
{
	enum { CLEAR = 0x180, V3_CLEAR = 0x10180, SET = -0x80, SGIS = 0xffff };
	uint32_t offset = (uint32_t)a->attr;

	return offset == CLEAR || offset == V3_CLEAR
		       ? ~kvm_fake_attr(a->group, a->attr + SET) & SGIS
		       : kvm_fake_attr(a->group, a->attr);
}
