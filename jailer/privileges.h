/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping groups and capabilities for good. */
#pragma once

#include <sys/types.h>

struct err;

/* Become @uid and @gid, and give up everything else for good. */
int privileges_drop(uid_t uid, gid_t gid, struct err *e);

/* Ask the kernel whether all is gone; -1 and @e name what is left. */
int privileges_check(uid_t uid, gid_t gid, struct err *e);
