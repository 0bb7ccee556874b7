/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records the working set of a restored guest: samples which pages of the
 * memory file were touched, after 2, 4, 8 ms and so on, until the guest stops
 * or has run for WORKING_SET_RECORD_MS.  Then the list is written beside the
 * memory file.  A sample takes the main thread less than 10 ns per page of RAM.
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
 * Prepare to record the guest of the snapshot @files, whose memory file
 * @memory_path is mapped as @mem.  The guest has not run yet.  @mem and @loop
 * must stay valid.  NULL if the host cannot record it, or the file cannot be
 * written.
 */
struct working_set_recorder *
working_set_recorder_create(const struct guest_mem *mem,
			    struct event_loop *loop, const char *memory_path,
			    const struct published *files, struct err *e);

/* The guest runs: start sampling.  No effect if that has begun. */
void working_set_recorder_start(struct working_set_recorder *rec);

/*
 * The guest has stopped: take the last sample and start a thread that writes
 * the file, if the guest ever ran and the file is not written yet.  Waits for
 * that thread at most 100 ms.  Failures are logged.  Frees @rec; NULL is fine.
 */
void working_set_recorder_finish(struct working_set_recorder *rec);
