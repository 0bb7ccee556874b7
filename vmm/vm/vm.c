/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/vm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "snapshot/memory/memory_file.h"
#include "vmm/config/config.h"
#include "vmm/vm/boot/boot_checks.h"
#include "vmm/vm/vm_internal.h"
#include "vmm/vm/vm_metrics.h"
#include "vmm/vm/vm_snapshot.h"

/* A vCPU thread that does not wait for a page ends in microseconds. */
enum { STOP_AT_ONCE_MS = 20 };

/* ---------------------------------------------------------------- building */

static int create_kvm(struct vm *vm, const struct vm_config *config,
		      struct guest_mem_region *ram, unsigned *ram_count,
		      struct err *e)
{
	unsigned ipa_bits;
	int n;

	vm->kvm.kvm_fd = kvm_open(vm->host.kvm_path, e);
	if (vm->kvm.kvm_fd < 0)
		return -1;
	n = arch_ram_regions(vm->kvm.kvm_fd, MIB(config->mem_mib), ram,
			     &ipa_bits, e);
	if (n < 0)
		return -1;
	*ram_count = (unsigned)n;
	return kvm_vm_create(&vm->kvm, vm->kvm.kvm_fd, ipa_bits, e);
}

/* Before devices are created, because they read RAM, and before KVM gets the
 * memory slots, because this replaces the mappings. */
static int fill_memory(struct vm *vm, const struct vm_ram_source *ram, bool map,
		       struct err *e)
{
	if (ram->pager)
		return uffd_serve(&vm->uffd, &vm->mem, take_fd(ram->pager),
				  e) || vm_paging_start(vm, e)
			       ? -1
			       : 0;
	return map ? memory_file_map(&vm->mem, ram->fd, e)
		   : memory_file_read(&vm->mem, ram->fd, e);
}

/*
 * With EL2, KVM answers every page that is copied on write by unmapping all
 * that the guest gave its own guests, a GiB at a time up to the largest
 * physical address, which takes seconds.  So such a guest's memory is read.
 */
static bool maps_file(const struct vm_config *config,
		      const struct vm_origin *origin)
{
	return origin && !origin->ram->eager && !origin->ram->pager &&
	       config->cpu[ARCH_NESTED] != ARCH_ON;
}

static int create_memory(struct vm *vm, const struct guest_mem_region *ram,
			 unsigned count, const struct vm_config *config,
			 const struct vm_origin *origin, struct err *e)
{
	bool track = config->track_dirty, map = maps_file(config, origin);

	if (guest_mem_create_of(&vm->mem, ram, count, config->huge_pages, map,
				e) ||
	    (origin && fill_memory(vm, origin->ram, map, e)) ||
	    (track && guest_mem_track(&vm->mem, e)))
		return -1;
	for (unsigned i = 0; i < vm->mem.region_count; i++) {
		const struct guest_mem_region *r = &vm->mem.region[i];

		if (kvm_vm_set_memory(&vm->kvm, i, r->gpa, r->size, r->host,
				      track, e))
			return -1;
	}
	guest_mem_expect_little(&vm->mem, arch_layout.reserved,
				arch_layout.reserved_size);
	guest_mem_keep(&vm->mem, arch_layout.reserved,
		       arch_layout.reserved_size);
	return 0;
}

static int create_vcpus(struct vm *vm, const struct vm_config *config,
			struct err *e)
{
	struct vcpu_set *set = &vm->vcpus;

	for (unsigned i = 0; i < config->vcpu_count; i++) {
		struct kvm_vcpu *kvm = &set->vcpu[i].kvm;

		set->count++;
		if (kvm_vcpu_create(&vm->kvm, kvm, i, e) ||
		    arch_vcpu_init(&vm->arch, kvm, e))
			return -1;
	}
	return 0;
}

static int build_memory(struct vm *vm, const struct vm_config *config,
			const struct vm_origin *origin, struct err *e)
{
	struct guest_mem_region ram[GUEST_MEM_REGIONS_MAX];
	unsigned ram_count;

	vm->arch.vcpu_count = config->vcpu_count;
	memcpy(vm->arch.want, config->cpu, sizeof(vm->arch.want));
	vm->arch.modifier = config->reg;
	vm->arch.modifier_count = config->reg_count;
	vm->arch.saved = origin ? origin->arch : NULL;
	if (create_kvm(vm, config, ram, &ram_count, e) ||
	    arch_clock_pin(&vm->clock, &vm->kvm, &config->clock, e) ||
	    create_memory(vm, ram, ram_count, config, origin, e))
		return -1;
	vm->has_base = origin;
	vm->is_mapped = maps_file(config, origin);
	return 0;
}

