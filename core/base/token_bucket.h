/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket as Firecracker defines it (TokenBucket in its API): it holds
 * @size tokens, and an empty bucket is full again after @refill_time_ms.  An
 * extra @one_time_burst tokens are spent first and never refilled; refilling
 * starts when they are spent.  A size or time of 0 means no limit.
 *
 * A request for more tokens than the bucket can hold is granted at once and
 * puts the bucket in debt: every other request waits until the debt is
 * refilled.
 *
 * Pure: the caller passes the time, in nanoseconds that never go back.
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
	uint64_t burst;     /* what is left of the one-time burst */
	uint64_t budget;    /* tokens in the bucket */
	uint64_t debt;      /* tokens to be refilled before any are granted */
	uint64_t last_ns;   /* refilled up to this time */
	uint64_t fraction;  /* of a token, in units of 1 / refill_ns */
};

static inline bool token_bucket_is_limited(const struct token_bucket *b)
{
	return b->refill_ns > 0;
}

/* Start with a full bucket. */
void token_bucket_init(struct token_bucket *b,
		       const struct token_bucket_config *config,
		       uint64_t now_ns);

/* Take all of @tokens, or none: false if they are not available yet. */
bool token_bucket_take(struct token_bucket *b, uint64_t tokens,
		       uint64_t now_ns);

/* Return tokens whose operation did not take place. */
void token_bucket_give(struct token_bucket *b, uint64_t tokens);

/* After a failed token_bucket_take(): nanoseconds until it would succeed. */
uint64_t token_bucket_wait_ns(const struct token_bucket *b, uint64_t tokens);

/* Add the tokens earned up to @now_ns. */
void token_bucket_refill(struct token_bucket *b, uint64_t now_ns);
