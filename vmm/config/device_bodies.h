/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and printing that several devices share; for the files that implement
 * bodies.h. */
#pragma once

#include "vmm/config/bodies.h"

/* Read a rate limiter; @json NULL: @body is left alone.  @field: its name, for
 * errors. */
int limiter_read(struct limiter_patch *body, const char *field,
		 const struct json_t *json, struct err *e);
/* Print a rate limiter, or null if it limits nothing. */
void limiter_print(const struct rate_limiter_config *limiter, struct buf *out);

/* Check that @body, the id in a body, equals @path, the one in the request's
 * path.  @path NULL: check that @body is a valid id. */
int body_check_id(const char *body, const char *path, struct err *e);

/* Move an owned string. */
void body_take(char **to, char **from);

/* Print a member that is not the first; @text NULL: print null. */
void body_print_text(struct buf *out, const char *name, const char *text);
