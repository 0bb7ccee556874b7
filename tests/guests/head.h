/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of an arm64 Linux Image, for assembly: Linux,
 * Documentation/arch/arm64/booting.rst.  The first instruction is the guest's.
 */
#pragma once

/* clang-format off */
.macro image_header first:vararg
	\first
	b	_start
	.quad	0		/* text offset */
	.quad	_image_size
	.quad	0xa		/* little-endian, 4 KiB pages, anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
.endm
	/* clang-format on */
