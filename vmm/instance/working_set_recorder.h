/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records the working set of a restored guest: looks now and then which pages
 * of the memory file were touched, more often in the beginning, until it is
 * told to end or WORKING_SET_RECORD_MS of running are over.  Then the list is
 * written beside the memory file.  A look takes the main thread less than 10
 * ns for each page of RAM.
 *
 * Main thread.
 */
#pragma once

struct err;
struct event_loop;
struct guest_mem;
struct published;
struct working_set_recorder;

enum { WORKING_SET_RECORD_MS = 10000 };

/*
 * Of the snapshot @files, whose memory file @memory_path is mapped as @mem,
 * which stays valid.  Nothing ran in it yet.  NULL if it cannot be recorded
 * here, or written there.
 */
struct working_set_recorder *
working_set_recorder_create(const struct guest_mem *mem,
			    struct event_loop *loop, const char *memory_path,
			    const struct published *files, struct err *e);

/* The guest runs. */
void working_set_recorder_start(struct working_set_recorder *rec);

/*
 * The guest has stopped: take the last sample and have a thread write the file,
 * if the guest ever ran and this is not done yet.  Waits for that thread, but
 * at most 100 ms.  What goes wrong is logged.  Frees @rec; NULL is fine.
 */
void working_set_recorder_finish(struct working_set_recorder *rec);
