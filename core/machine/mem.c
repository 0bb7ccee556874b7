/* SPDX-License-Identifier: Apache-2.0 */
#include "core/machine/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/bits.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem_huge.h"

/*
 * A file's pages, mapped privately.  A discarded page is replaced by anonymous
 * memory, because MADV_DONTNEED would bring the file's content back.  This
 * splits mappings, of which Linux allows a process 65530, so the transitions
 * between file and anonymous pages are counted and limited.
 */
struct guest_mem_file {
	uint8_t *host;
	int fd; /* owned; -1: not kept */
	uint64_t offset;
	uint64_t page, page_count; /* size in bytes; number of pages */
	unsigned edges;            /* between file and anonymous pages */
	uint64_t anonymous[];      /* a bit per page */
};

enum { EDGES_MAX = 8192 }; /* per file */

/*
 * Inaccessible space around RAM, at least GUARD bytes on each side plus what
 * alignment leaves over, so that a pointer that runs past the end of RAM hits
 * no other mapping.
 *
 *	space            host, a multiple of HUGE_PAGE
 *	+----------------+--------------------------+----------------+
 *	|  PROT_NONE     |  RAM, size bytes         |  PROT_NONE     |
 *	+----------------+--------------------------+----------------+
 *	  >= GUARD                                    >= GUARD
 */
enum { GUARD = 64 * 1024, HUGE_PAGE = 2 * 1024 * 1024 };

uint64_t guest_mem_page(const struct guest_mem *mem)
{
	return mem->pages == GUEST_MEM_2M ? (uint64_t)HUGE_PAGE
					  : (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Map guest RAM at @at: of the file @fd, or anonymous if that is -1.  Core
 * dumps leave it out, because it is as large as the guest and holds the guest's
 * secrets.  Returns false with errno set.
 */
static bool map_ram(const struct guest_mem *mem, void *at, uint64_t len, int fd,
		    uint64_t offset)
{
	int flags = MAP_PRIVATE | MAP_FIXED;

	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	if (mem->pages != GUEST_MEM_2M)
		flags |= MAP_NORESERVE;
	else if (fd < 0)
		flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	if (mmap(at, len, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset) ==
	    MAP_FAILED)
		return false;
	/* It only fails without a mapping there. */
	madvise(at, len, MADV_DONTDUMP);
	return true;
}

/*
 * Make the address space at @host RAM.  It is opened because mapping RAM over
 * it costs three times as much.
 */
static bool open_space(const struct guest_mem *mem, void *host, uint64_t size,
		       bool for_file)
{
	if (mem->pages == GUEST_MEM_2M && !for_file)
		return map_ram(mem, host, size, -1, 0);
	return !mprotect(host, size, PROT_READ | PROT_WRITE) &&
	       (mem->pages != GUEST_MEM_TRANSPARENT ||
		!madvise(host, size, MADV_HUGEPAGE));
}

/*
 * Map @r in the middle of inaccessible address space, aligned to a huge page so
 * that KVM can use huge pages.
 */
static bool map_region(const struct guest_mem *mem, struct guest_mem_region *r,
		       bool for_file)
{
	const uint64_t len = r->size + 2 * (uint64_t)HUGE_PAGE;
	uint8_t *space =
		mmap(NULL, len, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *host;
	int why;

	if (space == MAP_FAILED)
		return false;
	host = space + (align_up((uintptr_t)space + GUARD, HUGE_PAGE) -
			(uintptr_t)space);
	madvise(space, len, MADV_DONTDUMP);
	if (!open_space(mem, host, r->size, for_file)) {
		why = errno;
		munmap(space, len);
		errno = why;
		return false;
	}
	r->host = host;
	r->space = space;
	return true;
}

static void unmap_region(const struct guest_mem_region *r)
{
	munmap(r->space, r->size + 2 * (uint64_t)HUGE_PAGE);
}

int guest_mem_create_of(struct guest_mem *mem,
			const struct guest_mem_region *regions, unsigned count,
			enum guest_mem_pages pages, bool for_file,
			struct err *e)
{
	*mem = (struct guest_mem){
		.pages = pages,
		.keeps = pages == GUEST_MEM_2M && mem_huge_keeps(),
	};
	for (unsigned i = 0; i < count; i++) {
		struct guest_mem_region r = regions[i];

		if (!map_region(mem, &r, for_file))
			return mem_huge_refuse(mem, r.size, e);
		mem->region[mem->region_count++] = r;
	}
	return 0;
}

int guest_mem_create(struct guest_mem *mem,
		     const struct guest_mem_region *regions, unsigned count,
		     struct err *e)
{
	return guest_mem_create_of(mem, regions, count, GUEST_MEM_PLAIN, false,
				   e);
}

void guest_mem_destroy(struct guest_mem *mem)
{
	guest_mem_untrack(mem);
	for (unsigned i = 0; i < mem->region_count; i++)
		unmap_region(&mem->region[i]);
	mem->region_count = 0;
	while (mem->file_count) {
		util_close(&mem->file[--mem->file_count]->fd);
		free(mem->file[mem->file_count]);
	}
}

void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];
		uint64_t offset = gpa - r->gpa;

		/* Subtract instead of adding, because sums could wrap. */
		if (gpa >= r->gpa && offset < r->size &&
		    len <= r->size - offset)
			return r->host + offset;
	}
	return NULL;
}

