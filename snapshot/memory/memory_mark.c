/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/memory_mark.h"

#include <string.h>

#include "core/base/err.h"
#include "core/io/io.h"

int memory_mark_read(struct memory_mark *mark, int fd, uint64_t offset,
		     struct err *e)
{
	ssize_t n = io_pread(fd, mark, sizeof(*mark), offset);

	if (n < 0)
		return err_errno(e, "cannot read memory");
	if (n != sizeof(*mark))
		return err_set(e, "the file is too short to be memory");
	return 0;
}

static bool same(const uint8_t a[16], const uint8_t b[16])
{
	return !memcmp(a, b, 16);
}

static bool goes_over(const struct memory_mark *diff,
		      const struct memory_mark *base)
{
	return same(diff->id, base->id) || same(diff->base, base->id) ||
	       (diff->kind == MEMORY_SINCE_LOAD && same(diff->run, base->run));
}

int memory_mark_check(const struct memory_mark *diff, int base, uint64_t offset,
		      struct err *e)
{
	struct memory_mark mark;

	if (memory_mark_read(&mark, base, offset, e))
		return -1;
	if (diff->kind != MEMORY_SINCE_LAST && diff->kind != MEMORY_SINCE_LOAD)
		return err_set(e, "it is no diff, but the whole memory; use it "
				  "as it is");
	if (!goes_over(diff, &mark))
		return err_set(e, "the diff was not made for this base: it has "
				  "what changed since another snapshot");
	return 0;
}
