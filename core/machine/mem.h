/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM.  The only module that turns a guest-physical address into a
 * pointer.
 *
 * The main thread creates it before any vCPU runs; the layout is constant
 * afterwards, and any thread may read it.  The guest may change the memory
 * behind a pointer at any moment.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/gpa.h"

struct err;

enum { GUEST_MEM_REGIONS_MAX = 2, GUEST_MEM_FILES_MAX = 4 };

struct guest_mem_file;

/* What the host backs RAM with. */
enum guest_mem_pages {
	GUEST_MEM_PLAIN,       /* what it gives by itself */
	GUEST_MEM_TRANSPARENT, /* transparent huge pages where it has them */
	GUEST_MEM_2M,          /* hugetlbfs: reserved huge pages of 2 MiB */
	GUEST_MEM_PAGES_COUNT
};

struct guest_mem_region {
	gpa_t gpa;
	uint64_t size; /* multiple of the host's page size */
	uint8_t *host; /* for kvm_vm_set_memory(); else use guest_mem_at() */
	void *space;   /* address space with guards; see guest_mem_create() */
};

struct guest_mem {
	struct guest_mem_region region[GUEST_MEM_REGIONS_MAX];
	unsigned region_count;
	enum guest_mem_pages pages;
	bool keeps; /* of GUEST_MEM_2M: discarded pages stay reserved */
	/* Where guest_mem_load() mapped files; owned. */
	struct guest_mem_file *file[GUEST_MEM_FILES_MAX];
	unsigned file_count;
	bool keep_files;  /* keep them open, for guest_mem_run_at() */
	bool share_files; /* guest_mem_boot() maps in any case */
	struct guest_mem_dirty *dirty; /* NULL: writes are not tracked */
	/*
	 * A page server fills RAM page by page: request missing pages from it.
	 * NULL: there is no page server, so no pages are missing.
	 */
	void (*ask)(void *context, const void *host, uint64_t len);
	void *ask_context;
	/* Pages that we use, too: not the guest's to discard. */
	const uint8_t *kept, *kept_end;
};

/* One bit per page that was written, laid out as in KVM_GET_DIRTY_LOG. */
struct guest_mem_dirty {
	uint64_t page; /* size in bytes */
	uint64_t *bits[GUEST_MEM_REGIONS_MAX];
	uint64_t words[GUEST_MEM_REGIONS_MAX];
};

/*
 * Reserve anonymous memory, which the host provides when it is first touched.
 * At least 64 KiB of inaccessible address space guard each region on both
 * sides, and core dumps leave RAM out.
 */
int guest_mem_create(struct guest_mem *mem,
		     const struct guest_mem_region *regions, unsigned count,
		     struct err *e);
/*
 * The same, of @pages.  GUEST_MEM_2M reserves all huge pages now, so that none
 * is missing later, which would end the guest; but not @for_file: then
 * guest_mem_load() maps a file of hugetlbfs over all of RAM, which does it.
 */
int guest_mem_create_of(struct guest_mem *mem,
			const struct guest_mem_region *regions, unsigned count,
			enum guest_mem_pages pages, bool for_file,
			struct err *e);
void guest_mem_destroy(struct guest_mem *mem);

/*
 * Host address of @len bytes at @gpa, or NULL unless all of them are in one
 * region of RAM.  The pointer stays valid until guest_mem_destroy().
 */
void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len);

/*
 * A hint that little of this range will be written: the host does not back it
 * with huge pages, which it would have to zero as a whole.
 */
void guest_mem_expect_little(struct guest_mem *mem, gpa_t gpa, uint64_t len);
/* Refuse to discard these @len bytes at @gpa: a page that the page server has
 * provided stays, so that touching it does not wait. */
void guest_mem_keep(struct guest_mem *mem, gpa_t gpa, uint64_t len);

/*
 * Load @len bytes of the file @fd, from @offset, at @gpa.  Whole pages are
 * mapped privately (MAP_PRIVATE), so that all VMs share them in the page cache
 * until they write; what cannot be mapped is read, such as all files but those
 * of hugetlbfs into GUEST_MEM_2M.
 */
int guest_mem_load(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e);

/* The same, but always read. */
int guest_mem_read(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e);

/*
 * The same of what a guest boots from: read where RAM may be huge pages, which
 * spare the guest a fault for each 4 KiB, unless that is less than one of them,
 * or it is to be shared.
 */
int guest_mem_boot(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e);

/* The size in bytes of the pages that RAM consists of. */
uint64_t guest_mem_page(const struct guest_mem *mem);

/* The same of the pages that a mapping of @fd has: more than usual if it is on
 * hugetlbfs. */
uint64_t guest_mem_file_page(int fd);

/* Sum of all regions, in bytes. */
uint64_t guest_mem_size(const struct guest_mem *mem);

/* What a page contained before it was written to. */
enum guest_mem_origin {
	GUEST_MEM_ZERO,      /* zeroes; or it was read into RAM */
	GUEST_MEM_FILE,      /* a page of a mapped file */
	GUEST_MEM_DISCARDED, /* the same, but zero since it was discarded */
};

struct guest_mem_run {
	enum guest_mem_origin origin;
	uint64_t len; /* bytes that have this origin */
	/* GUEST_MEM_FILE: the file, or -1 if it is not kept open; borrowed. */
	int fd;
	uint64_t offset; /* of these bytes in the file */
};

/*
 * Origin of the pages at @host, whole pages of one region: the first run of
 * equal origin, at most @len bytes.
 */
struct guest_mem_run guest_mem_run_at(const struct guest_mem *mem,
				      const uint8_t *host, uint64_t len);

/*
 * Return the whole pages (guest_mem_page()) within the @len bytes at @host,
 * which are RAM, to the host.  They read as zero from then on and use no memory
 * until they are touched; the content of a file that was mapped there does not
 * come back.  Returns 0, or -errno (-EPERM: guest_mem_keep()); then some pages
 * may be unchanged.  -EOPNOTSUPP: the host might not have a huge page again
 * when it is needed.
 *
 * Main thread, while vCPUs may run.
 */
int guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len);

/*
 * Can @len bytes at @host, which are RAM, be accessed without waiting for the
 * page server?  If not, the missing pages are requested; try again once they
 * have arrived.  Main thread.
 */
bool guest_mem_present(const struct guest_mem *mem, const void *host,
		       uint64_t len);

/* Track the pages that stasis itself writes, from now on. */
int guest_mem_track(struct guest_mem *mem, struct err *e);
void guest_mem_untrack(struct guest_mem *mem);
/* Mark @len bytes at @host, which are RAM, as written.  Any thread. */
void guest_mem_written(const struct guest_mem *mem, const void *host,
		       uint64_t len);
