/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/working_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bits.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"
#include "snapshot/codec.h"
#include "snapshot/memory/pagemap.h"
#include "snapshot/state_file.h"

enum { CHUNK = 4096 }; /* pages per pagemap_find() */

void working_set_fini(struct working_set *w)
{
	free(w->range);
	free(w->seen);
	*w = (struct working_set){0};
}

/* ---------------------------------------------------------------- the file */

static void range_state(struct working_set_range *r, uint64_t *left,
			uint64_t pages, struct snap *s)
{
	snap_u32(s, &r->page);
	snap_u32(s, &r->count);
	snap_require(s,
		     r->count && r->page < pages && r->count <= pages - r->page,
		     "working set: range");
	/* Bounded, because a small file could request more than all memory. */
	snap_require(s, r->count <= *left, "working set: pages");
	*left -= r->count;
}

static void working_set_state(struct working_set *w, struct snap *s)
{
	uint64_t pages, left;

	snap_begin(s, SNAP_TAG('w', 's', 'e', 't'));
	snap_bytes(s, w->id, sizeof(w->id));
	snap_u64(s, &w->memory_size);
	snap_count(s, &w->range_count, WORKING_SET_RANGES_MAX);
	if (snap_loading(s) && !snap_failed(s)) {
		w->range = calloc(w->range_count + 1, sizeof(w->range[0]));
		snap_require(s, w->range, "working set: memory for it");
	}
	pages = left = w->memory_size / WORKING_SET_PAGE;
	for (uint32_t i = 0; i < w->range_count && !snap_failed(s); i++)
		range_state(&w->range[i], &left, pages, s);
	snap_end(s);
}

int working_set_save(struct working_set *w, int fd, struct err *e)
{
	struct snap s;
	size_t len;
	int r;

	snap_save(&s, SNAPSHOT_VERSION);
	working_set_state(w, &s);
	r = snap_finish(&s, e);
	if (!r) {
		const void *data = snap_data(&s, &len);

		r = state_file_save(fd, data, len, e);
	}
	snap_fini(&s);
	return r;
}

int working_set_load(struct working_set *w, const char *path,
		     const uint8_t id[16], uint64_t memory_size, struct err *e)
{
	AUTO_FREE void *body = NULL;
	uint16_t minor;
	struct snap s;
	uint64_t size;
	size_t len;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	*w = (struct working_set){0};
	if (fd < 0)
		return -1;
	if (state_file_load(fd, &body, &len, &minor, e))
		return err_prefix(e, "%.512s", path);
	snap_load(&s, body, len, snap_version_of(minor));
	working_set_state(w, &s);
	if (snap_finish(&s, e))
		return err_prefix(e, "%.512s", path);
	if (memcmp(w->id, id, sizeof(w->id)) != 0 ||
	    w->memory_size != memory_size)
		return err_set(e, "%.512s is of another snapshot", path);
	return 0;
}

/* --------------------------------------------------------------- recording */

/* Add @count pages of the memory file from @page. */
static void add(struct working_set *w, uint64_t page, uint64_t count)
{
	struct working_set_range *r = w->range;

	if (bits_has(w->seen, page))
		return;
	if (w->range_count)
		r += w->range_count - 1;
	if (w->range_count && r->page + (uint64_t)r->count == page)
		r->count += (uint32_t)count;
	else if (w->range_count < WORKING_SET_RANGES_MAX)
		w->range[w->range_count++] = (struct working_set_range){
			.page = (uint32_t)page,
			.count = (uint32_t)count,
		};
	else
		return;
	for (uint64_t i = page; i < page + count; i++)
		bits_add(w->seen, i);
}

static int prepare(struct working_set *w, uint64_t size, struct err *e)
{
	if (w->seen)
		return 0;
	if (size / WORKING_SET_PAGE > UINT32_MAX)
		return err_set(e, "the memory is too large to record which "
				  "pages of it are used");
	w->seen = calloc(size / WORKING_SET_PAGE / 64 + 1, sizeof(uint64_t));
	w->range = calloc(WORKING_SET_RANGES_MAX, sizeof(w->range[0]));
	if (w->seen && w->range)
		return 0;
	return err_errno(e, "cannot record which pages of guest RAM are used");
}

/* Add the touched pages of a region; @first: its first page in the file. */
static int sample_region(struct working_set *w, int pagemap,
			 const struct guest_mem *mem,
			 const struct guest_mem_region *r, uint64_t first)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t units = page / WORKING_SET_PAGE, touched[CHUNK / 64];

	for (uint64_t at = 0; at < r->size / page; at += CHUNK) {
		uint64_t n = min_u64(r->size / page - at, CHUNK);

		memset(touched, 0, sizeof(touched));
		if (pagemap_find(pagemap, mem, r->host + at * page, n,
				 PAGEMAP_TOUCHED, touched))
			return -1;
		for (uint64_t i = 0; i < n; i++) {
			if (bits_has(touched, i))
				add(w, first + (at + i) * units, units);
		}
	}
	return 0;
}

int working_set_sample(struct working_set *w, const struct guest_mem *mem,
		       struct err *e)
{
	AUTO_CLOSE int pagemap = pagemap_open();
	uint64_t first = 0;

	if (prepare(w, guest_mem_size(mem), e))
		return -1;
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];

		if (pagemap < 0 || sample_region(w, pagemap, mem, r, first))
			return err_errno(e, "cannot tell which pages of guest "
					    "RAM are used");
		first += r->size / WORKING_SET_PAGE;
	}
	return 0;
}