int vm_build_machine(struct vm *vm, const struct vm_config *config,
		     struct err *e)
{
	if (arch_vm_init(&vm->arch, &vm->kvm, e) ||
	    create_vcpus(vm, config, e) ||
	    arch_irqchip_init(&vm->arch, &vm->kvm, e) ||
	    vm_attach_devices(vm, config, e))
		return -1;
	vm_metrics_watch(&vm->virtio);
	return 0;
}

/* For snapshots; the filter of a running VM does not allow it any more. */
static void know_host(struct vm *vm)
{
	struct utsname host;

	if (!uname(&host))
		memcpy(vm->host_kernel, host.release, sizeof(vm->host_kernel));
}

int vm_start_vcpus(struct vm *vm, const struct vm_config *config, struct err *e)
{
	if (vm->host.confine)
		vm->host.confine(vm->host.context, config);
	if (!realtime_is_host(&vm->clock.config.realtime) &&
	    arch_hide_host_time(&vm->vcpus.vcpu[0].kvm, e))
		return -1;
	vm->vcpus.beats = vm->clock.config.stalls_are_frozen;
	return vcpu_set_start(&vm->vcpus, e);
}

struct vm *vm_build(const struct vm_config *config, const struct vm_host *host,
		    const struct vm_origin *origin, struct err *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm) {
		err_errno(e, "cannot create a VM");
		return NULL;
	}
	vm->host = *host;
	know_host(vm);
	vm->kvm.fd = vm->kvm.kvm_fd = -1;
	vm->arch = ARCH_VM_NONE;
	vm->serial_irq_fd = vm->told.fd = vm->told_fd = -1;
	vm->deadline.fd = vm->paging.server.fd = vm->paging.tick.fd = -1;
	time_follow_init(&vm->time_follow, vm->host.loop, &vm->time_pages,
			 &vm->clock);
	vm->uffd = (struct uffd){.fd = -1, .socket = -1, .process = -1};
	if (vm_listen(vm)) {
		err_errno(e, "cannot create an eventfd");
		vm_destroy(vm);
		return NULL;
	}
	if (build_memory(vm, config, origin, e)) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

struct vm *vm_create(const struct vm_config *config, const struct vm_host *host,
		     struct err *e)
{
	struct vm *vm;

	if (vm_config_check(config, e))
		return NULL;
	vm = vm_build(config, host, NULL, e);
	if (vm &&
	    (vm_build_machine(vm, config, e) || vm_use_vhost(vm, config, e))) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}

void vm_abandon(struct vm *vm)
{
	/* A vCPU that has not stopped by then waits for a page.  It will get
	 * one of zeroes, and does not enter the guest with it, because it has
	 * been asked to end. */
	if (vm_is_paged(vm))
		vcpu_set_stop_within(&vm->vcpus, STOP_AT_ONCE_MS);
	vm_paging_stop(vm);
}

void vm_keep_memory(struct vm *vm)
{
	if (vm)
		vm->keep_memory = true;
}

void vm_is_last(struct vm *vm)
{
	if (vm)
		vm->is_last = true;
}

void vm_destroy(struct vm *vm)
{
	bool is_quiet;

	if (!vm)
		return;
	/* A vCPU thread may wait for a device to be reset. */
	virtio_slots_abandon(&vm->virtio);
	vm_abandon(vm);
	vcpu_set_stop(&vm->vcpus);
	log_write_deferred();
	vm_stop_waiting(vm);
	time_follow_fini(&vm->time_follow);
	loop_remove(vm->host.loop, &vm->told);
	vm_metrics_forget();
	is_quiet = virtio_slots_destroy(&vm->virtio);
	if (vm->is_last)
		return;
	serial_destroy(vm->serial);
	gpio_destroy(vm->gpio);
	rtc_fini(&vm->rtc);
	util_close(&vm->serial_irq_fd);
	arch_vm_fini(&vm->arch);
	vcpu_set_fini(&vm->vcpus);
	kvm_vm_destroy(&vm->kvm);
	util_close(&vm->kvm.kvm_fd);
	guest_mem_untrack(&vm->mem);
	/* I/O of storage that hangs may still write to guest RAM until the
	 * process ends, so its addresses must not be reused: leave it mapped.
	 */
	if (!is_quiet)
		vm->mem.region_count = 0;
	if (!vm->keep_memory)
		guest_mem_destroy(&vm->mem);
	uffd_close(&vm->uffd);
	util_close(&vm->told_fd);
	if (vm->keep_memory)
		return;
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
		free(vm->differed[i]);
	free(vm);
}

