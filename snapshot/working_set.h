/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of a memory file a guest touches when it goes on from there, in
 * the order in which it does: recorded once, beside the memory file, so that
 * those who go on later have them read ahead of them.
 *
 * A hint: it belongs to one snapshot, by its identity, and whoever finds that
 * it does not, or that anything else is wrong with it, goes on without.
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
	struct working_set_range *range; /* owned; no page is in it twice */
	uint64_t *seen; /* while it is recorded: a bit per page; owned */
};

/* Name of the file that is beside @memory. */
#define WORKING_SET_SUFFIX ".ws"

void working_set_fini(struct working_set *w);

/*
 * Add what of @mem, which memory_file_map() made of the file, was touched and
 * is not in @w yet: pages that the kernel mapped to the process.  What does
 * not fit is left out.
 */
int working_set_sample(struct working_set *w, const struct guest_mem *mem,
		       struct err *e);

/* To @fd, which is empty. */
int working_set_save(struct working_set *w, int fd, struct err *e);

/*
 * From the file @path, which is hostile.  Refused if it is not that of the
 * snapshot with @id, whose memory has @memory_size bytes.  working_set_fini()
 * in any case.
 */
int working_set_load(struct working_set *w, const char *path,
		     const uint8_t id[16], uint64_t memory_size, struct err *e);
