/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/load_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "vmm/config/snapshot_bodies.h"

/* Something that a state file names, and how a load gives it instead. */
struct named {
	const char *device, *id;
	const char *place; /* "": it was left out of the state */
	const char *remedy;
};

static const char by_disk[] = "--disk ID=FILE (`drive_overrides`)";
static const char by_net[] = "--net ID=TAP (`network_overrides`)";
static const char by_vsock[] = "--vsock PATH (`vsock_override`)";

static int refuse(const struct named *n, const char *why, struct err *e)
{
	if (!*n->place)
		return err_set(e,
			       "%s %.64s: the snapshot does not say what it "
			       "uses; give %s",
			       n->device, n->id, n->remedy);
	return err_set(e,
		       "%s %.64s: the snapshot names %.400s, %s, and the load "
		       "is strict; give %s, or load without `strict` if you "
		       "trust the snapshot",
		       n->device, n->id, n->place, why, n->remedy);
}

/* -------------------------------------------------------------- the folder */

/*
 * Write @path to @out as a path below the folder of the file @state, and return
 * how many bytes of it name the folder; 0: it is not below that, or too long.
 */
static size_t find_folder(char out[PATH_MAX], const char *state,
			  const char *path)
{
	const char *slash = strrchr(state, '/');
	size_t len = slash ? (size_t)(slash - state) : 1;
	bool inside;

	/* Slashes at the end, but not those of the root. */
	while (slash && len && state[len - 1] == '/')
		len--;
	if (slash)
		inside = !strncmp(path, state, len) && path[len] == '/';
	else
		inside = *path != '/';
	if (!inside || (size_t)snprintf(out, PATH_MAX, "%s%s",
					slash ? "" : "./", path) >= PATH_MAX)
		return 0;
	return len ? len : 1;
}

static const char *reason(void)
{
	switch (errno) {
	case ELOOP:
	case ENOTDIR:
		return "where a symbolic link may lead out of its folder";
	case EMLINK:
		return "which has a second name (hard link), maybe outside of "
		       "its folder";
	default:
		return "which is not a file in its folder";
	}
}

/* Change @drive's path to the one by which it is opened in the folder. */
static int use_folder(const struct snapshot_load *body,
		      struct drive_config *drive, const struct named *n,
		      struct err *e)
{
	char path[PATH_MAX];
	size_t folder = find_folder(path, body->state_path, drive->block.path);
	AUTO_CLOSE int fd = -1;

	if (!folder)
		return refuse(n, "which is not in its folder", e);
	/* For the message: it will be opened in the same way. */
	fd = io_open_beneath(path, folder, O_PATH);
	if (fd < 0)
		return refuse(n, reason(), e);
	drive->block.folder = folder;
	return vm_config_set(&drive->block.path, path, e);
}

/* ------------------------------------------------------------- the devices */

static int check_drive(const struct snapshot_load *body,
		       struct drive_config *drive, struct err *e)
{
	const struct named n = {"drive", drive->block.id, drive->block.path,
				by_disk};

	if (snapshot_load_overrides_drive(body, drive->block.id))
		return 0;
	if (!*drive->block.path)
		return refuse(&n, NULL, e);
	return body->strict ? use_folder(body, drive, &n, e) : 0;
}

/* What only the load may name, if it is strict. */
static int check_place(bool strict, const struct named *n, struct err *e)
{
	return *n->place && !strict
		       ? 0
		       : refuse(n, "which is not a file in its folder", e);
}

static int check_interface(struct snapshot_load *body,
			   const struct interface_config *interface,
			   struct err *e)
{
	const struct named n = {"network interface", interface->net.id,
				interface->net.tap, by_net};

	for (unsigned i = 0; i < body->network_count; i++) {
		struct host_override *o = &body->network[i];

		if (strcmp(o->id, interface->net.id) != 0)
			continue;
		/* vhost-net is of the host, too. */
		o->vhost_chosen |= body->strict;
		return 0;
	}
	return check_place(body->strict, &n, e);
}

static int check_vsock(const struct snapshot_load *body,
		       const struct vsock_config *vsock, struct err *e)
{
	const struct named n = {"device", "vsock", vsock->uds_path, by_vsock};

	if (body->vsock_path || !vsock->uds_path)
		return 0;
	return check_place(body->strict, &n, e);
}

int load_paths_check(struct snapshot_load *body, struct vm_config *config,
		     struct err *e)
{
	/* First what needs no look at the folder. */
	if (check_vsock(body, &config->vsock, e))
		return -1;
	for (unsigned i = 0; i < config->interface_count; i++) {
		if (check_interface(body, &config->interface[i], e))
			return -1;
	}
	for (unsigned i = 0; i < config->drive_count; i++) {
		if (check_drive(body, &config->drive[i], e))
			return -1;
	}
	return 0;
}
