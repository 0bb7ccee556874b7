/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Complete reads and writes, and opening files that are sure to be regular
 * files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct go_on;
struct sockaddr_un;

/*
 * Open a regular file for reading, close-on-exec, and store its size in bytes
 * in *size.  A FIFO or device is rejected without blocking on it.  Returns the
 * descriptor, or -1.
 */
int io_open_file(const char *path, uint64_t *size, struct err *e);
/* The same, but @path itself must not be a symbolic link. */
int io_open_file_itself(const char *path, uint64_t *size, struct err *e);

/* Open what the first @len bytes of @path name, with O_PATH and close-on-exec.
 * Returns the descriptor, or -1 with errno set. */
int io_open_place(const char *path, size_t len);

/* The folder that @path is in: with the slash at its end, or "." */
void io_folder_of(char *out, size_t size, const char *path);

/* The address of the Unix socket @path; false if that is too long. */
bool io_name_socket(struct sockaddr_un *out, const char *path);

/*
 * Open a regular file, close-on-exec, with @flags of open().  The first @folder
 * bytes of @path name a folder; what is below it is not trusted: there must be
 * no symbolic link, no "..", and no second (hard) link to the file.  Returns
 * the descriptor, or -1 with errno set: ENOENT also for "..", ELOOP or ENOTDIR
 * for a symbolic link, EMLINK for a hard link, EINVAL for another kind of file.
 */
int io_open_beneath(const char *path, size_t folder, int flags);

/*
 * Clear O_NONBLOCK of a regular file that was opened with it only because it
 * might have been a FIFO.  The flag matters for regular files, too: with it,
 * io_uring reads the file inside the submitting call instead of asynchronously.
 */
void io_set_blocking(int fd);

/*
 * Returns N if @path is /dev/fd/N or /proc/self/fd/N, 0 if it is /dev/stdin,
 * else -1.  Only the name is parsed, so this works without /proc.
 */
int io_descriptor_of(const char *path);

/*
 * Open a file or FIFO for appending, close-on-exec; the file is created if it
 * does not exist.  A FIFO needs no reader, and writes to it never block.
 * Returns the descriptor, or -1.
 */
int io_open_sink(const char *path, struct err *e);

/*
 * Read all of a file, pipe or FIFO, at most @max bytes; more is an error.
 * Returns NUL-terminated memory of *len bytes, which the caller frees, or NULL.
 * Blocks until a pipe's writer closes it, so it is for command lines, not for
 * the API.
 */
char *io_read_file(const char *path, size_t max, size_t *len, struct err *e);

/* The same; "-" means standard input. */
char *io_read_input(const char *path, size_t max, size_t *len, struct err *e);

/*
 * Read @len bytes from @offset, fewer only at the end of the file.  Returns the
 * number of bytes, or -1 with errno set.
 */
ssize_t io_pread(int fd, void *buf, size_t len, uint64_t offset);

/* Write all of @len bytes at @offset.  Returns 0, or -1 with errno set. */
int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* What kind of file a descriptor refers to, as far as writing to it matters. */
enum io_kind { IO_UNKNOWN, IO_FILE, IO_PIPE, IO_SOCKET, IO_TERMINAL };
enum io_kind io_kind(int fd);

/*
 * As write(), but never blocks on a reader that does not read, even if @fd
 * lacks O_NONBLOCK.  May write less than @len; -1 with EAGAIN means that
 * nothing can be written now (wait with poll()).  The flags of @fd are not
 * changed, because other processes may share them.  For all descriptors that
 * stasis inherits, such as standard output.  Any thread.
 * @kind is io_kind(@fd), which callers keep because it takes a system call or
 * two; IO_UNKNOWN finds out each time.
 */
/*
 * Look at the open file @fd, or at @path itself, be it a symbolic link.  All
 * that runs beside a guest uses this one system call for it (core/seccomp).  0,
 * or -1 and errno.
 */
struct statx;
int io_look(int fd, struct statx *st);
int io_look_at(const char *path, struct statx *st);

/* As send(), without waiting and without SIGPIPE. */
ssize_t io_send(int fd, const void *data, size_t len);

ssize_t io_write_nowait(int fd, enum io_kind kind, const void *buf, size_t len);

/*
 * Open the terminal, pipe or FIFO that @fd refers to once more, for writing,
 * with O_NONBLOCK and close-on-exec, so that the flag does not affect processes
 * that share @fd.  Returns the new descriptor; or -1, without a reason, if @fd
 * is of another kind or cannot be opened (another user's terminal, no /proc).
 */
int io_reopen_nowait(int fd);

/*
 * Start writeback of the dirty pages of the regular file @fd, a few MiB at a
 * time, and wait for it, so that a later fsync() has little left to do.  Unlike
 * fsync() this can be cancelled.  Returns 0, also if it was cancelled; or -1
 * with errno set.
 */
int io_write_back(int fd, const struct go_on *go_on);

/*
 * Read a small text file of sysfs or procfs, at @path relative to the directory
 * @dir, into @buf of @size bytes, without its final newline.  False, without a
 * reason, if that fails.
 */
bool io_read_text(int dir, const char *path, char *buf, size_t size);
