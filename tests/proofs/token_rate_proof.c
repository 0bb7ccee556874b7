/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket earns exactly its rate: what it has earned, counted in parts
 * of a token, is the time times its size, unless it is full; and once the time
 * has passed that token_bucket_wait_ns() says, a request that was refused is
 * granted.
 *
 * Bounds: all numbers are at most 7; so those of 64 bits may have 16 here, and
 * the wide ones 32 (table.py), which makes divisions much easier to prove.
 */
#include "core/base/util.h"
#include "tests/proofs/proofs.h"

#ifdef PROOF
#define uint64_t uint16_t
#endif

#include "core/base/token_bucket.c" /* nogncheck */

static uint64_t any(void)
{
	return nondet_u8() & 7;
}

static uint64_t parts(const struct token_bucket *b)
{
	return b->budget * b->refill_ns + b->fraction;
}

int main(void)
{
	struct token_bucket b = {
		.size = any(),
		.refill_ns = any(),
		.budget = any(),
		.debt = any(),
		.last_ns = any(),
		.fraction = any(),
	};
	uint64_t tokens = any(), passed = any(), now = b.last_ns + passed;
	struct token_bucket old;

	assume(b.size && b.budget <= b.size && b.fraction < b.refill_ns);
	old = b;
	token_bucket_refill(&b, now);
	if (!old.debt && b.budget < b.size)
		prove(parts(&b) == parts(&old) + passed * b.size,
		      "exactly the rate is earned");
	if (b.budget == b.size)
		prove(old.budget == old.size ||
			      parts(&old) + passed * b.size >=
				      b.size * b.refill_ns +
					      old.debt * b.refill_ns,
		      "a bucket is full only once that is earned");
	if (token_bucket_take(&b, tokens, now))
		return 0;
	now += token_bucket_wait_ns(&b, tokens);
	prove(token_bucket_take(&b, tokens, now), "the wait is long enough");
	return 0;
}
