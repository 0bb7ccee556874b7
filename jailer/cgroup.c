/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "jailer/cgroup_mount.h"
#include "jailer/jail/tree.h"

enum { PATH_LEN = 512, MOUNTS_MAX = 1 << 20, FOLDER_MODE = 0755 };

static struct tree tree_of(const struct cgroup_place *place, struct undo *undo)
{
	return (struct tree){place->mount_fd, place->mount, undo};
}

static size_t controller_len(const char *value)
{
	return strcspn(value, ".");
}

/* ------------------------------------------------------------------- values */

/* -1 with errno set. */
static int write_file(const struct tree *tree, const char *path,
		      const char *text)
{
	AUTO_CLOSE int fd = tree_open(tree, path, O_WRONLY, &(struct err){0});
	size_t len = strlen(text);

	return fd >= 0 && write(fd, text, len) == (ssize_t)len ? 0 : -1;
}

static int write_value(const struct tree *tree, const char *path,
		       const char *value, struct err *e)
{
	size_t len = strcspn(value, "=");
	char file[PATH_LEN];

	if ((size_t)snprintf(file, sizeof(file), "%s/%.*s", path, (int)len,
			     value) >= sizeof(file))
		return err_set(e, "--cgroup %.80s: the name is too long",
			       value);
	if (!write_file(tree, file, value + len + 1))
		return 0;
	if (errno == ENOENT)
		return err_set(e,
			       "--cgroup %.80s: there is no %.256s/%.512s; the "
			       "files in that folder are those of its "
			       "controllers",
			       value, tree->name, file);
	return err_errno(e, "--cgroup %.80s: cannot write to %.256s/%.512s",
			 value, tree->name, file);
}

/*
 * Version 1: a new cgroup of cpuset has no CPUs and no memory nodes, and takes
 * no process.  It gets those of its parent.
 */
static int inherit(const struct tree *tree, const char *parent,
		   const char *path, struct err *e)
{
	static const char *const names[] = {"cpuset.cpus", "cpuset.mems"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		char from[PATH_LEN + 16], to[PATH_LEN + 16], text[4096];

		snprintf(from, sizeof(from), "%s/%s", parent, names[i]);
		snprintf(to, sizeof(to), "%s/%s", path, names[i]);
		if (!io_read_text(tree->fd, to, text, sizeof(text)) || *text)
			continue; /* no cpuset, or it has some */
		if (!io_read_text(tree->fd, from, text, sizeof(text)) ||
		    write_file(tree, to, text))
			return err_errno(
				e, "cannot write \"%.80s\" to %.256s/%.512s",
				text, tree->name, to);
	}
	return 0;
}

/* Version 2: only a cgroup without processes can have children with them. */
static int has_processes(const struct tree *tree, const char *parent,
			 struct err *e)
{
	return err_set(e,
		       "processes in the cgroup %.256s/%.512s keep the VM's "
		       "from working; move them to another, or use another "
		       "--parent-cgroup",
		       tree->name, parent);
}

/* Version 2: a controller works in a cgroup if its parent says so. */
static int enable(const struct tree *tree, const char *parent,
		  const struct jailer_args *args, struct err *e)
{
	char file[PATH_LEN + 32], enabled[1024], word[72];

	/* The top may have some.  Find out before anything is enabled. */
	snprintf(file, sizeof(file), "%s/cgroup.procs", parent);
	if (strcmp(parent, ".") != 0 &&
	    io_read_text(tree->fd, file, enabled, sizeof(enabled)) && *enabled)
		return has_processes(tree, parent, e);
	snprintf(file, sizeof(file), "%s/cgroup.subtree_control", parent);
	for (unsigned i = 0; i < args->cgroup_count; i++) {
		const char *value = args->cgroup[i];
		int len = (int)controller_len(value);

		if (io_read_text(tree->fd, file, enabled, sizeof(enabled)) &&
		    cgroup_lists(enabled, " \n", value, (size_t)len))
			continue;
		snprintf(word, sizeof(word), "+%.*s", len, value);
		if (!write_file(tree, file, word))
			continue;
		if (errno == EBUSY || errno == EOPNOTSUPP)
			return has_processes(tree, parent, e);
		return err_errno(e,
				 "--cgroup %.80s: cannot enable its controller "
				 "in %.256s/%.512s",
				 value, tree->name, file);
	}
	return 0;
}

