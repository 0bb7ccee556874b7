/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/bits.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"
#include "snapshot/memory/extent.h"
#include "snapshot/memory/memory_compare.h"
#include "snapshot/memory/pagemap.h"

/* Up to MEMORY_FILE_CHUNK of a region, and which of its pages to write. */
struct chunk {
	const uint8_t *host;
	uint64_t offset; /* in the file */
	uint64_t page, page_count;
	uint64_t want[MEMORY_FILE_CHUNK / 4096 / 64];
};

struct saving {
	struct memory_save *save;
	int pagemap; /* -1: all pages must be read */
	uint64_t page;
	bool checking; /* second pass: check the diff that was written */
	struct err *e;
};

static bool is_zero(const uint8_t *page, uint64_t size)
{
	/* The first byte is 0, and each byte equals the previous. */
	return !page[0] && !memcmp(page, page + 1, size - 1);
}

static uint8_t *chunk_page(const struct chunk *c, uint64_t i)
{
	return (uint8_t *)c->host + i * c->page;
}

/* ------------------------------------------------------------------- saving */

/* Copies whole words, because chunks begin at multiples of 64 pages. */
static void want_dirty(struct chunk *c, const uint64_t *dirty)
{
	memcpy(c->want, dirty, align_up(c->page_count, 64) / 8);
}

static void drop_zeroes(struct chunk *c)
{
	for (uint64_t i = 0; i < c->page_count; i++) {
		if (bits_has(c->want, i) && is_zero(chunk_page(c, i), c->page))
			bits_remove(c->want, i);
	}
}

static int want_not_zero(const struct saving *s, struct chunk *c)
{
	if (s->pagemap >= 0) {
		memset(c->want, 0, sizeof(c->want));
		if (pagemap_find(s->pagemap, s->save->mem, c->host,
				 c->page_count, PAGEMAP_NOT_ZERO, c->want))
			return err_errno(s->e, "cannot tell which pages of "
					       "guest RAM are in use");
	}
	drop_zeroes(c);
	return 0;
}

static bool is_wanted_zero(const struct chunk *c, uint64_t i)
{
	return i < c->page_count && bits_has(c->want, i) &&
	       is_zero(chunk_page(c, i), c->page);
}

/*
 * Punch holes for dirty pages of zeroes in a copy of the base; if that fails,
 * the zeroes are written.
 */
static void punch_zeroes(const struct saving *s, struct chunk *c)
{
	for (uint64_t i = 0; i < c->page_count; i++) {
		uint64_t first = i;

		while (is_wanted_zero(c, i))
			i++;
		if (i == first ||
		    fallocate(s->save->fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)(c->offset + first * c->page),
			      (off_t)((i - first) * c->page)))
			continue;
		for (; first < i; first++)
			bits_remove(c->want, first);
	}
}

/* Send zeroes without touching the pages, which would read a mapped file. */
static int send_zeroes(const struct saving *s, uint64_t len)
{
	static uint8_t zeroes[65536]; /* not const, so that it is in .bss */
	const struct memory_sink *sink = s->save->sink;

	for (uint64_t n; len; len -= n) {
		n = min_u64(len, sizeof(zeroes));
		if (sink->put(sink->context, zeroes, n, s->e))
			return -1;
	}
	return 0;
}

static int write_run(const struct saving *s, const struct chunk *c,
		     uint64_t first, uint64_t end)
{
	uint64_t len = (end - first) * c->page;
	const struct memory_sink *sink = s->save->sink;

	if (sink) {
		if (sink->put(sink->context, chunk_page(c, first), len, s->e))
			return -1;
	} else if (io_pwrite(s->save->fd, chunk_page(c, first), len,
			     c->offset + first * c->page))
		return err_errno(s->e, "cannot write guest RAM to its file");
	s->save->written += len;
	return 0;
}

static int write_chunk(const struct saving *s, const struct chunk *c)
{
	for (uint64_t i = 0; i < c->page_count;) {
		uint64_t end = i + 1;

		while (end < c->page_count &&
		       bits_has(c->want, end) == bits_has(c->want, i))
			end++;
		if (bits_has(c->want, i) && write_run(s, c, i, end))
			return -1;
		if (!bits_has(c->want, i) && s->save->sink &&
		    send_zeroes(s, (end - i) * c->page))
			return -1;
		i = end;
	}
	return 0;
}

