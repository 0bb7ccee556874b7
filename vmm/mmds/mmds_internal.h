/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the metadata service. */
#pragma once

#include "vmm/mmds/mmds.h"

enum {
	TOKEN_TTL_MIN = 1,
	TOKEN_TTL_MAX = 21600, /* seconds */
	TOKEN_LEN = 64,        /* characters */
};

/* responder_server.answer */
size_t mmds_answer(void *context, const char *request, size_t len, bool is_all,
		   struct buf *reply, bool *close);

/* Write a token that is valid for @ttl_s seconds.  False if there are no random
 * numbers. */
bool mmds_token_make(struct mmds *m, unsigned ttl_s, char out[TOKEN_LEN + 1]);
bool mmds_token_is_valid(const struct mmds *m, const char *token, size_t len);
/* The same at another time: CLOCK_BOOTTIME, ns. */
bool mmds_token_was_valid(const struct mmds *m, const char *token, size_t len,
			  uint64_t now);

/* SipHash-2-4 with 128 bits of output: a tag of @len bytes by a secret key. */
void mmds_siphash(const uint8_t key[MMDS_KEY_LEN], const uint8_t *data,
		  size_t len, uint8_t out[16]);
