/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where vCPUs start, and exceptions.  The MMU stays off.  vCPU 0 comes here
 * from the VMM, the others by PSCI CPU_ON with their number in x0.
 */
#include "tests/guests/head.h"

#define STACK_SIZE 0x4000
#define CPUS_MAX 32
#define FRAME_SIZE 272

	.section .head, "ax"
	.globl _head
_head:
	image_header mov x19, x0

_start:
	mov	x0, #0
	bl	set_up
	mov	x0, x19
	bl	guest_main
	bl	guest_end

	.globl secondary_entry
secondary_entry:
	mov	x19, x0
	bl	set_up
	mov	x0, x19
	bl	guest_secondary
0:	wfi
	b	0b

/* x0: the number of the vCPU. */
set_up:
	adrp	x1, stacks
	add	x0, x0, #1
	mov	x2, #STACK_SIZE
	madd	x1, x0, x2, x1
	mov	sp, x1
	adrp	x1, vectors
	add	x1, x1, :lo12:vectors
	msr	vbar_el1, x1
	/* Let FP and SIMD instructions pass: accesses with them are tests. */
	mov	x1, #(3 << 20)
	msr	cpacr_el1, x1
	isb
	ret

.macro vector kind
	.balign 128
	sub	sp, sp, #FRAME_SIZE
	stp	x0, x1, [sp]
	mov	x1, #\kind
	b	save
.endm

	.text
	.balign 2048
vectors:
	.irp kind, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector	\kind
	.endr

/* x1: the vector's number.  Makes a struct frame. */
save:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	mrs	x2, elr_el1
	mrs	x3, spsr_el1
	stp	x30, x2, [sp, #240]
	str	x3, [sp, #256]
	mov	x0, sp
	bl	exception
	ldp	x30, x2, [sp, #240]
	ldr	x3, [sp, #256]
	msr	elr_el1, x2
	msr	spsr_el1, x3
	ldp	x28, x29, [sp, #224]
	ldp	x26, x27, [sp, #208]
	ldp	x24, x25, [sp, #192]
	ldp	x22, x23, [sp, #176]
	ldp	x20, x21, [sp, #160]
	ldp	x18, x19, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME_SIZE
	eret

	.bss
	.balign 4096
stacks:
	.space	CPUS_MAX * STACK_SIZE
