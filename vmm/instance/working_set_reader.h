/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the recorded working set of a guest ahead of it, into the page cache,
 * which all clones share; guest RAM is not touched.  On a thread of its own,
 * which ends when the kernel has queued all reads.
 *
 * Main thread.
 */
#pragma once

struct published;
struct working_set_reader;

/*
 * Start, if there is a working set file beside @memory_path, which is the
 * memory file of @files.  NULL if there is none, or on failure, which is not
 * an error for the caller, because reading ahead only saves time.
 */
struct working_set_reader *
working_set_reader_start(const char *memory_path,
			 const struct published *files);

/*
 * Stop the thread and wait for it, at most 200 ms.  A thread that a disk blocks
 * for longer runs until the process ends, and keeps @reader.  NULL is fine.
 */
void working_set_reader_destroy(struct working_set_reader *reader);
