/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function per command of `stasis`.  Each takes the arguments after the
 * command's name and returns the process's exit status.
 */
#pragma once

#include "core/base/version.h"

/* Firecracker's default. */
#define DEFAULT_SOCKET "/run/firecracker.socket"

/* Exit statuses: Firecracker's, where it has one. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_SIGNAL = 128, /* plus the signal's number, as in a shell */
	EXIT_BAD_CONFIG = 152,
	EXIT_BAD_ARGUMENTS = 153,
};

int cli_run(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_snapshot(int argc, char **argv);
int cli_image(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_ctl(int argc, char **argv);
int cli_vsock(int argc, char **argv);
int cli_seccomp(int argc, char **argv);
int cli_trace_offset(int argc, char **argv);
int cli_trace_merge(int argc, char **argv);
int cli_firecracker(int argc, char **argv);
