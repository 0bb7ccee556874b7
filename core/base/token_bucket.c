/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/token_bucket.h"

#include "core/base/util.h"

/* Tokens times nanoseconds need more than 64 bits. */
typedef unsigned __int128 wide;

enum { NS_PER_MS = 1000000 };

void token_bucket_init(struct token_bucket *b,
		       const struct token_bucket_config *config,
		       uint64_t now_ns)
{
	*b = (struct token_bucket){.last_ns = now_ns};
	if (!token_bucket_config_limits(config))
		return;
	b->size = b->budget = config->size;
	b->burst = config->one_time_burst;
	if (!checked_mul(config->refill_time_ms, NS_PER_MS, &b->refill_ns))
		b->refill_ns = UINT64_MAX;
}

static void add(struct token_bucket *b, uint64_t tokens)
{
	uint64_t paid = min_u64(tokens, b->debt);

	b->debt -= paid;
	b->budget += min_u64(tokens - paid, b->size - b->budget);
}

void token_bucket_refill(struct token_bucket *b, uint64_t now_ns)
{
	wide earned, tokens;

	if (!token_bucket_is_limited(b) || now_ns <= b->last_ns)
		return;
	earned = (wide)(now_ns - b->last_ns) * b->size + b->fraction;
	tokens = earned / b->refill_ns;
	b->last_ns = now_ns;
	b->fraction = (uint64_t)(earned % b->refill_ns);
	add(b, tokens > UINT64_MAX ? UINT64_MAX : (uint64_t)tokens);
	if (b->budget == b->size)
		b->fraction = 0; /* a full bucket earns nothing */
}

bool token_bucket_take(struct token_bucket *b, uint64_t tokens, uint64_t now_ns)
{
	uint64_t rest;

	if (!token_bucket_is_limited(b))
		return true;
	if (b->burst && b->burst >= tokens) {
		b->burst -= tokens;
		b->last_ns = now_ns;
		return true;
	}
	token_bucket_refill(b, now_ns);
	rest = tokens - b->burst;
	if (b->debt || (rest > b->budget && rest <= b->size))
		return false;
	b->burst = 0;
	if (rest > b->budget)
		b->debt = rest - b->budget;
	b->budget -= min_u64(rest, b->budget);
	return true;
}

void token_bucket_give(struct token_bucket *b, uint64_t tokens)
{
	if (token_bucket_is_limited(b))
		add(b, tokens);
}

uint64_t token_bucket_wait_ns(const struct token_bucket *b, uint64_t tokens)
{
	uint64_t rest = tokens - min_u64(tokens, b->burst);
	wide missing = b->debt, ns;

	if (!token_bucket_is_limited(b))
		return 0;
	if (rest <= b->size && rest > b->budget)
		missing += rest - b->budget;
	if (!missing)
		return 0;
	/* Clamp, so that the product fits in 128 bits. */
	if (missing > UINT64_MAX)
		missing = UINT64_MAX;
	ns = (missing * b->refill_ns - b->fraction + b->size - 1) / b->size;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}
