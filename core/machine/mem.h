/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM.  The only module that turns a guest-physical address into a
 * pointer.
 *
 * Made by the main thread before any vCPU runs, constant afterwards, read by
 * all.  What a pointer points to is the guest's: it may change at any moment.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/gpa.h"

struct err;

enum { GUEST_MEM_REGIONS_MAX = 2, GUEST_MEM_FILES_MAX = 4 };

struct guest_mem_file;

struct guest_mem_region {
	gpa_t gpa;
	uint64_t size; /* multiple of the host's page size */
	uint8_t *host; /* only for kvm_vm_set_memory(); others use _at() */
	void *space;   /* reserved around it: owned by guest_mem_create() */
};

struct guest_mem {
	struct guest_mem_region region[GUEST_MEM_REGIONS_MAX];
	unsigned region_count;
	/* Where guest_mem_load() mapped files; owned. */
	struct guest_mem_file *file[GUEST_MEM_FILES_MAX];
	unsigned file_count;
	bool keep_files; /* open, for guest_mem_run_at() to tell */
	struct guest_mem_dirty *dirty; /* NULL: nobody keeps track */
	/* Somebody serves it, page by page: asks for pages that are missing.
	 * NULL: none can be. */
	void (*ask)(void *context, const void *host, uint64_t len);
	void *ask_context;
};

/* A bit for each page that was written, as KVM_GET_DIRTY_LOG has them. */
struct guest_mem_dirty {
	uint64_t page; /* bytes */
	uint64_t *bits[GUEST_MEM_REGIONS_MAX];
	uint64_t words[GUEST_MEM_REGIONS_MAX];
};

/*
 * Anonymous memory, taken from the host when first touched.  On both sides of
 * each region at least 64 KiB of address space cannot be accessed, and core
 * dumps leave RAM out.
 */
int guest_mem_create(struct guest_mem *mem,
		     const struct guest_mem_region *regions, unsigned count,
		     struct err *e);
void guest_mem_destroy(struct guest_mem *mem);

/*
 * Host address of @len bytes at @gpa, or NULL unless all of them are RAM of
 * one region.  The pointer stays valid until guest_mem_destroy().
 */
void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len);

/*
 * Little will be written here: do not let the host back it with huge pages,
 * which are zeroed whole.  A hint.
 */
void guest_mem_expect_little(struct guest_mem *mem, gpa_t gpa, uint64_t len);

/*
 * Make @len bytes of the file @fd, from @offset, appear at @gpa.  Whole pages
 * are mapped privately, so that all VMs share them in the page cache until
 * they write; what cannot be mapped is read.
 */
int guest_mem_load(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e);

/* Of all regions, bytes. */
uint64_t guest_mem_size(const struct guest_mem *mem);

/* What a page was before anybody wrote to it. */
enum guest_mem_origin {
	GUEST_MEM_ZERO,      /* or was read into RAM */
	GUEST_MEM_FILE,      /* the file's */
	GUEST_MEM_DISCARDED, /* the file's, and zero since it was given back */
};

struct guest_mem_run {
	enum guest_mem_origin origin;
	uint64_t len; /* bytes of which that is true */
	int fd;       /* GUEST_MEM_FILE: still the module's, or -1; and where */
	uint64_t offset; /* these bytes are in it */
};

/* The pages at @host, @len bytes of one region: those that begin it. */
struct guest_mem_run guest_mem_run_at(const struct guest_mem *mem,
				      const uint8_t *host, uint64_t len);

/*
 * Give @len bytes at @host, which is within RAM, back to the host: as much of
 * them as are whole pages of the host.  They read as zero from then on, and
 * cost nothing until they are touched; the content of a file that was mapped
 * there does not come back.  0 or -errno: some may be as they were.
 *
 * Main thread, while vCPUs may run.
 */
int guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len);

/*
 * May @len bytes at @host, which is within RAM, be accessed without waiting for
 * a process that serves them?  If not, they are asked for; try again when they
 * have come.  Main thread.
 */
bool guest_mem_present(const struct guest_mem *mem, const void *host,
		       uint64_t len);

/* Keep track of pages written, from now on. */
int guest_mem_track(struct guest_mem *mem, struct err *e);
void guest_mem_untrack(struct guest_mem *mem);
/* We wrote @len bytes at @host, which is within RAM.  Any thread. */
void guest_mem_written(const struct guest_mem *mem, const void *host,
		       uint64_t len);
