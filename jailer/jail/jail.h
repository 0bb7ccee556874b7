/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's folders, and going into it.
 *
 *	BASE/                 root's, as all of these; others cannot write there
 *	  NAME/               of the exec file
 *	    ID/               locked while a jailer works on the jail
 *	      root/           the VMM's "/", and its user's
 *	        NAME          the copy of the exec file
 *	        NAME.pid      the VMM's process number
 *	        dev/ run/ sys/
 *
 * root/ may be there already, with files for the VMM, as launchers prepare it.
 */
#pragma once

#include <limits.h>

#include "jailer/jail/tree.h"

struct err;

struct jail {
	struct undo undo;
	struct tree base, root; /* their descriptors are owned by this */
	int id_fd;              /* -1, or holds the lock */
	bool left_behind;       /* by a VMM that is gone */
	char path[PATH_MAX];    /* of root/ */
	char exec_name[NAME_MAX + 1], pid_name[NAME_MAX + 1];
};

void jail_init(struct jail *jail);
void jail_fini(struct jail *jail);

/*
 * Unshare the mount namespace; call it before anything is opened.  Mounts that
 * the host makes later below the jail's root propagate into the jail, because
 * launchers plug disks that way.  Mounts do not propagate to the host.
 */
int jail_leave_mounts(struct err *e);

/*
 * Make the folders below @base for the VM @id of user @uid, or take what is
 * there: a jail that is in use is refused; one whose VMM is gone loses what its
 * start had made.  .exec_name and .pid_name are set.
 */
int jail_open(struct jail *jail, const char *base, const char *id, uid_t uid,
	      struct err *e);

/* Make its root ours, and detach all else. */
int jail_enter(const struct jail *jail, struct err *e);
