/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/vm_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "arch/suspend.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/base/version.h"
#include "vmm/vm/vm_internal.h"

/* ----------------------------------------------------------- the beginning */

static void head_state(struct vm_saved *saved, struct snap *s)
{
	snapshot_id_state(&saved->id, s);
	snap_begin(s, SNAP_TAG('h', 'e', 'a', 'd'));
	snap_string(s, saved->stasis, sizeof(saved->stasis));
	snap_string(s, saved->kernel, sizeof(saved->kernel));
	snap_u32(s, &saved->page_size);
	snap_end(s);
}

static void disks_state(struct vm_saved *saved, struct snap *s)
{
	snap_begin(s, SNAP_TAG('d', 'i', 's', 'k'));
	for (unsigned i = 0; i < saved->config.drive_count; i++) {
		snap_u64(s, &saved->disk[i].size);
		snap_u64(s, &saved->disk[i].device);
		snap_u64(s, &saved->disk[i].inode);
		snap_u64(s, &saved->disk[i].mtime_sec);
		snap_u64(s, &saved->disk[i].mtime_ns);
	}
	snap_end(s);
}

static void beginning_state(struct vm_saved *saved, struct snap *s)
{
	head_state(saved, s);
	vm_config_state(&saved->config, s);
	disks_state(saved, s);
	arch_clock_record_state(&saved->clock, s);
	arch_saved_state(&saved->arch, s);
	if (snap_version(s) >= 4)
		vm_config_more_state(&saved->config, s);
}

/* Since format 1.2: what identifies the contents of each disk. */
static void disk_contents_state(struct vm_saved *saved, struct snap *s)
{
	snap_begin(s, SNAP_TAG('d', 's', 'k', 's'));
	for (unsigned i = 0; i < saved->config.drive_count; i++) {
		struct block_identity *disk = &saved->disk[i];

		snap_u64(s, &disk->birth_sec);
		snap_u64(s, &disk->birth_ns);
		for (unsigned n = 0; n < BLOCK_SAMPLES; n++) {
			snap_u64(s, &disk->sample[n].at);
			snap_u64(s, &disk->sample[n].hash);
		}
		disk->has_samples = true;
	}
	snap_end(s);
}

static struct virtio_device *drive_of(const struct vm *vm,
				      const struct vm_saved *saved, unsigned i)
{
	return virtio_slots_find(&vm->virtio, &block_kind,
				 saved->config.drive[i].block.id);
}

static int identify_disks(const struct vm *vm, struct vm_saved *saved,
			  struct err *e)
{
	for (unsigned i = 0; i < saved->config.drive_count; i++) {
		if (block_identity_get(drive_of(vm, saved, i), &saved->disk[i],
				       e))
			return err_prefix(e, "drive %.64s",
					  saved->config.drive[i].block.id);
	}
	return 0;
}

static int check_disks(const struct vm *vm, const struct vm_saved *saved,
		       struct err *e)
{
	for (unsigned i = 0; i < saved->config.drive_count; i++) {
		const struct drive_config *d = &saved->config.drive[i];

		if (!saved->any_disk[i] &&
		    block_identity_check(drive_of(vm, saved, i),
					 &saved->disk[i], e))
			return err_prefix(e, "drive %.64s: %.256s", d->block.id,
					  d->block.path);
	}
	return 0;
}

static int fill_beginning(struct vm *vm, struct vm_saved *saved, struct err *e)
{
	if (vm->same_memory)
		memcpy(saved->id.bytes, vm->mark.id, sizeof(saved->id.bytes));
	else if (getrandom(saved->id.bytes, sizeof(saved->id.bytes), 0) !=
		 sizeof(saved->id.bytes))
		return err_errno(e, "cannot get random numbers");
	saved->id.offset = vm_mark_offset();
	snprintf(saved->stasis, sizeof(saved->stasis), "%s", STASIS_VERSION);
	snprintf(saved->kernel, sizeof(saved->kernel), "%s", vm->host_kernel);
	saved->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	if (identify_disks(vm, saved, e) ||
	    arch_clock_record(&vm->clock, &saved->clock, e) ||
	    arch_saved_get(&vm->arch, &saved->arch, e))
		return -1;
	return 0;
}

