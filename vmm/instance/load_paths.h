/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which host files a load may open.
 *
 * A state file names files, taps and a socket of the host on which it was
 * written.  Whoever wrote the file chose those names, so a strict load accepts
 * of them only drives' files in the snapshot's folder: the name begins with
 * the folder of the state file, as the load names it, and on the way from there
 * is no symbolic link, ".." or hard link (io_open_beneath()).  Everything else
 * must be given by the load:
 *
 *	drive       in the folder, or given
 *	interface   given: the name of a tap is not in any folder; vhost is
 *	            used only if the load asks for it
 *	vsock       given: the guest may connect to PATH_PORT, so a link of
 *	            that name in the folder would lead it to any socket
 *
 * Kernel and initrd are not opened by a load.
 */
#pragma once

struct err;
struct snapshot_load;
struct vm_config;

/*
 * Check @config, which was saved, before the overrides of @body are applied.
 * Opens nothing outside of the snapshot's folder.  If @body->strict, drives in
 * the folder get the path by which they will be opened there.  Otherwise only a
 * name that is missing from the state is an error.
 */
int load_paths_check(struct snapshot_load *body, struct vm_config *config,
		     struct err *e);
