/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM as a file: the regions one after the other and nothing else, so
 * that it can be mapped.  The format is Firecracker's.  Pages of zeroes are
 * holes.
 *
 *	page      0      1      2      3      4
 *	full   | data | data | hole | hole | data |
 *	diff   | hole | data | hole | data | hole |
 *	               changed       became zero
 *
 * A diff has the same size, and has data only where pages changed; a page that
 * became zero is data.
 *
 * Any thread, as long as no other thread changes the layout of @mem.  The guest
 * may run; a page that it writes meanwhile is saved as it was at some moment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct go_on;
struct guest_mem;

enum {
	MEMORY_FILE_CHUNK = 4 << 20
}; /* that are read between two calls of go_on() */

/* Receives all of memory in order, zeroes included, instead of a file. */
struct memory_sink {
	int (*put)(void *context, const void *data, size_t len, struct err *e);
	void *context;
};

struct memory_save {
	const struct guest_mem *mem;
	int fd;                         /* a file, whose content is replaced */
	const struct memory_sink *sink; /* not NULL: used instead of @fd */
	/*
	 * For each region the pages to write, one bit per host page as in
	 * KVM_GET_DIRTY_LOG.  NULL, as for a sink always: all pages.
	 */
	const uint64_t *const *dirty;
	bool onto_base; /* with @dirty: write the pages over those in @fd */
	/*
	 * If not NULL: find changed pages by comparing (memory_compare.h), and
	 * set their bits here before pages are written.  May be the bitmaps
	 * that @dirty points to.
	 */
	uint64_t *const *compare;
	/*
	 * Read every page, because pages may be missing until they are touched
	 * (userfaultfd), and a missing page need not be zero.
	 */
	bool read_all;
	/* Progress: @done of @total bytes.  False cancels.  May be NULL. */
	bool (*go_on)(void *context, uint64_t done, uint64_t total);
	void *context;
	uint64_t written; /* out: bytes of data written */
};

/* Write memory; the file is not synced. */
int memory_file_save(struct memory_save *s, struct err *e);

/*
 * Does memory_file_changed() work in this process?  Not without /proc, nor if
 * the process must not be debugged, because /proc/self/pagemap then belongs to
 * root.
 */
bool memory_file_can_tell_changed(void);

/*
 * For diffs without a dirty log: find the pages of region @index that changed
 * since RAM was created or memory_file_map() mapped it.  Does not work after
 * memory_file_read().  @bitmap, which must be zero, is laid out as in struct
 * memory_save.
 */
int memory_file_changed(const struct guest_mem *mem, unsigned index,
			uint64_t *bitmap, struct err *e);

/*
 * Map @fd as the initial contents of a fresh @mem, privately: pages that the
 * guest does not write are shared with all processes that map the file.  If the
 * file is truncated while the guest runs, the guest is killed.  The file must
 * be on hugetlbfs if, and only if, @mem is GUEST_MEM_2M, which was created for
 * it.
 */
int memory_file_map(struct guest_mem *mem, int fd, struct err *e);

/* The same, but read the file, not map it.  Holes use no memory. */
int memory_file_read(struct guest_mem *mem, int fd, struct err *e);

/*
 * Copy the data of @diff over @base, in place.  Pages of zeroes become holes if
 * the file system supports that.  After a failure the merge can be repeated.
 */
int memory_file_merge(int base, int diff, struct err *e);

/*
 * Copy @from to the empty file @to, sharing blocks if the file system supports
 * that.  @go_on is asked every MiB of data; NULL: it cannot be cancelled.
 */
int memory_file_copy(int from, int to, const struct go_on *go_on,
		     struct err *e);