/* ------------------------------------------------------------- the machine */

static void devices_state(struct vm *vm, struct snap *s)
{
	bool has_serial = vm->serial;

	snap_begin(s, SNAP_TAG('d', 'e', 'v', 's'));
	boot_timer_state(&vm->boot_timer, s);
	rtc_state(&vm->rtc, s);
	gpio_state(vm->gpio, s);
	snap_bool(s, &has_serial);
	snap_require(s, has_serial == !!vm->serial, "serial port");
	if (vm->serial && !snap_failed(s))
		serial_state(vm->serial, s);
	snap_end(s);
}

/*
 * All but the first sections, saved or loaded.  Devices come before KVM's
 * state, because saving a device may still raise an interrupt.
 */
static int machine_state(struct vm *vm, struct vm_saved *saved, struct snap *s,
			 struct err *e)
{
	devices_state(vm, s);
	virtio_slots_state(&vm->virtio, s);
	time_pages_state(&vm->time_pages, s);
	for (unsigned i = 0; i < vm->vcpus.count; i++) {
		if (arch_vcpu_state(&vm->vcpus.vcpu[i].kvm, s, e))
			return -1;
	}
	if (arch_irqchip_state(&vm->arch, s, e))
		return -1;
	if (snap_version(s) >= 2)
		vm_config_vhost_state(&saved->config, s);
	if (snap_version(s) >= 3) {
		rtc_alarm_state(&vm->rtc, s);
		disk_contents_state(saved, s);
		arch_clock_boot_state(&saved->clock, s);
	}
	if (snap_version(s) >= 5)
		vm_config_time_state(&saved->config, s);
	return arch_hypervisor_state(&vm->arch, s, e);
}

/* ------------------------------------------------------------------- saving */

uint64_t vm_mark_offset(void)
{
	return arch_layout.snapshot_id - arch_layout.reserved;
}

static void put_mark(struct vm *vm)
{
	memcpy(guest_mem_at(&vm->mem, arch_layout.snapshot_id,
			    sizeof(vm->mark)),
	       &vm->mark, sizeof(vm->mark));
}

/* Mark guest RAM as that of a full snapshot; vm_changes_mark() turns it into
 * the mark of a diff. */
static int mark_ram(struct vm *vm, const struct snapshot_id *id, struct err *e)
{
	static const uint8_t none[sizeof(vm->mark.run)];
	struct memory_mark mark = {.kind = MEMORY_WHOLE};

	memcpy(mark.run, vm->mark.run, sizeof(mark.run));
	if (!memcmp(mark.run, none, sizeof(none)) &&
	    getrandom(mark.run, sizeof(mark.run), 0) != sizeof(mark.run))
		return err_errno(e, "cannot get random numbers");
	memcpy(mark.id, id->bytes, sizeof(mark.id));
	vm->mark = mark;
	vm->same_memory = true;
	put_mark(vm);
	return 0;
}

struct memory_mark vm_changes_mark(struct vm *vm,
				   const struct vm_changes *changes)
{
	bool is_log = vm->mem.dirty;

	if (changes->known) {
		vm->mark.kind = is_log ? MEMORY_SINCE_LAST : MEMORY_SINCE_LOAD;
		memcpy(vm->mark.base, is_log ? vm->saved : vm->loaded,
		       sizeof(vm->mark.base));
		put_mark(vm);
	}
	return vm->mark;
}

static int save(struct vm *vm, struct vm_saved *saved, bool host_details,
		struct snap *s, struct err *e)
{
	int r = fill_beginning(vm, saved, e);

	if (!r && !host_details)
		r = vm_host_details_omit(saved, e);
	if (!r) {
		beginning_state(saved, s);
		r = machine_state(vm, saved, s, e);
	}
	return r ? r : snap_finish(s, e);
}

