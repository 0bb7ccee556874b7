/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an arm64 Linux Image, for assembly: Linux,
 * Documentation/arch/arm64/booting.rst.  The first instruction is the guest's.
 */
#pragma once

#ifdef NO_HEADER
#define HAS_HEADER 0 /* a raw binary */
#else
#define HAS_HEADER 1
#endif

/* clang-format off */
.macro image_header first:vararg
	\first
	b	_start
	.if HAS_HEADER
	.quad	0		/* text offset */
	.quad	_image_size
	.quad	0xa		/* little-endian, 4 KiB pages, anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
	.endif
.endm
	/* clang-format on */
