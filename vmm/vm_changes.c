/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed in a VM's RAM.  With a log, KVM knows what the guest wrote, and
 * we what we did.  Without one, the kernel knows which pages of a mapped
 * snapshot are not the file's any more: all that was written since the load.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "snapshot/memory_file.h"
#include "vmm/base/err.h"
#include "vmm/base/util.h"
#include "vmm/vm_internal.h"
#include "vmm/vm_snapshot.h"

/* Those that change without a log: by ourselves, while the guest is paused. */
static void mark_our_pages(struct vm *vm)
{
	const gpa_t ours[] = {arch_layout.vmclock, arch_layout.vmgenid,
			      arch_layout.snapshot_id};

	for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
		guest_mem_written(&vm->mem, guest_mem_at(&vm->mem, ours[i], 1),
				  1);
}

/* KVM forgets what it tells, so it is added to what we remember. */
static int collect_log(struct vm *vm, unsigned index, struct err *e)
{
	struct guest_mem_dirty *d = vm->mem.dirty;
	AUTO_FREE uint64_t *log = calloc(d->words[index], sizeof(log[0]));
	int r = log ? kvm_vm_dirty_log(&vm->kvm, index, log) : -ENOMEM;

	if (r) {
		errno = -r;
		return err_errno(e, "cannot tell which pages changed");
	}
	for (uint64_t i = 0; i < d->words[index]; i++)
		d->bits[index][i] |= log[i];
	return 0;
}

static int by_log(struct vm *vm, struct vm_changes *changes, struct err *e)
{
	mark_our_pages(vm);
	for (unsigned i = 0; i < vm->mem.region_count; i++) {
		if (collect_log(vm, i, e))
			return -1;
		changes->bits[i] = vm->mem.dirty->bits[i];
	}
	return 0;
}

static int by_mapping(struct vm *vm, struct vm_changes *changes, struct err *e)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < vm->mem.region_count; i++) {
		uint64_t pages = vm->mem.region[i].size / page;

		changes->owned[i] =
			calloc(align_up(pages, 64) / 64, sizeof(uint64_t));
		changes->bits[i] = changes->owned[i];
		if (!changes->owned[i])
			return err_errno(e, "cannot tell which pages changed");
		if (memory_file_changed(&vm->mem, i, changes->owned[i], e))
			return -1;
	}
	return 0;
}

int vm_changes_get(struct vm *vm, struct vm_changes *changes, struct err *e)
{
	*changes = (struct vm_changes){0};
	if (vm->mem.dirty) {
		changes->known = vm->has_base;
		return by_log(vm, changes, e);
	}
	changes->known = vm->is_mapped;
	return changes->known ? by_mapping(vm, changes, e) : 0;
}

void vm_changes_fini(struct vm_changes *changes)
{
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
		free(changes->owned[i]);
}

void vm_changes_saved(struct vm *vm)
{
	struct vm_changes changes;
	struct err e;

	if (!vm->mem.dirty)
		return;
	/* After a full snapshot nobody has asked KVM yet.  If it does not
	 * answer, more is saved than need be. */
	vm->has_base = true;
	if (!vm_changes_get(vm, &changes, &e))
		guest_mem_clean(&vm->mem);
	vm_changes_fini(&changes);
}
