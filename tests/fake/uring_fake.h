/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An io_uring whose completions come when and as a test says, for what is
 * linked with the configuration uring_wrapped.  Steps are done on the file, by
 * plain calls.
 */
#pragma once

#include <stdbool.h>

enum {
	URING_FAKE_MAX = 512,
	URING_FAKE_DO = 1 << 30, /* a result: do it, and give what comes */
};

extern struct uring_fake {
	/* Steps wait for uring_fake_complete(); else they are done as soon as
	 * they are submitted. */
	bool hold;
	int refuse_init;   /* an errno, or 0 */
	int refuse_submit; /* the same */
	unsigned waiting;  /* steps that were submitted and are not done */
} uring_fake;

void uring_fake_reset(void);

/* Complete the @i-th of the steps that wait, with this result.  One that was
 * @shortened transfers at most 512 bytes. */
void uring_fake_complete(unsigned i, int result, bool shortened);
