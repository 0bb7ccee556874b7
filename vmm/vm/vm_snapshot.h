/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving a VM's state to memory and restoring it: everything but guest RAM,
 * which has files of its own.  All functions: main thread.
 *
 * snapshot/FORMAT.md describes the format, byte by byte.
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

/* The first sections of a state: what must be known to build the VM into which
 * the rest is loaded. */
struct vm_saved {
	char stasis[32]; /* version of the VMM that wrote it */
	char kernel[72]; /* kernel release of the host that wrote it */
	uint32_t page_size;
	struct snapshot_id id;
	struct vm_config config;
	struct block_identity disk[VM_DRIVES_MAX];
	/* Set by the caller for drives that it overrides: any file is accepted
	 * instead of the one that was saved. */
	bool any_disk[VM_DRIVES_MAX];
	struct arch_clock_record clock;
	struct arch_saved arch;

	struct snap rest; /* the sections that follow; not read yet */
};

/* Offset of the mark (struct memory_mark) in a memory file, bytes. */
uint64_t vm_mark_offset(void);

/*
 * Save the state of @vm, which is paused and was built from @config, to @s.
 * Without @host_details, what describes this host is left out
 * (snapshot/FORMAT.md, "What a state says about its host").  Also writes the
 * mark of the new snapshot into guest RAM.  The caller calls snap_fini(@s) in
 * any case.
 */
int vm_save(struct vm *vm, const struct vm_config *config, bool host_details,
	    struct snap *s, struct err *e);

/*
 * Read the first sections.  @body is untrusted; it stays the caller's, and must
 * stay valid as long as @saved.  Overrides are applied to @saved->config after
 * this and before vm_restore().  The caller calls vm_saved_fini() in any case.
 */
int vm_saved_read(struct vm_saved *saved, const void *body, size_t len,
		  uint16_t minor, struct err *e);
void vm_saved_fini(struct vm_saved *saved);

/* Which pages changed since the last snapshot, or since the VM was restored: a
 * bit per page of the host. */
struct vm_changes {
	bool known; /* false: any page may have changed */
	/* /proc/self/pagemap cannot be read: the bits are those of earlier
	 * snapshots, and the thread that writes this one adds the pages that
	 * differ from the file (memory_save.compare). */
	bool compare;
	const uint64_t *bits[GUEST_MEM_REGIONS_MAX];
	uint64_t *owned[GUEST_MEM_REGIONS_MAX], words[GUEST_MEM_REGIONS_MAX];
};

/*
 * Collect the changes of a paused VM for a snapshot that is about to be
 * written; what changes from now on belongs to the next one.  Afterwards call
 * vm_changes_saved(), or vm_changes_give_back() if the snapshot was not
 * written, so that the next one includes them; then vm_changes_fini().
 */
int vm_changes_take(struct vm *vm, struct vm_changes *changes, struct err *e);
/* The snapshot will be a diff of @changes: write its mark into guest RAM.
 * Returns that mark. */
struct memory_mark vm_changes_mark(struct vm *vm,
				   const struct vm_changes *changes);
void vm_changes_give_back(struct vm *vm, const struct vm_changes *changes);
void vm_changes_saved(struct vm *vm, const struct vm_changes *changes);
void vm_changes_fini(struct vm_changes *changes);

/* Where the guest RAM of a restored VM comes from. */
struct vm_ram_source {
	int fd;     /* of the memory file; stays the caller's */
	bool eager; /* read the file now instead of mapping it */
	int *pager; /* not NULL: a socket connected to a page server (uffd.h),
		     * used instead of the file; the VM takes it over */
};

/*
 * Restore a VM; it is paused.  Rejects a drive whose file became smaller or is
 * a different disk (block_identity_check()), unless @saved->any_disk is set for
 * it.  @saved->config must outlive the VM.
 */
struct vm *vm_restore(struct vm_saved *saved, const struct vm_ram_source *ram,
		      const struct vm_host *host, struct err *e);

/*
 * vm_restore() in two steps, so that the loop can run in between until the page
 * server has delivered the pages that the second step touches.  Until
 * vm_restore_finish() has succeeded, the VM can only be destroyed.
 */
struct vm *vm_restore_begin(struct vm_saved *saved,
			    const struct vm_ram_source *ram,
			    const struct vm_host *host, struct err *e);
/* Are the pages present that vm_restore_finish() touches?  If not, they are
 * requested, and ready() of struct vm_host is called once they are. */
bool vm_restore_is_ready(struct vm *vm);
int vm_restore_finish(struct vm *vm, struct vm_saved *saved, struct err *e);
