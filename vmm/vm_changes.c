/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed in a VM's RAM.  With a log, KVM knows what the guest wrote, and
 * we what we did.  Without one, the kernel knows which pages of a mapped
 * snapshot are not the file's any more: all that was written since the load.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

/* KVM forgets what it tells: add it to what we remember, and take all. */
static int take_log(struct vm *vm, unsigned index, uint64_t *out, struct err *e)
{
	struct guest_mem_dirty *d = vm->mem.dirty;
	int r = kvm_vm_dirty_log(&vm->kvm, index, out);

	if (r) {
		errno = -r;
		return err_errno(e, "cannot tell which pages changed");
	}
	for (uint64_t i = 0; i < d->words[index]; i++) {
		out[i] |= d->bits[index][i];
		d->bits[index][i] = 0;
	}
	return 0;
}

static int find(struct vm *vm, struct vm_changes *changes, struct err *e)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < vm->mem.region_count; i++) {
		uint64_t pages = vm->mem.region[i].size / page;

		changes->words[i] = align_up(pages, 64) / 64;
		changes->owned[i] = calloc(changes->words[i], sizeof(uint64_t));
		changes->bits[i] = changes->owned[i];
		if (!changes->owned[i])
			return err_errno(e, "cannot tell which pages changed");
		if (vm->mem.dirty ? take_log(vm, i, changes->owned[i], e)
				  : memory_file_changed(&vm->mem, i,
							changes->owned[i], e))
			return -1;
	}
	return 0;
}

int vm_changes_take(struct vm *vm, struct vm_changes *changes, struct err *e)
{
	*changes = (struct vm_changes){
		.known = vm->mem.dirty ? vm->has_base : vm->is_mapped,
	};
	if (!vm->mem.dirty && !vm->is_mapped)
		return 0;
	if (vm->mem.dirty)
		mark_our_pages(vm);
	if (!find(vm, changes, e))
		return 0;
	vm_changes_give_back(vm, changes);
	vm_changes_fini(changes);
	return -1;
}

void vm_changes_give_back(struct vm *vm, const struct vm_changes *changes)
{
	struct guest_mem_dirty *d = vm->mem.dirty;

	for (unsigned r = 0; d && r < vm->mem.region_count; r++) {
		for (uint64_t i = 0; changes->owned[r] && i < d->words[r]; i++)
			d->bits[r][i] |= changes->owned[r][i];
	}
}

void vm_changes_saved(struct vm *vm)
{
	vm->has_base = true;
	memcpy(vm->saved, vm->mark.id, sizeof(vm->saved));
}

void vm_changes_fini(struct vm_changes *changes)
{
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
		free(changes->owned[i]);
	*changes = (struct vm_changes){0};
}
