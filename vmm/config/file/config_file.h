/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's configuration file: one JSON object whose members are the
 * bodies of its API's PUT requests.  What this build does not support is
 * rejected, and the error names it; except `logger.module`, which is ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "vmm/config/bodies.h"
#include "vmm/config/config.h"

struct err;

struct config_file {
	struct vm_config vm;
	struct logger_config logger;
	struct metrics_config metrics; /* .path NULL: not given */
};

enum { CONFIG_FILE_MAX = 1 << 20 }; /* bytes */

/* @text may be untrusted.  The caller calls config_file_fini() in any case. */
int config_file_parse(struct config_file *file, const char *text, size_t len,
		      struct err *e);
void config_file_fini(struct config_file *file);
