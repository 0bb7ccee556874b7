/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/fd_limit.h"

#include <stdint.h>
#include <sys/resource.h>

#include "core/base/util.h"

/* What fd_limit_raise() left; 0: it was not called. */
static rlim_t raised;

void fd_limit_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	raised = limit.rlim_cur;
	if (limit.rlim_cur >= FD_LIMIT_WANTED)
		return;
	limit.rlim_cur = min_u64(FD_LIMIT_WANTED, limit.rlim_max);
	/* Failure is harmless: fd_limit_allows() permits fewer connections. */
	if (!setrlimit(RLIMIT_NOFILE, &limit))
		raised = limit.rlim_cur;
}

uint64_t fd_limit(void)
{
	struct rlimit limit;

	/* The filter of a running VM does not permit to look again. */
	if (raised)
		return raised;
	return getrlimit(RLIMIT_NOFILE, &limit) ? UINT64_MAX : limit.rlim_cur;
}

bool fd_limit_allows(int fd)
{
	uint64_t limit = fd_limit();

	return (uint64_t)fd < limit - min_u64(FD_RESERVE, limit / 4);
}
