/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's state, saved to memory and restored from it: everything but its RAM,
 * which goes through files of its own.  Main thread.
 *
 * snapshot/FORMAT.md describes what is written, byte by byte.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "core/machine/mem.h"
#include "devices/virtio/block/block.h"
#include "snapshot/codec.h"
#include "snapshot/memory/memory_mark.h"
#include "snapshot/publish.h"
#include "vmm/config/config.h"

struct err;
struct vm;
struct vm_host;

/* What a state begins with: it says what to build before all else is loaded. */
struct vm_saved {
	char stasis[32]; /* version of the VMM */
	char kernel[72]; /* release of its host's kernel */
	uint32_t page_size;
	struct snapshot_id id;
	struct vm_config config;
	struct block_identity disk[VM_DRIVES_MAX];
	/* Chosen by whoever loads it: whatever is there is the disk. */
	bool any_disk[VM_DRIVES_MAX];
	struct arch_clock_record clock;
	struct arch_saved arch;

	struct snap rest; /* what follows */
};

/* Where a memory file has its mark. */
uint64_t vm_mark_offset(void);

/*
 * Save @vm, which is paused and was made of @config.  Its RAM is marked as
 * belonging to what was saved.  snap_fini(@s) in any case.
 */
int vm_save(struct vm *vm, const struct vm_config *config, struct snap *s,
	    struct err *e);

/*
 * Read the beginning.  @body is hostile, and stays the caller's and valid. What
 * is to be other than it was is changed in @saved->config before vm_restore().
 * vm_saved_fini() in any case.
 */
int vm_saved_read(struct vm_saved *saved, const void *body, size_t len,
		  uint16_t minor, struct err *e);
void vm_saved_fini(struct vm_saved *saved);

/* Which pages changed, a bit each, since the last snapshot or since the load.
 */
struct vm_changes {
	bool known; /* else all of them may have */
	/* The pagemap cannot be read: the bits are those of earlier snapshots,
	 * and who writes this one adds to them (memory_save.compare). */
	bool compare;
	const uint64_t *bits[GUEST_MEM_REGIONS_MAX];
	uint64_t *owned[GUEST_MEM_REGIONS_MAX], words[GUEST_MEM_REGIONS_MAX];
};

/*
 * Of a paused VM, for a snapshot that is to be written: what changes from then
 * on is for the next.  Given back if that one was not written, so that the next
 * has it, too.
 */
int vm_changes_take(struct vm *vm, struct vm_changes *changes, struct err *e);
/* What is written next is a diff, of @changes.  Gives its mark. */
struct memory_mark vm_changes_mark(struct vm *vm,
				   const struct vm_changes *changes);
void vm_changes_give_back(struct vm *vm, const struct vm_changes *changes);
void vm_changes_saved(struct vm *vm, const struct vm_changes *changes);
void vm_changes_fini(struct vm_changes *changes);

/* Where its RAM comes from. */
struct vm_ram_source {
	int fd;     /* of the file; stays the caller's */
	bool eager; /* read it all now, instead of mapping it */
	int *pager; /* a connection (uffd.h) to who serves it instead,
		     * which is taken over; or NULL */
};

/*
 * A paused VM that is the one that was saved.  Refuses a drive whose file has
 * become smaller, or is not the disk that it was (block_identity_check()),
 * unless that was chosen in @saved->any_disk.  @saved->config as it is now must
 * outlive it. */
struct vm *vm_restore(struct vm_saved *saved, const struct vm_ram_source *ram,
		      const struct vm_host *host, struct err *e);

/*
 * In two steps, between which the pages come that the second touches, if
 * somebody serves them.  Of the first, the result can only be destroyed or
 * finished.
 */
struct vm *vm_restore_begin(struct vm_saved *saved,
			    const struct vm_ram_source *ram,
			    const struct vm_host *host, struct err *e);
/* False: ready() of struct vm_host is called when that changes. */
bool vm_restore_is_ready(struct vm *vm);
int vm_restore_finish(struct vm *vm, struct vm_saved *saved, struct err *e);
