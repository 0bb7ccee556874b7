/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `stasis` does when it is started: one function per way of starting it.
 * Each takes the arguments after its name and gives the exit status.
 */
#pragma once

#include "core/base/version.h"

/* Firecracker's. */
#define DEFAULT_SOCKET "/run/firecracker.socket"

/* Firecracker's, where it has one. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_SIGNAL = 128, /* plus its number; as the shell has it */
	EXIT_BAD_CONFIG = 152,
	EXIT_BAD_ARGUMENTS = 153,
};

int cli_run(int argc, char **argv);
int cli_restore(int argc, char **argv);
int cli_snapshot(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_ctl(int argc, char **argv);
int cli_vsock(int argc, char **argv);
int cli_trace_offset(int argc, char **argv);
int cli_firecracker(int argc, char **argv);
