/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing until done, and opening files one can trust to be files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct go_on;

/*
 * Open a regular file for reading, close-on-exec; its size goes to *size.
 * A FIFO or device in its place is refused, without blocking on it.
 * Returns the descriptor, or -1.
 */
int io_open_file(const char *path, uint64_t *size, struct err *e);

/*
 * Clear O_NONBLOCK of a file that was opened with it only because it might have
 * been a FIFO.  The flag is not harmless on files: io_uring then takes the file
 * for one that never waits, and reads it within the submitting call.
 */
void io_set_blocking(int fd);

/*
 * N, if @path is /dev/fd/N or /proc/self/fd/N, which also works where there is
 * no /proc; else -1.
 */
int io_descriptor_of(const char *path);

/*
 * Open a file or FIFO to append to, close-on-exec, made if it does not exist.
 * A FIFO needs no reader, and no write to it will block.  Returns the
 * descriptor, or -1.
 */
int io_open_sink(const char *path, struct err *e);

/*
 * All of a file, pipe or FIFO, NUL-terminated; free() it.  More than @max bytes
 * are refused.  It waits for who writes a pipe, so it is for command lines, and
 * not for the API.
 */
char *io_read_file(const char *path, size_t max, size_t *len, struct err *e);
/* The same; "-" is standard input. */
char *io_read_input(const char *path, size_t max, size_t *len, struct err *e);

/* Read up to @len bytes from @offset: fewer only at the end of the file.
 * Returns how many, or -1 with errno set. */
ssize_t io_pread(int fd, void *buf, size_t len, uint64_t offset);

/* Write all of @len bytes at @offset.  0, or -1 with errno set. */
int io_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/*
 * As write(), but a reader who does not read never makes us wait, whatever
 * flags whoever opened @fd has set: less than @len may be written, and EAGAIN
 * means that nothing can be now (poll() tells when).  The flags of @fd, which
 * other processes may share, stay as they are.  For all descriptors that we
 * were given, such as standard output.  Any thread.
 */
ssize_t io_write_nowait(int fd, const void *buf, size_t len);

/*
 * Have the kernel write what of @fd, which is a regular file, is not on the
 * disk yet, a few MiB at a time, so that fsync() afterwards has little left to
 * wait for.  Unlike fsync() this can be cancelled.  0, also if it was
 * cancelled; or -1 with errno set.
 */
int io_write_back(int fd, const struct go_on *go_on);

/*
 * Read a small text file of the kernel's (sysfs, procfs) into @buf, without
 * its final newline.  False if that did not work; nobody will read why.
 */
bool io_read_text(int dir, const char *path, char *buf, size_t size);
