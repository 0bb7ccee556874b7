/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps of the process that becomes the VMM. */
#pragma once

#include <stdbool.h>

struct err;
struct start;

/*
 * Enter the cgroups unless it is @in_cgroup, set the limits, drop all
 * privileges and exec.  Returns only after a failure, with the reason in @e.
 */
void become_vmm(const struct start *start, bool in_cgroup, struct err *e);
