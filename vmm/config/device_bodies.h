/* SPDX-License-Identifier: Apache-2.0 */
/* What the JSON of different devices has in common; for the files that
 * implement bodies.h. */
#pragma once

#include "vmm/config/bodies.h"

/* An object with buckets, or NULL: nothing is changed then.  @field is for the
 * refusal. */
int limiter_read(struct limiter_patch *body, const char *field,
		 const struct json_t *json, struct err *e);
/* The object, or null if nothing is limited. */
void limiter_print(const struct rate_limiter_config *limiter, struct buf *out);

/* @path NULL: there is no path. */
int body_check_id(const char *body, const char *path, struct err *e);

/* Hand an owned text on. */
void body_take(char **to, char **from);

/* A further member; NULL is null. */
void body_print_text(struct buf *out, const char *name, const char *text);