int vm_save(struct vm *vm, const struct vm_config *config, bool host_details,
	    struct snap *s, struct err *e)
{
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	int r;

	snap_save(s, SNAPSHOT_VERSION);
	if (!saved)
		return err_errno(e, "cannot save the VM");
	saved->config = *config;
	saved->config.clock.realtime = vm->clock.config.realtime;
	r = save(vm, saved, host_details, s, e);
	if (!r)
		r = mark_ram(vm, &saved->id, e);
	if (saved->config.drive != config->drive)
		free(saved->config.drive);
	if (saved->config.interface != config->interface)
		free(saved->config.interface);
	free(saved);
	return r;
}

/* ------------------------------------------------------------------ loading */

int vm_saved_read(struct vm_saved *saved, const void *body, size_t len,
		  uint16_t minor, struct err *e)
{
	*saved = (struct vm_saved){0};
	vm_config_init(&saved->config);
	snap_load(&saved->rest, body, len, snap_version_of(minor));
	beginning_state(saved, &saved->rest);
	if (snap_failed(&saved->rest))
		return err_set(e, "%s", saved->rest.err.text);
	if (vm_config_check_loaded(&saved->config, e))
		return err_prefix(e, "snapshot");
	return 0;
}

void vm_saved_fini(struct vm_saved *saved)
{
	vm_config_fini(&saved->config);
	snap_fini(&saved->rest);
}

/* Check that RAM belongs to the state, by its mark: the user may have named the
 * memory of another snapshot. */
static int check_ram(struct vm *vm, const struct snapshot_id *id, struct err *e)
{
	const void *mark = guest_mem_at(&vm->mem, arch_layout.snapshot_id,
					sizeof(id->bytes));

	if (!memcmp(mark, id->bytes, sizeof(id->bytes)))
		return 0;
	return err_set(e, "the memory is that of another snapshot than the "
			  "state; give the one that was written with it, or, "
			  "for a state that was saved alone, memory that was "
			  "read after that and before the resume");
}

static int load(struct vm *vm, struct vm_saved *saved, struct err *e)
{
	struct snap *s = &saved->rest;

	if (check_ram(vm, &saved->id, e))
		return -1;
	if (machine_state(vm, saved, s, e))
		return -1;
	if (snap_finish(s, e) || check_disks(vm, saved, e) ||
	    vm_use_vhost(vm, &saved->config, e))
		return -1;
	memcpy(vm->loaded, saved->id.bytes, sizeof(vm->loaded));
	memcpy(vm->saved, saved->id.bytes, sizeof(vm->saved));
	vm->clock.config.stalls_are_frozen =
		saved->config.clock.stalls_are_frozen;
	vm->clock.config.realtime = saved->config.clock.realtime;
	if (arch_clock_restore(&vm->clock, &saved->clock, e))
		return -1;
	vm->clock.asleep = arch_is_asleep(&vm->arch);
	return 0;
}

struct vm *vm_restore_begin(struct vm_saved *saved,
			    const struct vm_ram_source *ram,
			    const struct vm_host *host, struct err *e)
{
	const struct vm_origin origin = {.arch = &saved->arch, .ram = ram};

	return vm_build(&saved->config, host, &origin, e);
}

int vm_restore_finish(struct vm *vm, struct vm_saved *saved, struct err *e)
{
	return vm_build_machine(vm, &saved->config, e) || load(vm, saved, e) ||
			       vm_start_vcpus(vm, &saved->config, e)
		       ? -1
		       : 0;
}

struct vm *vm_restore(struct vm_saved *saved, const struct vm_ram_source *ram,
		      const struct vm_host *host, struct err *e)
{
	struct vm *vm = vm_restore_begin(saved, ram, host, e);

	if (vm && vm_restore_finish(vm, saved, e)) {
		vm_destroy(vm);
		return NULL;
	}
	return vm;
}
