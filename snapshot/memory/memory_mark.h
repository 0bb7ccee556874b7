/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guest RAM says of the snapshot that it is part of, in a page that the
 * guest is told to leave alone (snapshot/FORMAT.md, "Memory file").  So a diff
 * is not put over what it was not made for: the result would be no machine's
 * RAM, and nothing else would notice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;

enum memory_mark_kind {
	MEMORY_WHOLE,
	MEMORY_SINCE_LAST, /* a diff: what changed since @base */
	/*
	 * A diff: what changed since @base was loaded; it also goes over what
	 * the same run saved later.
	 */
	MEMORY_SINCE_LOAD,
};

/* As it is in RAM. */
struct memory_mark {
	uint8_t id[16];   /* the snapshot's; also in its state file */
	uint8_t base[16]; /* a diff's: id of what it goes over */
	uint8_t run[16];  /* drawn by each process that is a VM */
	uint8_t kind;     /* enum memory_mark_kind; anything else: no diff */
	uint8_t zero[15];
};

/*
 * May @diff go over the memory file @base, whose mark is at @offset?  Also if
 * it did already, in part or whole.  Refusals do not name the files.
 */
int memory_mark_check(const struct memory_mark *diff, int base, uint64_t offset,
		      struct err *e);

/* The mark of a file. */
int memory_mark_read(struct memory_mark *mark, int fd, uint64_t offset,
		     struct err *e);
