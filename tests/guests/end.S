/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that ends itself at once: PSCI_FUNCTION, as few instructions as there
 * can be.  What such a guest takes is what the VMM takes.
 */
#include "tests/guests/head.h"

	.section .head, "ax"
	.globl _head
_head:
	image_header mov w0, #(PSCI_FUNCTION & 0xffff)
_start:
	movk	w0, #(PSCI_FUNCTION >> 16), lsl #16
	hvc	#0
0:	b	0b
