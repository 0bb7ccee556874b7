/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/fd_limit.h"

#include <sys/resource.h>

#include "core/base/util.h"

void fd_limit_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) ||
	    limit.rlim_cur >= FD_LIMIT_WANTED)
		return;
	limit.rlim_cur = min_u64(FD_LIMIT_WANTED, limit.rlim_max);
	/* Failure is harmless: fd_limit_allows() permits fewer connections. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

bool fd_limit_allows(int fd)
{
	struct rlimit limit;

	/* Read each time, because prlimit() may change the limit. */
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return true;
	return (uint64_t)fd <
	       limit.rlim_cur - min_u64(FD_RESERVE, limit.rlim_cur / 4);
}
