/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of compiled filters, as `stasis seccomp compile` writes and
 * --seccomp-filter reads.  Numbers are little-endian:
 *
 *	magic       8 bytes
 *	version     4, FILTER_FILE_VERSION
 *	arch        4, AUDIT_ARCH_AARCH64
 *	programs    each: its thread (4, enum seccomp_thread), its number of
 *	            instructions (4), these (8 each)
 *	checksum    4, CRC-32 as in gzip of all that is before it
 */
#pragma once

#include <stddef.h>

#include "core/seccomp/filter.h"
#include "core/seccomp/seccomp.h"

enum { FILTER_FILE_VERSION = 1 };

struct filter_file {
	const struct sock_filter *code[SECCOMP_THREADS];
	unsigned len[SECCOMP_THREADS]; /* 0: the file has none */
	void *memory;                  /* that of the programs, if any */
};

/* Write @file to @path, which is removed again after a failure. */
int filter_file_save(const char *path, const struct filter_file *file,
		     struct err *e);

/* Read and verify.  Call filter_file_fini() after success. */
int filter_file_load(const char *path, struct filter_file *file, struct err *e);
void filter_file_fini(struct filter_file *file);

/* Does each program of @file allow what no microVM starts without? */
int filter_file_suffices(const struct filter_file *file, struct err *e);

/* As lists and files name the threads. */
extern const char *const seccomp_thread_keys[SECCOMP_THREADS];
