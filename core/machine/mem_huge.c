/* SPDX-License-Identifier: Apache-2.0 */
#include "core/machine/mem_huge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"

/* The number in a file of sysfs about huge pages; 0 if there is none. */
static uint64_t huge_pages(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[24] = "";

	if (fd >= 0)
		(void)io_pread(fd, text, sizeof(text) - 1, 0);
	return strtoull(text, NULL, 10);
}

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

int mem_huge_refuse(const struct guest_mem *mem, uint64_t size, struct err *e)
{
	uint64_t mib = size >> 20;
	int why = errno;
	uint64_t spare = huge_pages(POOL "free_hugepages") -
			 huge_pages(POOL "resv_hugepages");

	errno = why;
	if (mem->pages == GUEST_MEM_2M)
		return err_errno(
			e,
			"cannot reserve %llu MiB of RAM in huge pages: "
			"it takes %llu of 2 MiB, and this host has "
			"%llu to spare (give it more: sysctl "
			"vm.nr_hugepages; or use `huge_pages` None)",
			(unsigned long long)mib, (unsigned long long)mib / 2,
			(unsigned long long)spare);
	if (mem->pages == GUEST_MEM_TRANSPARENT && errno == EINVAL)
		return err_set(e, "this kernel has no transparent huge pages; "
				  "use `huge_pages` None");
	return err_errno(e,
			 "cannot reserve %llu MiB of RAM (ask for less, or "
			 "allow more: ulimit -v, vm.overcommit_memory)",
			 (unsigned long long)mib);
}

bool mem_huge_may_be(const struct guest_mem *mem)
{
	AUTO_CLOSE int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
				 O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd >= 0)
		(void)io_pread(fd, text, sizeof(text) - 1, 0);
	/* "always [madvise] never" */
	return !strstr(text, mem->pages == GUEST_MEM_PLAIN ? "[madvise]"
							   : "[never]") &&
	       !strstr(text, "[never]");
}

bool mem_huge_keeps(void)
{
	struct utsname host;
	unsigned long major, minor;
	char *end;

	if (uname(&host))
		return false;
	major = strtoul(host.release, &end, 10);
	minor = *end ? strtoul(end + 1, NULL, 10) : 0;
	return major > 6 || (major == 6 && minor >= 9);
}

uint64_t guest_mem_file_page(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC
		       ? (uint64_t)fs.f_bsize
		       : (uint64_t)sysconf(_SC_PAGESIZE);
}