/* ----------------------------------------------------------------- booting */

static int load_kernel(struct vm *vm, const struct vm_config *config,
		       struct arch_kernel *k, struct err *e)
{
	const char *path = config->kernel;
	uint64_t size;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	if (fd < 0)
		return err_prefix(e, "kernel");
	if (arch_load_kernel(&vm->mem, fd, size, k, e) ||
	    boot_check_drivers(&vm->mem, config, k, e))
		return err_prefix(e, "kernel %s", path);
	return 0;
}

static int load_initrd(struct vm *vm, const char *path,
		       const struct arch_kernel *kernel,
		       struct arch_topology *topology, struct err *e)
{
	uint64_t size;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	if (fd < 0)
		return err_prefix(e, "initrd");
	if (!size)
		return err_set(e, "initrd %s is empty", path);
	if (arch_place_initrd(&vm->mem, size, kernel, &topology->initrd, e) ||
	    guest_mem_boot(&vm->mem, topology->initrd, fd, 0, size, e) ||
	    boot_check_initrd(&vm->mem, topology->initrd, size, e))
		return err_prefix(e, "initrd %s", path);
	topology->initrd_size = size;
	return 0;
}

int vm_boot(struct vm *vm, const struct vm_config *config, struct err *e)
{
	char cmdline[2048];
	struct arch_topology topology = {
		.mem = &vm->mem,
		.cmdline = cmdline,
		.serial = vm->serial,
		.no_kaslr = config->no_kaslr,
		.raw = config->raw,
		.fdt_high = config->raw || config->fdt_high,
		.virtio_count = vm->virtio.count,
	};
	const struct clock_request from_zero = {.policy = CLOCK_FROZEN};
	struct arch_kernel kernel = {
		.raw = config->raw,
		.fdt_high = config->raw || config->fdt_high,
		.load = config->load_address,
		.enter = config->entry,
	};
	gpa_t fdt;

	vm->mem.share_files = config->share_files;
	if (vm_config_cmdline(config, cmdline, sizeof(cmdline), e) ||
	    load_kernel(vm, config, &kernel, e))
		return -1;
	boot_check_cmdline(cmdline);
	if (config->initrd &&
	    load_initrd(vm, config->initrd, &kernel, &topology, e))
		return -1;
	if (arch_write_fdt(&vm->arch, &topology, &fdt, e) ||
	    arch_vcpu_boot(&vm->vcpus.vcpu[0].kvm, kernel.entry, fdt, e) ||
	    vm_start_vcpus(vm, config, e))
		return -1;
	return vm_resume(vm, &from_zero, e);
}

/* --------------------------------------------------------------- its parts */

const struct arch_clock *vm_clock(const struct vm *vm)
{
	return &vm->clock;
}

const struct vmclock *vm_vmclock(const struct vm *vm)
{
	return &vm->time_pages.vmclock;
}

unsigned vm_vcpu_threads(const struct vm *vm, int *ids)
{
	for (unsigned i = 0; i < vm->vcpus.count; i++)
		ids[i] = vm->vcpus.vcpu[i].kvm.thread;
	return vm->vcpus.count;
}

void vm_press_power(struct vm *vm)
{
	gpio_press_power(vm->gpio);
}

bool vm_has_serial(const struct vm *vm)
{
	return vm->serial;
}

size_t vm_serial_receive(struct vm *vm, const uint8_t *data, size_t len)
{
	vm->knocked = true;
	vm_look_at_knock(vm);
	return vm->serial ? serial_receive(vm->serial, data, len) : len;
}

const struct guest_mem *vm_memory(const struct vm *vm)
{
	return &vm->mem;
}

bool vm_is_paged(const struct vm *vm)
{
	return vm->uffd.fd >= 0;
}
