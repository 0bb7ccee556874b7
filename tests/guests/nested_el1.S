/* SPDX-License-Identifier: Apache-2.0 */
/*
 * void look_at_el1(struct seen *x0): from EL2 to EL1, which reads its counters
 * there, and which virtual interrupt is pending, and comes back by a hypercall.
 * If EL2 is interrupted before that, all that was seen is 0.  With the MMU off
 * at both.
 */
#define SPSR_EL1H_MASKED 0x3c5
#define VECTOR_LOWER_SYNC 0x400
#define VECTOR_SIZE 0x80
#define ICC_HPPIR1_EL1 s3_0_c12_c12_2

	.text
	.globl	look_at_el1
look_at_el1:
	mrs	x9, vbar_el2
	adrp	x10, from_el1
	add	x10, x10, :lo12:from_el1
	msr	vbar_el2, x10
	adr	x10, el1
	msr	elr_el2, x10
	mov	x10, #SPSR_EL1H_MASKED
	msr	spsr_el2, x10
	isb
	eret

el1:
	isb
	mrs	x1, cntvct_el0
	isb
	mrs	x2, cntpct_el0
	isb
	mrs	x3, cntvct_el0
	isb
	mrs	x4, ICC_HPPIR1_EL1
	hvc	#0

back:
	msr	vbar_el2, x9
	isb
	stp	x1, x2, [x0]
	stp	x3, x4, [x0, #16]
	ret

interrupted:
	mov	x1, #0
	mov	x2, #0
	mov	x3, #0
	mov	x4, #0
	b	back

	.balign 2048
from_el1:
	.space	VECTOR_LOWER_SYNC
	b	back
	.balign	VECTOR_SIZE
	b	interrupted
