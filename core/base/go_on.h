/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling a long operation: between its steps the operation asks whether it
 * may continue.
 */
#pragma once

#include <stdbool.h>

struct go_on {
	/* False cancels.  Called on the thread that does the work. */
	bool (*ask)(void *context);
	void *context;
};

/* May the operation continue?  @g NULL: always; it cannot be cancelled. */
static inline bool may_go_on(const struct go_on *g)
{
	return !g || g->ask(g->context);
}
