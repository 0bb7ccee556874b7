/* SPDX-License-Identifier: Apache-2.0 */
/* How something that takes long is cancelled: it asks, between its steps. */
#pragma once

#include <stdbool.h>

struct go_on {
	/* False to stop.  Called on the thread that does the work. */
	bool (*ask)(void *context);
	void *context;
};

/* @g NULL: nobody will cancel it. */
static inline bool may_go_on(const struct go_on *g)
{
	return !g || g->ask(g->context);
}
