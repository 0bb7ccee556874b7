/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as a file: the regions one after the other, nothing else, so that
 * it can be mapped.  Firecracker's files are the same.  Pages of zeroes are
 * holes.
 *
 * A diff has the same size, and data only where pages changed; a page that
 * became zero is data in it.
 *
 * Thread: any that alone uses @mem's layout; the guest may run, and then what
 * is written of a page is what it was at some moment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct go_on;
struct guest_mem;

enum { MEMORY_FILE_CHUNK = 4 << 20 }; /* bytes between two calls of go_on() */

/* Where memory goes in its order, zeroes included: @context is the owner's. */
struct memory_sink {
	int (*put)(void *context, const void *data, size_t len, struct err *e);
	void *context;
};

struct memory_save {
	const struct guest_mem *mem;
	int fd; /* of a file; what is in it is replaced */
	const struct memory_sink *sink; /* not NULL: instead of the file */
	/*
	 * NULL: all pages, and for a sink always.  Or for each region the pages
	 * to write, a bit per page of the host: as KVM_GET_DIRTY_LOG gives
	 * them.
	 */
	const uint64_t *const *dirty;
	bool onto_base; /* with @dirty: put them over what is in @fd */
	/*
	 * If not NULL: pages that are not what they were when RAM was mapped
	 * are found by comparing, and added here before they are written; a bit
	 * each, perhaps the ones that @dirty points to.
	 */
	uint64_t *const *compare;
	/*
	 * Pages may be elsewhere until they are touched (userfaultfd), so that
	 * none can be known to be zero without a look.
	 */
	bool read_all;
	/* If not NULL: @done of @total bytes of RAM; false to give up. */
	bool (*go_on)(void *context, uint64_t done, uint64_t total);
	void *context;
	uint64_t written; /* out: bytes */
};

/* Not synced afterwards. */
int memory_file_save(struct memory_save *s, struct err *e);

/* Can memory_file_changed() tell?  Not without /proc, or if the process may not
 * be debugged: /proc/self/pagemap is root's then. */
bool memory_file_can_tell_changed(void);

/*
 * Find out which pages of region @index are not what they were when RAM was
 * created, or memory_file_map() mapped it: for diffs without a dirty log.  Not
 * after memory_file_read().  @bitmap is as in struct memory_save, and zero.
 */
int memory_file_changed(const struct guest_mem *mem, unsigned index,
			uint64_t *bitmap, struct err *e);

/*
 * Make @fd what @mem, which is fresh, begins with.  Mapped privately: clean
 * pages are shared with all who map it.  Who shortens the file kills the guest.
 */
int memory_file_map(struct guest_mem *mem, int fd, struct err *e);

/* The same, read now.  Holes take no memory. */
int memory_file_read(struct guest_mem *mem, int fd, struct err *e);

/*
 * Put the pages that are data in @diff over those of @base, in place.  Pages of
 * zeroes become holes where the file system can.  Doing it again after a
 * failure completes it.
 */
int memory_file_merge(int base, int diff, struct err *e);

/*
 * Make empty @to what @from is, sharing blocks where the file system can.
 * @go_on is asked every few MiB of data; NULL: never.
 */
int memory_file_copy(int from, int to, const struct go_on *go_on,
		     struct err *e);
