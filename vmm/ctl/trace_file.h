/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace-cmd's files (trace.dat(5), version 7): what trace-merge has to know of
 * one, and a copy with more options.  No file is trusted.
 *
 * Their options are in sections, each of which ends with the place of the next.
 * So options are added by one more section at the end of the file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

/* Numbers of options. */
enum trace_option {
	TRACE_OPTION_DONE = 0, /* the place of the next section, or 0 */
	TRACE_OPTION_CPUSTAT = 2,
	TRACE_OPTION_BUFFER = 3,
	TRACE_OPTION_CPUCOUNT = 8,
	TRACE_OPTION_TRACEID = 11,
	TRACE_OPTION_TIME_SHIFT = 12,
	TRACE_OPTION_GUEST = 13,
};

struct trace_file {
	int fd; /* the caller's */
	uint64_t size;
	uint64_t link; /* where the place of the next section is to be */
	uint64_t id;   /* of the recording; 0: it has none */
	unsigned cpus;
	bool has_buffer, is_shifted;
	/* By its own clock: its oldest event, or INT64_MAX, and its end. */
	int64_t oldest_ns, end_ns;
};

/* -1 and @e if it is not such a file, is not whole, or is by another clock than
 * mono_raw. */
int trace_file_read(struct trace_file *file, int fd, uint64_t size,
		    struct err *e);

/* Append an option to @options. */
void trace_option_add(struct buf *options, enum trace_option id,
		      const void *data, uint32_t len);

/* Write @file and @options to @out, an empty file that can be read, too. */
int trace_file_copy(const struct trace_file *file, int out,
		    const struct buf *options, struct err *e);
