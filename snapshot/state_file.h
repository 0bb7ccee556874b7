/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of a snapshot's state.  snapshot/codec.h writes and reads the
 * body; FORMAT.md describes both byte by byte.
 *
 *	offset 0        8       10      12      16       24
 *	       +--------+-------+-------+-------+--------+-------+--------+
 *	       | magic  | major | minor | flags | length | body  | CRC-32 |
 *	       +--------+-------+-------+-------+--------+-------+--------+
 *	bytes    8        2       2       4       8      <length>   4
 *
 * Any thread.  Error messages do not name the file; callers prepend its name.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	STATE_FILE_MAJOR = 1,
	STATE_FILE_MINOR = 4,
	STATE_FILE_BODY_MAX = 4 << 20, /* bytes */
};

/*
 * Write a state file with the @len bytes at @body to @fd, an empty file.  The
 * file is not synced.
 */
int state_file_save(int fd, const void *body, size_t len, struct err *e);

/*
 * Read the whole regular file @fd, and reject it if it is not exactly a valid
 * state file.  The caller frees *body.
 *
 * *minor may be larger than STATE_FILE_MINOR; then unknown sections may follow
 * the known ones.
 */
int state_file_load(int fd, void **body, size_t *len, uint16_t *minor,
		    struct err *e);
