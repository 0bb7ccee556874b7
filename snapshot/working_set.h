/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The working set: the pages of a memory file that a guest touches after it
 * resumes from it, in the order of access.  It is recorded once, beside the
 * memory file, so that later restores can read these pages ahead.
 *
 * A hint, which belongs to one snapshot by its identity.  A restore that finds
 * another identity or any error in it continues without it.
 *
 * One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct guest_mem;
struct snap;

enum {
	WORKING_SET_PAGE = 4096, /* bytes, on every host */
	WORKING_SET_RANGES_MAX = 65536,
};

struct working_set_range {
	uint32_t page, count; /* in units of WORKING_SET_PAGE */
};

struct working_set {
	uint8_t id[16];       /* of the snapshot */
	uint64_t memory_size; /* of its memory file, bytes */
	uint32_t range_count;
	struct working_set_range *range; /* owned; ranges do not overlap */
	uint64_t *seen; /* while recording: a bit per page; owned */
};

/* The name of the file is that of the memory file and this suffix. */
#define WORKING_SET_SUFFIX ".ws"

void working_set_fini(struct working_set *w);

/*
 * Add the pages of @mem, which memory_file_map() mapped, that were touched and
 * are not in @w yet: pages that are present in the process's page table.  Pages
 * beyond WORKING_SET_RANGES_MAX ranges are left out.
 */
int working_set_sample(struct working_set *w, const struct guest_mem *mem,
		       struct err *e);

/* Write the working set to @fd, an empty file. */
int working_set_save(struct working_set *w, int fd, struct err *e);

/*
 * Read the working set from the file @path, which is not trusted.  Fails if it
 * does not belong to the snapshot with @id and @memory_size bytes of memory.
 * Call working_set_fini() also after a failure.
 */
int working_set_load(struct working_set *w, const char *path,
		     const uint8_t id[16], uint64_t memory_size, struct err *e);
