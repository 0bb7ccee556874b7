/* SPDX-License-Identifier: Apache-2.0 */
/* The folders and device nodes of a jail that the VMM owns. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct tree;

/*
 * Make dev/, dev/net/, run/ and the nodes, for user @uid and group @gid, and
 * give them the jail's root, too.
 */
int devices_make(const struct tree *root, uid_t uid, gid_t gid, struct err *e);

/* Remove the nodes that an earlier start made. */
int devices_remove(const struct tree *root, struct err *e);

/*
 * The minor number that @list, the text of /proc/misc, has for @name: lines
 * such as "126 userfaultfd".  False if it has none.
 */
bool devices_find_misc(const char *list, const char *name, unsigned *minor);
