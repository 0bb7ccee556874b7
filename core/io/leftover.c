/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/leftover.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"

/* A process has two sockets and the two files of a snapshot. */
enum { LEFTOVERS_MAX = 8 };

/* @used is set last and cleared first, for the signal handler. */
static struct {
	char path[PATH_MAX];
	atomic_bool used;
} table[LEFTOVERS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void leftover_add(const char *path)
{
	size_t len = strlen(path);

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < LEFTOVERS_MAX && len < PATH_MAX; i++) {
		if (table[i].used)
			continue;
		memcpy(table[i].path, path, len + 1);
		table[i].used = true;
		break;
	}
	pthread_mutex_unlock(&lock);
}

void leftover_forget(const char *path)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < LEFTOVERS_MAX; i++) {
		if (table[i].used && !strcmp(table[i].path, path))
			table[i].used = false;
	}
	pthread_mutex_unlock(&lock);
}

void leftover_remove_all(void)
{
	for (unsigned i = 0; i < LEFTOVERS_MAX; i++) {
		if (table[i].used)
			unlink(table[i].path);
	}
}
