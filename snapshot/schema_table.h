/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a state file, and their parts, as data. */
#pragma once

/*
 * Fields, in order, as "name:type":
 *
 *	1 2 4 8	    an integer of so many bytes
 *	x1 x2 x4 x8 the same, shown as hexadecimal
 *	b	    a yes or no
 *	s, t	    text; a yes or no and, if yes, text
 *	hN, c	    N bytes; a number and so many bytes
 *	r	    a vCPU's registers: number, then ids and values
 *	z	    all that is left
 *	.NAME	    what is called NAME here: a section, if it has a tag
 *	?NAME	    a yes or no, and the same if yes
 *	+NAME	    a number, and so many of them
 *	#NAME	    as many as the last field of type 4n says
 *	*NAME	    until the section ends
 *	@NAME	    NAME and the number in the last field of type 4i
 */
struct schema {
	char tag[5]; /* of a section; "": part of one */
	const char *name;
	const char *fields;
};

extern const struct schema schema_table[];
extern const unsigned schema_table_count;
