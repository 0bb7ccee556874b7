/* SPDX-License-Identifier: Apache-2.0 */
/* Refusing files that are no kernels, by what they are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;

/* How many bytes of a file are looked at. */
enum { IMAGE_HEAD_SIZE = 4096 };

/* "@where an x86 kernel (bzImage); what to do": @head is the beginning of the
 * file, @size bytes of it.  Always -1. */
int image_refuse(const char *where, const uint8_t *head, uint64_t size,
		 struct err *e);

/* An EFI zboot image whose header says @method (@size bytes, which may lack a
 * NUL), and that @payload bytes of that are at @offset.  Always -1. */
int image_refuse_zboot(const char *method, size_t size, uint64_t offset,
		       uint64_t payload, struct err *e);