uint64_t guest_mem_size(const struct guest_mem *mem)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < mem->region_count; i++)
		size += mem->region[i].size;
	return size;
}

void guest_mem_expect_little(struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	void *host = guest_mem_at(mem, gpa, len);

	if (host && mem->pages != GUEST_MEM_2M)
		madvise(host, len, MADV_NOHUGEPAGE);
}

void guest_mem_keep(struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	mem->kept = guest_mem_at(mem, gpa, len);
	mem->kept_end = mem->kept ? mem->kept + len : NULL;
}

static int load_failed(uint64_t len, gpa_t gpa, struct err *e)
{
	return err_set(e, "%llu bytes at 0x%llx are not within guest RAM",
		       (unsigned long long)len, (unsigned long long)gpa);
}

/*
 * How many of the @len bytes can be mapped: whole pages, and the page in which
 * the file ends, whose rest reads as zero.  Pages beyond the end of the file
 * are excluded, because touching them would raise SIGBUS.
 */
static uint64_t mappable(const struct guest_mem *mem, gpa_t gpa, int fd,
			 uint64_t offset, uint64_t len, uint64_t file_size)
{
	uint64_t page = guest_mem_page(mem);
	uintptr_t host = (uintptr_t)guest_mem_at(mem, gpa, len);

	if (host % page || offset % page || guest_mem_file_page(fd) != page)
		return 0;
	if (offset + len == file_size &&
	    guest_mem_at(mem, gpa, align_up(len, page)))
		return align_up(len, page);
	return align_down(len, page);
}

/* Record that a file is mapped at @host; false if there is no room for it. */
static bool remember_file(struct guest_mem *mem, uint8_t *host, uint64_t len,
			  int fd, uint64_t offset)
{
	uint64_t page = guest_mem_page(mem), words;
	struct guest_mem_file *f;

	if (mem->file_count == GUEST_MEM_FILES_MAX)
		return false;
	words = align_up(len / page, 64) / 64;
	f = calloc(1, sizeof(*f) + words * sizeof(f->anonymous[0]));
	if (!f)
		return false;
	f->fd = mem->keep_files ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (mem->keep_files && f->fd < 0) {
		free(f);
		return false;
	}
	f->host = host;
	f->offset = offset;
	f->page = page;
	f->page_count = len / page;
	f->edges = 2;
	mem->file[mem->file_count++] = f;
	return true;
}

int guest_mem_read(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e)
{
	uint8_t *host = guest_mem_at(mem, gpa, len);
	ssize_t n = host ? io_pread(fd, host, len, offset) : 0;

	if (!host)
		return load_failed(len, gpa, e);
	if (n < 0)
		return err_errno(e, "cannot read it into guest RAM");
	if ((uint64_t)n != len)
		return err_set(e, "it became shorter while it was read");
	return 0;
}

int guest_mem_load(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e)
{
	uint8_t *host = guest_mem_at(mem, gpa, len);
	uint64_t mapped;
	struct stat st;

	if (!host)
		return load_failed(len, gpa, e);
	if (fstat(fd, &st))
		return err_errno(e, "cannot read it into guest RAM");
	if (offset > (uint64_t)st.st_size ||
	    len > (uint64_t)st.st_size - offset)
		return err_set(e, "it became shorter while it was read");
	mapped = mappable(mem, gpa, fd, offset, len, (uint64_t)st.st_size);
	if (mapped && !remember_file(mem, host, mapped, fd, offset))
		mapped = 0;
	if (mapped && !map_ram(mem, host, mapped, fd, offset))
		return mem->pages == GUEST_MEM_2M
			       ? mem_huge_refuse(mem, mapped, e)
			       : err_errno(e, "cannot map it into guest RAM");
	return mapped >= len ? 0
			     : guest_mem_read(mem, gpa + mapped, fd,
					      offset + mapped, len - mapped, e);
}

int guest_mem_boot(struct guest_mem *mem, gpa_t gpa, int fd, uint64_t offset,
		   uint64_t len, struct err *e)
{
	if (mem->share_files || len < HUGE_PAGE || !mem_huge_may_be(mem))
		return guest_mem_load(mem, gpa, fd, offset, len, e);
	return guest_mem_read(mem, gpa, fd, offset, len, e);
}

/* -------------------------------------------------------- discarding pages */

static bool is_anonymous(const struct guest_mem_file *f, uint64_t i)
{
	/* The pages around the file are anonymous RAM. */
	return i >= f->page_count || bits_has(f->anonymous, i);
}

static int dontneed(void *host, uint64_t len)
{
	return madvise(host, len, MADV_DONTNEED) ? -errno : 0;
}

