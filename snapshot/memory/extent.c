/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/extent.h"

#include <errno.h>
#include <unistd.h>

#include "core/base/util.h"

int extent_next(int fd, uint64_t from, uint64_t limit, struct extent *x)
{
	off_t at, end;

	if (from >= limit)
		return 0;
	at = lseek(fd, (off_t)from, SEEK_DATA);
	if (at < 0 && errno == EINVAL) {
		*x = (struct extent){from, limit};
		return 1;
	}
	if (at < 0)
		return errno == ENXIO ? 0 : -1;
	if ((uint64_t)at >= limit)
		return 0;
	end = lseek(fd, at, SEEK_HOLE);
	if (end < 0)
		return -1;
	/* Make progress even if another process punches holes meanwhile. */
	end = end > at ? end : at + 1;
	*x = (struct extent){(uint64_t)at, min_u64((uint64_t)end, limit)};
	return 1;
}