/* ------------------------------------------------------------------ folders */

/* The VM's cgroup may be there, but not with processes. */
static int check_empty(const struct tree *tree, const char *path, struct err *e)
{
	char file[PATH_LEN + 16], text[32];

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	if (io_read_text(tree->fd, file, text, sizeof(text)) && *text)
		return err_set(e,
			       "process %.*s is in the cgroup %.256s/%.512s; "
			       "stop it, or use another --id",
			       (int)strcspn(text, "\n"), text, tree->name,
			       path);
	return 0;
}

/* Make the folder at @path and its parents, and prepare each for the next. */
static int make_folders(struct cgroup_place *place, const char *path,
			const struct jailer_args *args, struct undo *undo,
			struct err *e)
{
	const struct tree tree = tree_of(place, undo);
	char parent[PATH_LEN] = ".", part[PATH_LEN];

	if (check_empty(&tree, path, e))
		return -1;
	for (size_t len = 1; len <= strlen(path); len++) {
		bool made;

		if (path[len] && path[len] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		if (args->cgroup_version == 2 && enable(&tree, parent, args, e))
			return -1;
		util_close(&place->fd);
		place->fd = tree_mkdir(&tree, part, FOLDER_MODE, &made, e);
		if (place->fd < 0)
			return -1;
		if (args->cgroup_version == 1 &&
		    inherit(&tree, parent, part, e))
			return -1;
		memcpy(parent, part, sizeof(parent));
	}
	return 0;
}

static void no_hierarchy(unsigned version, const char *value, struct err *e)
{
	if (version == 2)
		err_set(e,
			"--cgroup %.80s: no cgroup v2 hierarchy is mounted; "
			"mount -t cgroup2, or use --cgroup-version 1",
			value);
	else
		err_set(e,
			"--cgroup %.80s: no cgroup v1 hierarchy has the "
			"controller %.*s; mount it, or use --cgroup-version 2",
			value, (int)controller_len(value), value);
}

/* Find or open the hierarchy that --cgroup @value belongs to. */
static struct cgroup_place *open_place(struct cgroups *groups,
				       const char *value, const char *mounts,
				       struct err *e)
{
	struct cgroup_place *place = &groups->place[groups->count];
	int len = (int)controller_len(value);

	if (!cgroup_find_mount(mounts, groups->version, value, (size_t)len,
			       place->mount, sizeof(place->mount))) {
		no_hierarchy(groups->version, value, e);
		return NULL;
	}
	for (unsigned i = 0; i < groups->count; i++) {
		if (!strcmp(groups->place[i].mount, place->mount))
			return &groups->place[i];
	}
	place->fd = -1;
	place->mount_fd =
		open(place->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->mount_fd < 0) {
		err_errno(e, "cannot open %.256s", place->mount);
		return NULL;
	}
	groups->count++;
	return place;
}

static int check_controller(const struct cgroup_place *place, const char *value,
			    struct err *e)
{
	int len = (int)controller_len(value);
	char list[1024];

	if (!io_read_text(place->mount_fd, "cgroup.controllers", list,
			  sizeof(list)))
		return err_errno(e, "cannot read %.256s/cgroup.controllers",
				 place->mount);
	if (cgroup_lists(list, " \n", value, (size_t)len))
		return 0;
	return err_set(e,
		       "--cgroup %.80s: %.256s has no controller %.*s, but: "
		       "%.256s",
		       value, place->mount, len, value, list);
}

/* ---------------------------------------------------------------- the whole */

static int make_path(char path[PATH_LEN], const struct jailer_args *args,
		     const char *exec_name, struct err *e)
{
	const char *parent =
		args->parent_cgroup ? args->parent_cgroup : exec_name;
	size_t len = strlen(parent);

	while (len && parent[len - 1] == '/')
		len--;
	if ((size_t)snprintf(path, PATH_LEN, "%.*s/%s", (int)len, parent,
			     args->id) >= PATH_LEN)
		return err_set(
			e,
			"--parent-cgroup %.80s... is too long; use fewer "
			"than %d characters",
			parent, PATH_LEN - JAIL_ID_MAX - 1);
	return 0;
}

static int make_one(struct cgroups *groups, const char *value,
		    const char *mounts, const char *path,
		    const struct jailer_args *args, struct undo *undo,
		    struct err *e)
{
	struct cgroup_place *place = open_place(groups, value, mounts, e);
	struct tree tree;