/* Replace pages @i to @end - 1, all file pages, by anonymous memory. */
static int replace(const struct guest_mem *mem, struct guest_mem_file *f,
		   uint64_t i, uint64_t end)
{
	unsigned joined = is_anonymous(f, i - 1) + is_anonymous(f, end);
	unsigned edges = f->edges + 2 - 2 * joined;

	/* Beyond the limit, discarded pages stay as they are. */
	if (!joined && edges > EDGES_MAX)
		return -ENOMEM;
	if (!map_ram(mem, f->host + i * f->page, (end - i) * f->page, -1, 0))
		return -errno;
	f->edges = edges;
	for (; i < end; i++)
		bits_add(f->anonymous, i);
	return 0;
}

static int discard_file(const struct guest_mem *mem, struct guest_mem_file *f,
			uint64_t i, uint64_t end)
{
	while (i < end) {
		bool anonymous = is_anonymous(f, i);
		uint64_t next = i + 1;
		int r;

		while (next < end && is_anonymous(f, next) == anonymous)
			next++;
		r = anonymous ? dontneed(f->host + i * f->page,
					 (next - i) * f->page)
			      : replace(mem, f, i, next);
		if (r)
			return r;
		i = next;
	}
	return 0;
}

/*
 * The file that is mapped at @at, or NULL; the last one that was loaded if
 * there are several.  Reduces *end so that the answer holds up to there.
 */
static struct guest_mem_file *file_at(const struct guest_mem *mem,
				      const uint8_t *at, uint8_t **end)
{
	struct guest_mem_file *found = NULL;

	for (unsigned i = 0; i < mem->file_count; i++) {
		struct guest_mem_file *f = mem->file[i];
		uint8_t *f_end = f->host + f->page_count * f->page;

		if (f->host > at && f->host < *end)
			*end = f->host;
		if (f_end > at && f_end < *end)
			*end = f_end;
		if (f->host <= at && at < f_end)
			found = f;
	}
	return found;
}

struct guest_mem_run guest_mem_run_at(const struct guest_mem *mem,
				      const uint8_t *host, uint64_t len)
{
	uint8_t *end = (uint8_t *)host + len;
	const struct guest_mem_file *f = file_at(mem, host, &end);
	struct guest_mem_run run = {.fd = -1};
	uint64_t page, next, stop;

	run.len = (uint64_t)(end - host);
	if (!f)
		return run;
	page = next = (uint64_t)(host - f->host) / f->page;
	stop = (uint64_t)(end - f->host) / f->page;
	while (next < stop && is_anonymous(f, next) == is_anonymous(f, page)) {
		bool word = next % 64 == 0 && stop - next >= 64 &&
			    f->anonymous[next / 64] ==
				    -(uint64_t)is_anonymous(f, page);

		next += word ? 64 : 1;
	}
	run.len = (next - page) * f->page;
	if (is_anonymous(f, page)) {
		run.origin = GUEST_MEM_DISCARDED;
		return run;
	}
	run.origin = GUEST_MEM_FILE;
	run.fd = f->fd;
	run.offset = f->offset + (uint64_t)(host - f->host);
	return run;
}

int guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len)
{
	uint64_t page = guest_mem_page(mem);
	uint8_t *at = (uint8_t *)host + (-(uintptr_t)host & (page - 1));
	uint8_t *stop = (uint8_t *)host + len;

	stop -= (uintptr_t)stop & (page - 1);
	if (at < mem->kept_end && stop > mem->kept)
		return -EPERM;
	/* A huge page of a file could only be replaced by a mapping that may
	 * fail when the old one is gone. */
	if (mem->pages == GUEST_MEM_2M && (!mem->keeps || mem->file_count))
		return -EOPNOTSUPP;
	/* The pages become zero, which KVM's dirty log does not show. */
	if (at < stop)
		guest_mem_written(mem, at, (uint64_t)(stop - at));
	while (at < stop) {
		uint8_t *end = stop;
		struct guest_mem_file *f = file_at(mem, at, &end);
		int r = f ? discard_file(mem, f,
					 (uint64_t)(at - f->host) / page,
					 (uint64_t)(end - f->host) / page)
			  : dontneed(at, (uint64_t)(end - at));

		if (r)
			return r;
		at = end;
	}
	return 0;
}

/* ------------------------------------------------- served by a page server */

enum { LOOK_PAGES = 256 }; /* per mincore() */

bool guest_mem_present(const struct guest_mem *mem, const void *host,
		       uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = (uint8_t *)host - ((uintptr_t)host & (page - 1));
	uint8_t *end = (uint8_t *)host + len;
	uint8_t is_there[LOOK_PAGES];

	if (!mem->ask)
		return true;
	for (; at < end; at += LOOK_PAGES * page) {
		uint64_t left = align_up((uint64_t)(end - at), page) / page;
		uint64_t count = min_u64(left, LOOK_PAGES);

		if (mincore(at, count * page, is_there))
			return true;
		for (uint64_t i = 0; i < count; i++) {
			if (is_there[i] & 1)
				continue;
			at += i * page;
			mem->ask(mem->ask_context, at, (uint64_t)(end - at));
			return false;
		}
	}
	return true;
}
