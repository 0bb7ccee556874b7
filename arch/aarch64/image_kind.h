/* SPDX-License-Identifier: Apache-2.0 */
/* Rejecting files that are not kernels, with a message for what they are. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;

/* Number of bytes at the beginning of a file that are examined. */
enum { IMAGE_HEAD_SIZE = 4096 };

/*
 * Set *e to "@where an x86 kernel (bzImage); what to do".  @head: the first
 * @size bytes of the file.  Always returns -1.
 */
int image_refuse(const char *where, const uint8_t *head, uint64_t size,
		 struct err *e);

/*
 * Reject an EFI zboot image.  @method: its compression, @size bytes that may
 * lack a NUL.  The compressed part is @payload bytes at @offset.  Always
 * returns -1.
 */
int image_refuse_zboot(const char *method, size_t size, uint64_t offset,
		       uint64_t payload, struct err *e);
