/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/memory/extent.h"
#include "snapshot/memory/memory_file.h"

enum { BUFFER = 1 << 20, PAGE = 4096 };

struct copying {
	int from, to;
	bool punch; /* zeroes become holes */
	const struct go_on *go_on;
	uint8_t *buffer;
};

static bool is_zero(const uint8_t *data, uint64_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

static int put(struct copying *c, const uint8_t *data, uint64_t len,
	       uint64_t at)
{
	if (c->punch && is_zero(data, len)) {
		if (!fallocate(c->to,
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)at, (off_t)len))
			return 0;
		if (errno != EOPNOTSUPP)
			return -1;
		c->punch = false;
	}
	return io_pwrite(c->to, data, len, at);
}

/* Write the buffer in runs of whole pages that are zero, or are not. */
static int put_pages(struct copying *c, uint64_t len, uint64_t at)
{
	for (uint64_t i = 0; i < len;) {
		uint64_t end = min_u64(i + PAGE, len);
		bool zero = is_zero(c->buffer + i, end - i);

		while (end < len && zero == is_zero(c->buffer + end,
						    min_u64(PAGE, len - end)))
			end = min_u64(end + PAGE, len);
		if (put(c, c->buffer + i, end - i, at + i))
			return -1;
		i = end;
	}
	return 0;
}

static int copy_extent(struct copying *c, const struct extent *x, struct err *e)
{
	for (uint64_t at = x->at; at < x->end;) {
		uint64_t len = min_u64(BUFFER, x->end - at);
		ssize_t n;

		if (!may_go_on(c->go_on))
			return err_set(e, "it was cancelled");
		n = io_pread(c->from, c->buffer, len, at);
		if (n < 0)
			return err_errno(e, "cannot read it");
		if ((uint64_t)n != len)
			return err_set(e, "it became shorter");
		if (put_pages(c, len, at))
			return err_errno(e, "cannot write it");
		at += len;
	}
	return 0;
}

static int copy_data(struct copying *c, uint64_t size, struct err *e)
{
	struct extent x = {0};
	int found;

	while ((found = extent_next(c->from, x.end, size, &x)) > 0) {
		if (copy_extent(c, &x, e))
			return -1;
	}
	return found ? err_errno(e, "cannot find its data") : 0;
}

static int copy(int from, int to, const struct go_on *go_on, uint64_t size,
		struct err *e)
{
	struct copying c = {
		.from = from,
		.to = to,
		.punch = true,
		.go_on = go_on,
		.buffer = malloc(BUFFER),
	};
	int r = c.buffer ? copy_data(&c, size, e)
			 : err_errno(e, "no memory to copy it");

	free(c.buffer);
	return r;
}

int memory_file_merge(int base, int diff, struct err *e)
{
	struct stat to, from;

	if (fstat(base, &to) || fstat(diff, &from))
		return err_errno(e, "cannot look at the memory files");
	if (to.st_size != from.st_size)
		return err_set(e,
			       "the base has %lld bytes, and the diff %lld: "
			       "they are not of the same machine",
			       (long long)to.st_size, (long long)from.st_size);
	if (to.st_dev == from.st_dev && to.st_ino == from.st_ino)
		return err_set(e, "base and diff are the same file");
	return copy(diff, base, NULL, (uint64_t)to.st_size, e);
}

int memory_file_copy(int from, int to, const struct go_on *go_on, struct err *e)
{
	struct stat st;

	if (!ioctl(to, FICLONE, from))
		return 0;
	if (fstat(from, &st) || ftruncate(to, st.st_size))
		return err_errno(e, "cannot copy it");
	return copy(from, to, go_on, (uint64_t)st.st_size, e);
}
