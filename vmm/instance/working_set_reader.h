/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has the working set of a guest read ahead of it: on a thread of its own,
 * which ends when the disk knows of all of it.  It goes to the page cache,
 * which all clones share; guest RAM is not touched.
 *
 * Main thread.
 */
#pragma once

struct published;
struct working_set_reader;

/*
 * Begin, if a working set is beside @memory_path, the memory of @files.  NULL
 * if not, or if that cannot be done: nothing depends on it.
 */
struct working_set_reader *
working_set_reader_start(const char *memory_path,
			 const struct published *files);

/*
 * Stop it, and wait for its end, at most 200 ms: a thread that is stuck in a
 * disk's queue is left to the end of the process.  NULL is fine.
 */
void working_set_reader_destroy(struct working_set_reader *reader);
