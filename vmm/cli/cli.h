/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `stasis` does when it is started: one function per way of starting it.
 * Each takes the arguments after its name and gives the exit status.
 */
#pragma once

#include <stdbool.h>

struct vm_config;

/* Firecracker's, where it has one. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_BAD_CONFIG = 152,
	EXIT_BAD_ARGUMENTS = 153,
};

#define STASIS_VERSION "0.1.0"
/* The version of Firecracker's interface that launchers may count on. */
#define FIRECRACKER_VERSION "1.17.0"

int cli_run(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_ctl(int argc, char **argv);
int cli_firecracker(int argc, char **argv);

/*
 * Build a VM in this process, boot it, and serve it until it ends; its console
 * is our standard input and output.  Failures are logged.
 */
int cli_launch(const struct vm_config *config, bool escapes);
