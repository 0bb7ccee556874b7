/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mark in guest RAM that identifies the snapshot that it belongs to.  It is
 * in a page that is reserved from the guest (snapshot/FORMAT.md, "Memory
 * file").  It prevents a diff from being merged into a base that it was not
 * made for: the result would be a memory image that never existed, and no other
 * check would find that out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;

enum memory_mark_kind {
	MEMORY_WHOLE,
	MEMORY_SINCE_LAST, /* a diff: pages changed since @base was saved */
	/*
	 * A diff: pages changed since @base was loaded.  It can also be merged
	 * into snapshots that the same run saved later.
	 */
	MEMORY_SINCE_LOAD,
};

/* The layout in RAM and in the memory file. */
struct memory_mark {
	uint8_t id[16];   /* of the snapshot; also in its state file */
	uint8_t base[16]; /* of a diff: id of the snapshot it applies to */
	uint8_t run[16];  /* random, drawn by each VM process */
	uint8_t kind;     /* enum memory_mark_kind; other values: not a diff */
	uint8_t zero[15];
};

/*
 * May @diff be merged into the memory file @base, whose mark is at @offset?
 * Yes also if it already was, in part or whole.  Error messages do not name the
 * files.
 */
int memory_mark_check(const struct memory_mark *diff, int base, uint64_t offset,
		      struct err *e);

/* Read the mark of a memory file. */
int memory_mark_read(struct memory_mark *mark, int fd, uint64_t offset,
		     struct err *e);
