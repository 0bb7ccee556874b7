/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM to write a snapshot of, without a VM, and a disk that does not
 * answer.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/io/loop.h"
#include "core/machine/mem.h"
#include "vmm/instance/snapshot_job.h"

enum {
	JOB_RAM = 16 << 20, /* bytes */
	JOB_BASE = 7,       /* all bytes of the identity that diffs go over */
	JOB_FILL = 0x5a,    /* what is in that base */
};

enum job_call { JOB_PREAD, JOB_PWRITE, JOB_FSYNC, JOB_SYNC_RANGE, JOB_CALLS };

extern struct job_world {
	char folder[48], memory[64], state[64];
	struct guest_mem mem;
	struct event_loop loop;
	uint64_t *dirty;
	bool is_done;
	int result;
	struct err e; /* of the last job */

	atomic_uint bad_closes; /* of what was not open */
	atomic_uint calls[JOB_CALLS];
	atomic_int stuck_in; /* enum job_call, or -1 */
	atomic_bool is_stuck, is_slow;
} job_world;

int job_set_up(void **state);
int job_tear_down(void **state);

/* The memory file, of the snapshot with this identity, all JOB_FILL. */
void job_write_base(uint8_t id);
/* The page at @offset was written: it has these bytes. */
void job_dirty(uint64_t offset, uint8_t byte);
/* Of the memory file. */
uint8_t job_byte_at(uint64_t offset);
bool job_file_exists(const char *name);

/* Fails the test where it cannot start. */
struct snapshot_job *job_start(bool diff, bool sync);
/* Its result; it is freed. */
int job_end(struct snapshot_job *job);

/* From now on the thread does not come back from this call. */
void job_get_stuck_in(enum job_call call);
void job_wait_until_stuck(void);
void job_get_unstuck(void);
/* The same, but then each of these calls takes 40 ms. */
void job_be_slow(void);

/* Instead of files: what the next job writes to. */
extern const char *job_state_path, *job_memory_path;
