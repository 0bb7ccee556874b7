/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/leftover.h"

enum { NAME_TRIES = 16, PLACE_TRIES = 8 };

static int fail(int error)
{
	errno = error;
	return -1;
}

/* --------------------------------------------------- the listening process */

/*
 * Returns 0 if a process listens at @path, and stores its PID in *owner (0 if
 * not known).  -ECONNREFUSED if none does; another -errno if that cannot be
 * found out.
 */
static int find_owner(const char *path, pid_t *owner)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	*owner = 0;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&name, sizeof(name))) {
		if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
			*owner = peer.pid;
		return 0;
	}
	/* Its queue is full, or it is not a stream socket: it is in use. */
	return errno == EAGAIN || errno == EPROTOTYPE ? 0 : -errno;
}

int listener_check(struct listener_name *name, const char *path)
{
	struct statx st;
	pid_t owner;
	int r;

	name->remark[0] = '\0';
	if (io_look_at(path, &st))
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.stx_mode)) {
		snprintf(name->remark, sizeof(name->remark),
			 " (it is not a socket)");
		return fail(EADDRINUSE);
	}
	r = find_owner(path, &owner);
	if (r == -ECONNREFUSED || r == -ENOENT)
		return 0;
	if (owner)
		snprintf(name->remark, sizeof(name->remark),
			 " (process %d listens there)", (int)owner);
	return fail(r ? -r : EADDRINUSE);
}

/* -------------------------------------------------------- taking the place */

/* As rename(), but fails with EEXIST if @to exists. */
static int move(const char *from, const char *to)
{
	struct statx st;

	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* Not supported by this file system: check first, which is racy. */
	if (!io_look_at(to, &st)) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

/*
 * Replace the stale socket @path by @ours.  Another process may have replaced
 * it since it was checked, so exchange the two and check the one that comes
 * back.  Returns 0, -1 with errno set, or 1 to try again.
 */
static int replace(const char *ours, const char *path)
{
	struct listener_name ignored;

	if (renameat2(AT_FDCWD, ours, AT_FDCWD, path, RENAME_EXCHANGE)) {
		if (errno == ENOENT)
			return 1;
		return errno == EINVAL || errno == ENOSYS ? rename(ours, path)
							  : -1;
	}
	if (!listener_check(&ignored, ours))
		return unlink(ours);
	return renameat2(AT_FDCWD, ours, AT_FDCWD, path, RENAME_EXCHANGE) ? -1
									  : 1;
}

static int take_place(struct listener_name *name, const char *ours,
		      const char *path)
{
	for (unsigned i = 0; i < PLACE_TRIES; i++) {
		int r;

		if (!move(ours, path))
			return 0;
		if (errno != EEXIST || listener_check(name, path))
			return -1;
		r = replace(ours, path);
		if (r <= 0)
			return r;
	}
	return fail(EADDRINUSE);
}

/* ---------------------------------------------------------------- the name */

/* Draw a random name in the folder of @path. */
static int draw_name(const char *path, struct sockaddr_un *address)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	int room = LISTENER_PATH_MAX - folder;
	char leaf[16];
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -1;
	if (strlen(path) > LISTENER_PATH_MAX || room <= 0)
		return fail(ENAMETOOLONG);
	/* Beside the longest path there is less room. */
	snprintf(leaf, sizeof(leaf), "%s%08x", room > 8 ? "." : "", random);
	snprintf(address->sun_path, sizeof(address->sun_path), "%.*s%.*s",
		 folder, path, room, leaf);
	return 0;
}

/* Bind to an unused name; never remove an existing file. */
static int bind_somewhere(int fd, const char *path, struct sockaddr_un *address)
{
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		if (draw_name(path, address))
			return -1;
		if (!strcmp(address->sun_path, path))
			continue;
		if (!bind(fd, (struct sockaddr *)address, sizeof(*address)))
			return 0;
		if (errno != EADDRINUSE)
			return -1;
	}
	return -1;
}

/*
 * Unlink @path if it is the socket that @ours describes, and return -1 with
 * errno unchanged.  Another process's may be there: replace() exchanges them.
 */
static int give_up(const char *path, const struct statx *ours)
{
	int saved = errno;
	struct statx st;

	if (!io_look_at(path, &st) && st.stx_ino == ours->stx_ino &&
	    st.stx_dev_major == ours->stx_dev_major &&
	    st.stx_dev_minor == ours->stx_dev_minor)
		unlink(path);
	return fail(saved);
}

int listener_open(struct listener_name *name, const char *path, int backlog)
{
	struct sockaddr_un ours = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct statx st;

	*name = (struct listener_name){0};
	if (fd < 0 || bind_somewhere(fd, path, &ours))
		return -1;
	if (io_look_at(ours.sun_path, &st))
		return -1;
	if (listen(fd, backlog) || take_place(name, ours.sun_path, path))
		return give_up(ours.sun_path, &st);
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	name->ino = st.stx_ino;
	leftover_add(path);
	return take_fd(&fd);
}

void listener_remove(struct listener_name *name)
{
	struct statx st;

	if (name->path[0] && !io_look_at(name->path, &st) &&
	    makedev(st.stx_dev_major, st.stx_dev_minor) == name->dev &&
	    st.stx_ino == name->ino)
		unlink(name->path);
	leftover_forget(name->path);
	name->path[0] = '\0';
}
