/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a state file and their parts, as a table. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Fields, in order, as "name:type":
 *
 *	1 2 4 8	    an integer of this many bytes
 *	x1 x2 x4 x8 the same, printed in hexadecimal
 *	4n 4i	    the same as 4, and remembered for # and @
 *	b	    a bool
 *	s, t	    a string; a bool and, if true, a string
 *	hN, c	    N bytes; a count and that many bytes
 *	r	    a vCPU's registers: a count, then ids and values
 *	z	    all bytes left in the section
 *	.NAME	    the part NAME of this table: a section, if it has a tag
 *	?NAME	    a bool and, if true, the part NAME
 *	+NAME	    a count, and that many parts NAME
 *	#NAME	    as many parts NAME as the last 4n field says
 *	*NAME	    parts NAME until the section ends
 *	S	    sections of this table until the section ends
 *	@NAME	    the part NAME<n>, where n is the last 4i field
 */
struct schema {
	char tag[5]; /* of a section; "": a part of a section */
	const char *name;
	const char *fields;
};

/* What the guest's architecture has: its sections, and its registers' names. */
struct schema_arch {
	const struct schema *table;
	unsigned count;
	/* Write to @name what people call the register with this id of KVM. */
	void (*name_register)(uint64_t id, char *name, size_t size);
};

extern const struct schema schema_table[];
extern const unsigned schema_table_count;