	if (!place)
		return -1;
	if (place->fd < 0 && make_folders(place, path, args, undo, e))
		return -1;
	tree = tree_of(place, undo);
	return write_value(&tree, path, value, e);
}

/* Are all hierarchies and controllers there?  Nothing is made before. */
static int find_all(struct cgroups *groups, const struct jailer_args *args,
		    const char *mounts, struct err *e)
{
	for (unsigned i = 0; i < args->cgroup_count; i++) {
		const char *value = args->cgroup[i];
		struct cgroup_place *place =
			open_place(groups, value, mounts, e);

		if (!place ||
		    (groups->version == 2 && check_controller(place, value, e)))
			return -1;
	}
	return 0;
}

/* The process shall be in a cgroup that somebody else has made. */
static int join_parent(struct cgroups *groups, const char *parent,
		       const char *mounts, struct err *e)
{
	struct cgroup_place *place = open_place(groups, "", mounts, e);
	struct tree tree;

	if (!place)
		return err_set(e,
			       "--parent-cgroup %.80s: no cgroup v2 hierarchy "
			       "is mounted; mount it, or leave the option out",
			       parent);
	tree = tree_of(place, NULL);
	place->fd = tree_open(&tree, parent, O_RDONLY | O_DIRECTORY, e);
	if (place->fd < 0)
		return err_prefix(e, "--parent-cgroup without --cgroup names a "
				     "cgroup that is there; mkdir it");
	return 0;
}

int cgroups_make(struct cgroups *groups, const struct jailer_args *args,
		 const char *exec_name, struct undo *undo, struct err *e)
{
	bool joins = args->cgroup_version == 2 && args->parent_cgroup;
	AUTO_FREE char *mounts = NULL;
	char path[PATH_LEN];
	size_t len;

	groups->version = args->cgroup_version;
	groups->count = 0;
	if (!args->cgroup_count && !joins)
		return 0;
	mounts = io_read_file("/proc/mounts", MOUNTS_MAX, &len, e);
	if (!mounts || make_path(path, args, exec_name, e))
		return -1;
	if (!args->cgroup_count)
		return join_parent(groups, args->parent_cgroup, mounts, e);
	if (find_all(groups, args, mounts, e))
		return -1;
	for (unsigned i = 0; i < args->cgroup_count; i++) {
		if (make_one(groups, args->cgroup[i], mounts, path, args, undo,
			     e))
			return -1;
	}
	return 0;
}

void cgroups_fini(struct cgroups *groups)
{
	for (unsigned i = 0; i < groups->count; i++) {
		util_close(&groups->place[i].fd);
		util_close(&groups->place[i].mount_fd);
	}
	groups->count = 0;
}

int cgroups_clone_fd(const struct cgroups *groups)
{
	return groups->version == 2 && groups->count ? groups->place[0].fd : -1;
}

int cgroups_enter(const struct cgroups *groups, struct err *e)
{
	for (unsigned i = 0; i < groups->count; i++) {
		const struct cgroup_place *place = &groups->place[i];
		const struct tree tree = {place->fd, place->mount, NULL};

		/* 0 is the process that writes it. */
		if (write_file(&tree, "cgroup.procs", "0"))
			return err_errno(e,
					 "cannot move the VMM into its cgroup "
					 "of %.256s",
					 place->mount);
	}
	return 0;
}
