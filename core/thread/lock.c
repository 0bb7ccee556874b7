/* SPDX-License-Identifier: Apache-2.0 */
#include "core/thread/lock.h"

#ifdef LOCK_ORDER_IS_CHECKED
#include <assert.h>

/* Of this thread: the kinds that it holds. */
static _Thread_local unsigned held;

void lock_check_take(enum lock_kinds kind, unsigned under)
{
	assert(!(held & ~under));
	held |= kind;
}

void lock_check_release(enum lock_kinds kind)
{
	assert(held & kind);
	held &= ~kind;
}
#endif
