/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of a snapshot's state: header, body, checksum.  What the body
 * says is the codec's; FORMAT.md describes both byte by byte.
 *
 * Any thread.  Texts do not name the file; the caller does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	STATE_FILE_MAJOR = 1,
	STATE_FILE_MINOR = 2,
	STATE_FILE_BODY_MAX = 4 << 20, /* bytes */
};

/*
 * Write a state file to @fd, from its beginning; it is empty, and not synced
 * afterwards.
 */
int state_file_save(int fd, const void *body, size_t len, struct err *e);

/*
 * Read the whole of @fd, a regular file, and refuse what is not exactly a state
 * file.  *body is the caller's to free().
 *
 * *minor may be larger than STATE_FILE_MINOR: then sections that are not known
 * here may follow those that are.
 */
int state_file_load(int fd, void **body, size_t *len, uint16_t *minor,
		    struct err *e);