/*
 * Check a diff's data and holes.  If the file system's blocks are larger than
 * pages (ZFS, huge pages in tmpfs), writing a page makes its neighbours data,
 * too, as zeroes.  Write these as well, because the content of RAM is right in
 * any case.  A file system that turns pages of zeroes into holes (ZFS with
 * compression) cannot hold a diff: fail.
 */
static int check_chunk(const struct saving *s, const struct chunk *c)
{
	uint64_t limit = c->offset + c->page_count * c->page, i = 0;
	struct extent x = {.end = c->offset};
	bool lost = false;
	int r;

	do {
		r = extent_next(s->save->fd, x.end, limit, &x);
		if (r < 0)
			return err_errno(s->e, "cannot find the data in the "
					       "memory file");
		if (!r)
			x = (struct extent){limit, limit};
		for (; i < (x.at - c->offset) / c->page; i++)
			lost |= bits_has(c->want, i);
		for (; c->offset + i * c->page < x.end; i++) {
			if (!bits_has(c->want, i) && write_run(s, c, i, i + 1))
				return -1;
		}
	} while (r);
	if (lost)
		return err_set(s->e, "this file system makes holes of zeroes, "
				     "and a diff would lose them; write it "
				     "elsewhere, or take a full snapshot");
	return 0;
}

static int save_chunk(const struct saving *s, unsigned region, uint64_t at,
		      uint64_t file_offset)
{
	const struct guest_mem_region *r = &s->save->mem->region[region];
	uint64_t len = min_u64(r->size - at, MEMORY_FILE_CHUNK);
	const uint64_t *const *dirty = s->save->dirty;
	struct chunk c = {
		.host = r->host + at,
		.offset = file_offset + at,
		.page = s->page,
		.page_count = len / s->page,
	};

	if (s->save->compare && !s->checking &&
	    memory_compare(s->save->mem, c.host, c.page_count,
			   s->save->compare[region] + at / s->page / 64))
		return err_errno(s->e, "cannot compare guest RAM with the "
				       "memory file it is from");
	memset(c.want, 0xff, sizeof(c.want));
	if (dirty)
		want_dirty(&c, dirty[region] + at / s->page / 64);
	else if (want_not_zero(s, &c))
		return -1;
	if (dirty && s->save->onto_base)
		punch_zeroes(s, &c);
	return s->checking ? check_chunk(s, &c) : write_chunk(s, &c);
}

static bool may_go_on(const struct saving *s, uint64_t done, uint64_t total)
{
	const struct memory_save *save = s->save;

	return s->checking || !save->go_on ||
	       save->go_on(save->context, done, total);
}

/*
 * How many bytes of @r from @at on are zero, and were never touched: whole
 * chunks, or all that is left of it.  Large guests use little of their RAM.
 */
static uint64_t unused(const struct saving *s, const struct guest_mem_region *r,
		       uint64_t at)
{
	/* One at a time if its zeroes are sent, which can be cancelled. */
	uint64_t look = (uint64_t)MEMORY_FILE_CHUNK * (s->save->sink ? 1 : 64);
	uint64_t left = r->size - at, found;

	if (s->pagemap < 0)
		return 0;
	found = s->page * pagemap_zeroes(s->pagemap, s->save->mem, r->host + at,
					 min_u64(left, look) / s->page);
	return found == left ? left : align_down(found, MEMORY_FILE_CHUNK);
}

static int save_region(const struct saving *s, unsigned region, uint64_t total,
		       uint64_t offset)
{
	const struct guest_mem_region *r = &s->save->mem->region[region];

	for (uint64_t at = 0, step; at < r->size; at += step) {
		if (!may_go_on(s, offset + at, total))
			return err_set(s->e, "it was cancelled");
		step = unused(s, r, at);
		if (step && s->save->sink && send_zeroes(s, step))
			return -1;
		if (!step && save_chunk(s, region, at, offset))
			return -1;
		step = step ? step : MEMORY_FILE_CHUNK;
	}
	return 0;
}

static int save_regions(const struct saving *s)
{
	const struct guest_mem *mem = s->save->mem;
	uint64_t total = guest_mem_size(mem), offset = 0;

	for (unsigned i = 0; i < mem->region_count; i++) {
		if (save_region(s, i, total, offset))
			return -1;
		offset += mem->region[i].size;
	}
	if (!may_go_on(s, total, total))
		return err_set(s->e, "it was cancelled");
	return 0;
}

/*
 * Set the file's size.  Without a base, empty it first, so that pages that are
 * not written are holes.
 */
