/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of guest RAM changed.  With dirty tracking: KVM's dirty log for
 * the guest's writes, and mem.dirty for ours; since the last snapshot.  Without
 * it, for a mapped snapshot: the pages that /proc/self/pagemap shows not to be
 * the file's any more; since the restore.  Where the pagemap cannot be read,
 * pages are compared with the file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "snapshot/memory/memory_file.h"
#include "vmm/vm/vm_internal.h"
#include "vmm/vm/vm_snapshot.h"

/* Mark the pages that the VMM writes at a resume or a snapshot without
 * recording it. */
static void mark_our_pages(struct vm *vm)
{
	const gpa_t ours[] = {arch_layout.vmclock, arch_layout.vmgenid,
			      arch_layout.snapshot_id};

	for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
		guest_mem_written(&vm->mem, guest_mem_at(&vm->mem, ours[i], 1),
				  1);
}

/* KVM_GET_DIRTY_LOG clears the log: combine it with the pages in mem.dirty, and
 * clear those, too. */
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

static bool must_compare(struct vm *vm)
{
	if (vm->changes_by == BY_UNDECIDED && !memory_file_can_tell_changed())
		log_warn("/proc/self/pagemap cannot be read (%s): snapshots of "
			 "this VM compare all of its memory with the file that "
			 "it is from, which takes longer",
			 strerror(errno));
	if (vm->changes_by == BY_UNDECIDED)
		vm->changes_by = memory_file_can_tell_changed() ? BY_PAGEMAP
								: BY_COMPARING;
	return vm->changes_by == BY_COMPARING;
}

/* Start with the pages that differed at an earlier snapshot, even if they now
 * have the file's contents again, because the diff may be merged onto that
 * snapshot. */
static int begin_comparing(struct vm *vm, unsigned index, uint64_t *out,
			   uint64_t words, struct err *e)
{
	if (!vm->differed[index])
		vm->differed[index] = calloc(words, sizeof(uint64_t));
	if (!vm->differed[index])
		return err_errno(e, "cannot tell which pages changed");
	memcpy(out, vm->differed[index], words * sizeof(uint64_t));
	return 0;
}

static int find_in(struct vm *vm, unsigned index, struct vm_changes *changes,
		   struct err *e)
{
	uint64_t *out = changes->owned[index];

	if (vm->mem.dirty)
		return take_log(vm, index, out, e);
	if (changes->compare)
		return begin_comparing(vm, index, out, changes->words[index],
				       e);
	return memory_file_changed(&vm->mem, index, out, e);
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
		if (find_in(vm, i, changes, e))
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
	else
		changes->compare = must_compare(vm);
	if (!find(vm, changes, e))
		return 0;
	vm_changes_give_back(vm, changes);
	vm_changes_fini(changes);
	return -1;
}

/* Add the pages found by comparing to vm->differed, whether or not the snapshot
 * was written. */
static void remember(struct vm *vm, const struct vm_changes *changes)
{
	for (unsigned r = 0; r < vm->mem.region_count; r++) {
		for (uint64_t i = 0; changes->compare && changes->owned[r] &&
				     vm->differed[r] && i < changes->words[r];
		     i++)
			vm->differed[r][i] |= changes->owned[r][i];
	}
}

void vm_changes_give_back(struct vm *vm, const struct vm_changes *changes)
{
	struct guest_mem_dirty *d = vm->mem.dirty;

	remember(vm, changes);
	for (unsigned r = 0; d && r < vm->mem.region_count; r++) {
		for (uint64_t i = 0; changes->owned[r] && i < d->words[r]; i++)
			d->bits[r][i] |= changes->owned[r][i];
	}
}

void vm_changes_saved(struct vm *vm, const struct vm_changes *changes)
{
	remember(vm, changes);
	vm->has_base = true;
	memcpy(vm->saved, vm->mark.id, sizeof(vm->saved));
}

void vm_changes_fini(struct vm_changes *changes)
{
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
		free(changes->owned[i]);
	*changes = (struct vm_changes){0};
}
