/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM reads of the host's /sys, copied into the jail. */
#pragma once

struct err;
struct tree;

/* Where they are, on the host and in the jail. */
#define HOST_CPU0 "sys/devices/system/cpu/cpu0"

/*
 * Copy the description of CPU 0's caches and its MIDR.  @top is the folder that
 * has sys/ ("/" but for tests).  What the host does not have is left out.
 */
int host_files_copy(const char *top, const struct tree *root, struct err *e);
