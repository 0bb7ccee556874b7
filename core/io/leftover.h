/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the file system that this process has to remove when it ends, also
 * when it ends in a signal handler.
 */
#pragma once

/*
 * Remember @path (copied), unless too many are remembered already; and forget
 * it, because it was removed or belongs to somebody else now.  Any thread.
 */
void leftover_add(const char *path);
void leftover_forget(const char *path);

/* Remove all that are remembered.  Async-signal-safe. */
void leftover_remove_all(void);
