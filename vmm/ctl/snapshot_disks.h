/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stasis snapshot --with-disks`: copies of a paused VM's disks, beside its
 * snapshot.
 */
#pragma once

#include <sys/types.h>

struct err;
struct go_on;
struct json_t;

/*
 * Copy each writable disk of @config (GET /vm/config) to FOLDER/ID.disk.  The
 * VMM is process @pid, in whose root or working directory the disks' names are.
 * All or nothing, as far as existing copies go.  Ends early if @go_on says so.
 */
int snapshot_disks_copy(const char *folder, const struct json_t *config,
			pid_t pid, const struct go_on *go_on, struct err *e);