static int make_room(const struct memory_save *save, struct err *e)
{
	uint64_t size = guest_mem_size(save->mem);

	if ((!(save->dirty && save->onto_base) && ftruncate(save->fd, 0)) ||
	    ftruncate(save->fd, (off_t)size))
		return err_errno(e,
				 "cannot make a file of %llu MiB for guest "
				 "RAM",
				 (unsigned long long)size >> 20);
	return 0;
}

int memory_file_save(struct memory_save *save, struct err *e)
{
	AUTO_CLOSE int pagemap =
		save->dirty || save->read_all ? -1 : pagemap_open();
	struct saving s = {
		.save = save,
		.pagemap = pagemap,
		.page = (uint64_t)sysconf(_SC_PAGESIZE),
		.e = e,
	};

	save->written = 0;
	if (!save->sink && make_room(save, e))
		return -1;
	if (save_regions(&s))
		return -1;
	s.checking = true;
	return save->dirty && !save->onto_base ? save_regions(&s) : 0;
}

bool memory_file_can_tell_changed(void)
{
	AUTO_CLOSE int pagemap = pagemap_open();

	return pagemap >= 0 || (errno != ENOENT && errno != EACCES &&
				errno != EPERM && errno != ENOTDIR);
}

int memory_file_changed(const struct guest_mem *mem, unsigned index,
			uint64_t *bitmap, struct err *e)
{
	const struct guest_mem_region *r = &mem->region[index];
	AUTO_CLOSE int pagemap = pagemap_open();

	if (pagemap < 0 ||
	    pagemap_find(pagemap, mem, r->host,
			 r->size / (uint64_t)sysconf(_SC_PAGESIZE),
			 PAGEMAP_CHANGED, bitmap))
		return err_errno(e, "cannot tell which pages of guest RAM "
				    "changed");
	return 0;
}

/* ------------------------------------------------------------------ loading */

static int check_size(const struct guest_mem *mem, int fd, struct err *e)
{
	uint64_t size = guest_mem_size(mem);
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "cannot look at the memory file");
	if ((uint64_t)st.st_size != size)
		return err_set(e,
			       "the memory file has %lld bytes, and the "
			       "guest's RAM %llu",
			       (long long)st.st_size, (unsigned long long)size);
	return 0;
}

static int check_pages(const struct guest_mem *mem, int fd, struct err *e)
{
	uint64_t page = guest_mem_file_page(fd);

	if (page == guest_mem_page(mem))
		return 0;
	if (mem->pages == GUEST_MEM_2M)
		return err_set(e,
			       "Cannot restore hugetlbfs backed snapshot by "
			       "mapping the memory file. Please use uffd. "
			       "(Or copy it, with the backend `Eager` or "
			       "--eager; or load it with `huge_pages` None; "
			       "only a file on hugetlbfs with pages of 2 MiB "
			       "can be mapped.)");
	return err_set(e,
		       "the memory file is on hugetlbfs, and mapping it takes "
		       "pages of %llu KiB: load it with `huge_pages` 2M, or "
		       "copy it, with the backend `Eager` or --eager",
		       (unsigned long long)page >> 10);
}

int memory_file_map(struct guest_mem *mem, int fd, struct err *e)
{
	uint64_t offset = 0;

	if (check_size(mem, fd, e) || check_pages(mem, fd, e))
		return -1;
	/* The file's holes speed up the next save. */
	mem->keep_files = true;
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];

		if (guest_mem_load(mem, r->gpa, fd, offset, r->size, e))
			return err_prefix(e, "the memory file");
		offset += r->size;
	}
	return 0;
}

static int read_region(const struct guest_mem_region *r, int fd,
		       uint64_t offset, struct err *e)
{
	struct extent x = {.end = offset};
	int found;

	while ((found = extent_next(fd, x.end, offset + r->size, &x)) > 0) {
		ssize_t n = io_pread(fd, r->host + (x.at - offset),
				     x.end - x.at, x.at);

		if (n >= 0 && (uint64_t)n != x.end - x.at)
			return err_set(e, "the memory file became shorter");
		if (n < 0)
			return err_errno(e, "cannot read the memory file");
	}
	return found ? err_errno(e, "cannot read the memory file") : 0;
}

int memory_file_read(struct guest_mem *mem, int fd, struct err *e)
{
	uint64_t offset = 0;

	if (check_size(mem, fd, e))
		return -1;
	for (unsigned i = 0; i < mem->region_count; i++) {
		if (read_region(&mem->region[i], fd, offset, e))
			return -1;
		offset += mem->region[i].size;
	}
	return 0;
}
