/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mem.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/err.h"
#include "vmm/base/io.h"
#include "vmm/base/util.h"

static void *map_anonymous(uint64_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/*
 * At a multiple of a huge page, or KVM could not use any.  Linux does that by
 * itself since 6.7.
 */
static void *map_aligned(uint64_t size)
{
	const uint64_t align = MIB(2);
	uint8_t *host = map_anonymous(size);
	uint64_t head;

	if (host == MAP_FAILED || (uintptr_t)host % align == 0)
		return host;
	munmap(host, size);
	host = map_anonymous(size + align);
	if (host == MAP_FAILED)
		return host;
	head = align_up((uintptr_t)host, align) - (uintptr_t)host;
	if (head)
		munmap(host, head);
	if (head < align)
		munmap(host + head + size, align - head);
	return host + head;
}

int guest_mem_create(struct guest_mem *mem,
		     const struct guest_mem_region *regions, unsigned count,
		     struct err *e)
{
	*mem = (struct guest_mem){0};
	for (unsigned i = 0; i < count; i++) {
		struct guest_mem_region r = regions[i];
		void *host = map_aligned(r.size);

		if (host == MAP_FAILED)
			return err_errno(
				e,
				"cannot reserve %llu MiB of RAM (ask for less, "
				"or allow more: ulimit -v, "
				"vm.overcommit_memory)",
				(unsigned long long)(r.size >> 20));
		r.host = host;
		mem->region[mem->region_count++] = r;
	}
	return 0;
}

void guest_mem_destroy(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->region_count; i++)
		munmap(mem->region[i].host, mem->region[i].size);
	mem->region_count = 0;
}

void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];
		uint64_t offset = gpa - r->gpa;

		/* By subtraction: no sum of hostile numbers can wrap. */
		if (gpa >= r->gpa && offset < r->size &&
		    len <= r->size - offset)
			return r->host + offset;
	}
	return NULL;
}

void guest_mem_expect_little(struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	void *host = guest_mem_at(mem, gpa, len);

	if (host)
		madvise(host, len, MADV_NOHUGEPAGE);
}

static int load_failed(uint64_t len, gpa_t gpa, struct err *e)
{
	return err_set(e, "%llu bytes at 0x%llx are not within guest RAM",
		       (unsigned long long)len, (unsigned long long)gpa);
}

/*
 * How much of it can be mapped: whole pages, and the one in which the file
 * ends, whose rest reads as zero.  Not pages beyond the end: those could be
 * mapped, too, but never touched.
 */
static uint64_t mappable(const struct guest_mem *mem, gpa_t gpa,
			 uint64_t offset, uint64_t len, uint64_t file_size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uintptr_t host = (uintptr_t)guest_mem_at(mem, gpa, len);

	if (host % page || offset % page)
		return 0;
	if (offset + len == file_size &&
	    guest_mem_at(mem, gpa, align_up(len, page)))
		return align_up(len, page);
	return align_down(len, page);
}

int guest_mem_load(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e)
{
	uint8_t *host = guest_mem_at(mem, gpa, len);
	uint64_t mapped, rest;
	struct stat st;
	ssize_t n;

	if (!host)
		return load_failed(len, gpa, e);
	if (fstat(fd, &st))
		return err_errno(e, "cannot read it into guest RAM");
	if (offset > (uint64_t)st.st_size ||
	    len > (uint64_t)st.st_size - offset)
		return err_set(e, "it became shorter while it was read");
	mapped = mappable(mem, gpa, offset, len, (uint64_t)st.st_size);
	if (mapped && mmap(host, mapped, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
			   (off_t)offset) == MAP_FAILED)
		return err_errno(e, "cannot map it into guest RAM");
	if (mapped >= len)
		return 0;
	rest = len - mapped;
	n = io_pread(fd, host + mapped, rest, offset + mapped);
	if (n < 0)
		return err_errno(e, "cannot read it into guest RAM");
	if ((uint64_t)n != rest)
		return err_set(e, "it became shorter while it was read");
	return 0;
}
