/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/leftover.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/thread/lock.h"

/* A process has two sockets and the two files of a snapshot. */
enum { LEFTOVERS_MAX = 8 };

/* Written under the lock.  @used is set last and cleared first, because the
 * signal handler reads without it. */
static struct {
	char path[PATH_MAX];
	atomic_bool used;
} table[LEFTOVERS_MAX];

static struct leftover_lock lock = LOCK_INITIALIZER;

void leftover_add(const char *path)
{
	size_t len = strlen(path);

	leftover_lock_take(&lock);
	for (unsigned i = 0; i < LEFTOVERS_MAX && len < PATH_MAX; i++) {
		if (table[i].used)
			continue;
		memcpy(table[i].path, path, len + 1);
		table[i].used = true;
		break;
	}
	leftover_lock_release(&lock);
}

void leftover_forget(const char *path)
{
	leftover_lock_take(&lock);
	for (unsigned i = 0; i < LEFTOVERS_MAX; i++) {
		if (table[i].used && !strcmp(table[i].path, path))
			table[i].used = false;
	}
	leftover_lock_release(&lock);
}

void leftover_remove_all(void)
{
	for (unsigned i = 0; i < LEFTOVERS_MAX; i++) {
		if (table[i].used)
			unlink(table[i].path);
	}
}
