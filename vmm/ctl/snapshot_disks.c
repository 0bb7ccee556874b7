/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl/snapshot_disks.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/json/json.h"
#include "snapshot/memory/memory_file.h"

/* A disk's new copy until all are complete, and its name then. */
struct copy_name {
	char partial[PATH_MAX], final[PATH_MAX];
};

static int name_copy(struct copy_name *name, const char *folder, const char *id,
		     struct err *e)
{
	/* An id comes from the VMM, and may be "../x". */
	if (strchr(id, '/') || *id == '.')
		return err_set(e,
			       "disk %.64s: its id cannot be a file's name; "
			       "copy the disk yourself while the VM is paused",
			       id);
	if (snprintf(name->final, PATH_MAX, "%s/%s.disk", folder, id) >=
		    PATH_MAX ||
	    snprintf(name->partial, PATH_MAX, "%s/.%s.disk", folder, id) >=
		    PATH_MAX)
		return err_set(e, "the name of the folder is too long");
	return 0;
}

/*
 * Open the file that the VMM calls @path.  The lock on it proves that it is
 * that file, and not another one with its name.
 */
static int open_disk(const char *path, pid_t pid, struct err *e)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char there[PATH_MAX];
	AUTO_CLOSE int fd = -1;
	struct stat st;

	snprintf(there, sizeof(there), "/proc/%d/%s/%s", (int)pid,
		 *path == '/' ? "root" : "cwd", path);
	fd = open(there, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(e,
				 "cannot open it as process %d does (run this "
				 "as root, or copy the disk yourself while the "
				 "VM is paused)",
				 (int)pid);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(e, "it is not a file; copy it by its own means "
				  "while the VM is paused");
	if (fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type == F_UNLCK)
		return err_set(e, "the VMM has another file open; the one of "
				  "this name was put there later");
	return take_fd(&fd);
}

static int copy_disk(const char *path, pid_t pid, const char *partial,
		     const struct go_on *go_on, struct err *e)
{
	AUTO_CLOSE int from = open_disk(path, pid, e), to = -1;

	if (from < 0)
		return err_prefix(e, "%.512s", path);
	to = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (to < 0)
		return err_errno(e, "cannot create %.512s", partial);
	if (memory_file_copy(from, to, go_on, e))
		return err_prefix(e, "%.512s: cannot copy it to %.256s", path,
				  partial);
	return fsync(to) ? err_errno(e, "cannot sync %.512s", partial) : 0;
}

/* What is done with each writable disk. */
enum step { COPY, PUBLISH, DISCARD };

static int each_disk(enum step step, const char *folder,
		     const struct json_t *drives, pid_t pid,
		     const struct go_on *go_on, struct err *e)
{
	for (int i = 0; i < json_array_len(drives); i++) {
		const struct json_t *d = json_array_at(drives, (unsigned)i);
		const char *id = json_text(json_member(d, "drive_id"));
		const char *path = json_text(json_member(d, "path_on_host"));
		struct copy_name name;
		bool read_only = false;

		json_bool(json_member(d, "is_read_only"), &read_only);
		if (!id || !path || read_only)
			continue;
		if (name_copy(&name, folder, id, e))
			return -1;
		if (step == DISCARD)
			unlink(name.partial);
		else if (step == COPY &&
			 copy_disk(path, pid, name.partial, go_on, e))
			return -1;
		else if (step == PUBLISH && rename(name.partial, name.final))
			return err_errno(e, "cannot create %.512s", name.final);
		else if (step == PUBLISH)
			printf("disk %s is in %s\n", id, name.final);
	}
	return 0;
}

int snapshot_disks_copy(const char *folder, const struct json_t *config,
			pid_t pid, const struct go_on *go_on, struct err *e)
{
	const struct json_t *drives = json_member(config, "drives");
	struct err ignored;

	if (!each_disk(COPY, folder, drives, pid, go_on, e) &&
	    !each_disk(PUBLISH, folder, drives, pid, go_on, e))
		return 0;
	each_disk(DISCARD, folder, drives, pid, go_on, &ignored);
	return -1;
}
