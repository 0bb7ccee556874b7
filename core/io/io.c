/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"

void io_set_blocking(int fd)
{
	/* These descriptors have no other status flags. */
	fcntl(fd, F_SETFL, 0);
}

int io_look(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME,
		     st);
}

int io_look_at(const char *path, struct statx *st)
{
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
		     st);
}

static int open_file(const char *path, int flags, uint64_t *size, struct err *e)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK |
					       O_NOCTTY | flags);
	struct stat st;

	if (fd < 0 && flags && errno == ELOOP)
		return err_set(e,
			       "%s is a symbolic link, which a strict load "
			       "does not follow; name the file it leads to",
			       path);
	if (fd < 0)
		return err_errno(e, "cannot open %s", path);
	if (fstat(fd, &st))
		return err_errno(e, "cannot look at %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, "%s is %s; a regular file is needed", path,
			       S_ISDIR(st.st_mode) ? "a directory"
						   : "not a file");
	io_set_blocking(fd);
	*size = (uint64_t)st.st_size;
	return take_fd(&fd);
}

int io_open_file(const char *path, uint64_t *size, struct err *e)
{
	return open_file(path, 0, size, e);
}

int io_open_file_itself(const char *path, uint64_t *size, struct err *e)
{
	return open_file(path, O_NOFOLLOW, size, e);
}

ssize_t io_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		const struct iovec rest = {(char *)buf + done, len - done};
		ssize_t n = preadv2(fd, &rest, 1, (off_t)(offset + done), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done,
				   (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -1;
		if (n == 0) {
			errno = EIO;
			return -1;
		}
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

enum { PIECE = 1 << 20, AHEAD = 8 };

/* The first data from @at on; @size if there is none. */
static off_t next_data(int fd, off_t at, off_t size)
{
	off_t found;

	if (at >= size)
		return size;
	found = lseek(fd, at, SEEK_DATA);
	if (found >= 0)
		return found;
	return errno == ENXIO ? size : at;
}

/* Begin to write a piece, or wait until it is written. */
static int write_piece(int fd, off_t at, bool wait)
{
	unsigned flags = SYNC_FILE_RANGE_WRITE;

	if (wait)
		flags |= SYNC_FILE_RANGE_WAIT_BEFORE |
			 SYNC_FILE_RANGE_WAIT_AFTER;
	/* Write errors are reported once: fsync() would miss it. */
	return sync_file_range(fd, at, PIECE, flags) && errno != EINVAL &&
			       errno != ENOSYS && errno != ESPIPE
		       ? -1
		       : 0;
}

int io_write_back(int fd, const struct go_on *go_on)
{
	/* Writeback runs ahead of the wait, to keep the disk busy. */
	off_t begun[AHEAD], at;
	unsigned first = 0, end = 0;
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	at = next_data(fd, 0, st.st_size);
	while ((at < st.st_size || first < end) && may_go_on(go_on)) {
		bool wait = at >= st.st_size || end - first == AHEAD;

		if (write_piece(fd, wait ? begun[first % AHEAD] : at, wait))
			return -1;
		if (wait) {
			first++;
			continue;
		}
		begun[end++ % AHEAD] = at;
		at = next_data(fd, at + PIECE, st.st_size);
	}
	return 0;
}

int io_descriptor_of(const char *path)
{
	static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};

	if (!strcmp(path, "/dev/stdin"))
		return STDIN_FILENO;
	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		const char *digits = path + strlen(folders[i]);
		char *end;
		unsigned long n;

		if (strncmp(path, folders[i], strlen(folders[i])) != 0)
			continue;
		errno = 0;
		n = strtoul(digits, &end, 10);
		if (*digits >= '0' && *digits <= '9' && !*end && !errno &&
		    n <= INT_MAX)
			return (int)n;
	}
	return -1;
}

int io_open_sink(const char *path, struct err *e)
{
	/* O_RDWR, because O_WRONLY fails on a FIFO without a reader. */
	int fd = open(path,
		      O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC |
			      O_NOCTTY,
		      0600);

	if (fd < 0)
		return err_errno(e, "cannot open %.512s for writing", path);
	return fd;
}

/* Read @fd to its end, at most @max bytes.  @name is for error messages. */
static char *read_all(int fd, const char *name, size_t max, size_t *len,
		      struct err *e)
{
	/*
	 * One byte more than @max, to notice an excess, and a NUL.  Pages that
	 * are not touched use no memory.
	 */
	AUTO_FREE char *text = malloc(max + 2);
	char *taken;
	size_t n = 0;

	while (text && n <= max) {
		ssize_t r = read(fd, text + n, max + 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			err_errno(e, "cannot read %s", name);
			return NULL;
		}
		if (!r)
			break;
		n += (size_t)r;
	}
	if (n > max) {
		err_set(e, "%s is larger than %zu bytes", name, max);
		return NULL;
	}
	taken = text ? realloc(text, n + 1) : NULL;
	if (!taken) {
		err_errno(e, "cannot read %s", name);
		return NULL;
	}
	text = NULL;
	taken[n] = '\0';
	*len = n;
	return taken;
}

char *io_read_file(const char *path, size_t max, size_t *len, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	/* A root without /proc has no names of open descriptors. */
	if (fd < 0 && errno == ENOENT && io_descriptor_of(path) >= 0)
		fd = fcntl(io_descriptor_of(path), F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		err_errno(e, "cannot open %s", path);
		return NULL;
	}
	return read_all(fd, path, max, len, e);
}

char *io_read_input(const char *path, size_t max, size_t *len, struct err *e)
{
	if (!strcmp(path, "-"))
		return read_all(STDIN_FILENO, "standard input", max, len, e);
	return io_read_file(path, max, len, e);
}

bool io_read_text(int dir, const char *path, char *buf, size_t size)
{
	AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	/* One read suffices for small files of sysfs and procfs. */
	n = read(fd, buf, size - 1);
	if (n <= 0)
		return false;
	if (buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return true;
}
