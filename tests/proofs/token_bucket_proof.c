/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket never holds more tokens than its size, and never fewer than
 * none, whatever is taken and given back and whatever the clock shows, also if
 * it goes back: each call is made on any bucket that earlier calls may have
 * left, and leaves such a bucket.  What is taken is in the budget or the burst,
 * or becomes a debt; a clock that goes back earns nothing.  A wait is never
 * zero for a request that was refused.
 *
 * Bounds: none; table.py replaces the quotient of 128 bits by any number.
 */
#include "tests/proofs/proofs.h"

static unsigned __int128 any_wide(void)
{
	return (unsigned __int128)nondet_u64() << 64 | nondet_u64();
}

#include "core/base/token_bucket.c" /* nogncheck */

static bool is_sound(const struct token_bucket *b)
{
	return b->budget <= b->size && !b->refill_ns == !b->size &&
	       (!b->refill_ns || b->fraction < b->refill_ns);
}

static void check_take(struct token_bucket *b)
{
	const struct token_bucket old = *b;
	uint64_t tokens = nondet_u64(), now = nondet_u64();

	assume(old.refill_ns);
	if (!token_bucket_take(b, tokens, now)) {
		prove(b->burst == old.burst, "a refusal keeps the burst");
		return;
	}
	prove(b->burst <= old.burst, "the burst is never refilled");
	prove(now > old.last_ns || b->budget <= old.budget,
	      "a clock that goes back earns nothing");
	if (now > old.last_ns)
		return;
	prove((unsigned __int128)old.burst + old.budget + b->debt ==
		      (unsigned __int128)tokens + b->burst + b->budget +
			      old.debt,
	      "what is granted is taken");
}

int main(void)
{
	struct token_bucket_config config = {nondet_u64(), nondet_u64(),
					     nondet_u64()};
	struct token_bucket b;

	token_bucket_init(&b, &config, nondet_u64());
	prove(is_sound(&b), "a bucket is sound at first");
	b = (struct token_bucket){
		.size = nondet_u64(),
		.refill_ns = nondet_u64(),
		.burst = nondet_u64(),
		.budget = nondet_u64(),
		.debt = nondet_u64(),
		.last_ns = nondet_u64(),
		.fraction = nondet_u64(),
	};
	assume(is_sound(&b));
	if (nondet_bool())
		check_take(&b);
	else if (nondet_bool())
		token_bucket_give(&b, nondet_u64());
	else
		token_bucket_refill(&b, nondet_u64());
	prove(is_sound(&b), "a bucket stays sound");
	(void)any_wide;
	return 0;
}
