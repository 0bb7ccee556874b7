/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket with Firecracker's meaning (docs: TokenBucket of its API): it
 * holds @size tokens, and an empty one is full again after @refill_time_ms.
 * Extra @one_time_burst tokens are spent first and never come back; nothing
 * is refilled before they are spent.  A size or time of 0 means no limit.
 *
 * Who asks for more than the bucket can ever hold gets it, and the bucket is
 * in debt: nobody gets anything until that has been refilled.
 *
 * Pure: the time comes from the caller, in nanoseconds that never go back.
 * Exact: no fraction of a token is lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct token_bucket_config {
	uint64_t size;
	uint64_t refill_time_ms;
	uint64_t one_time_burst;
};

static inline bool
token_bucket_config_limits(const struct token_bucket_config *config)
{
	return config->size && config->refill_time_ms;
}

struct token_bucket {
	uint64_t size;
	uint64_t refill_ns; /* 0: no limit */
	uint64_t burst;     /* what is left of it */
	uint64_t budget;
	uint64_t debt;
	uint64_t last_ns;  /* refilled up to here */
	uint64_t fraction; /* of a token, in units of 1 / refill_ns */
};

static inline bool token_bucket_is_limited(const struct token_bucket *b)
{
	return b->refill_ns > 0;
}

/* Full. */
void token_bucket_init(struct token_bucket *b,
		       const struct token_bucket_config *config,
		       uint64_t now_ns);

/* All of @tokens, or none. */
bool token_bucket_take(struct token_bucket *b, uint64_t tokens,
		       uint64_t now_ns);
/* Give back what was taken in vain. */
void token_bucket_give(struct token_bucket *b, uint64_t tokens);

/* After a failed token_bucket_take(): how long until it would succeed. */
uint64_t token_bucket_wait_ns(const struct token_bucket *b, uint64_t tokens);

/* Refill up to now. */
void token_bucket_refill(struct token_bucket *b, uint64_t now_ns);
