/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl/trace_file.h"

#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"

enum {
	COUNT_MAX = 1 << 16,        /* of options and sections */
	OPTION_MAX_BYTES = 1 << 20, /* of those that are looked into */
	SECTION_BYTES = 16,         /* the head of a section */
	CPUS_MAX = 1 << 16,
};

/* The first section of options, and an option's head, are found from these. */
struct option_head {
	uint16_t id;
	uint32_t len;
} __attribute__((packed));

struct section_head {
	uint16_t id, flags;
	uint32_t name;
	uint64_t len;
} __attribute__((packed));

static int cut_off(struct err *e)
{
	return err_set(e, "the file is damaged, or is not whole: record it "
			  "again");
}

static int read_at(const struct trace_file *f, void *out, size_t len,
		   uint64_t offset, struct err *e)
{
	if (offset > f->size || len > f->size - offset)
		return cut_off(e);
	if (io_pread(f->fd, out, len, offset) != (ssize_t)len)
		return err_errno(e, "cannot read it");
	return 0;
}

/* ---------------------------------------------------------------- options */

/* What is left of an option. */
struct rest {
	const char *at;
	size_t len;
};

static bool take(struct rest *r, void *out, size_t len)
{
	if (len > r->len)
		return false;
	memcpy(out, r->at, len);
	r->at += len;
	r->len -= len;
	return true;
}

static const char *take_text(struct rest *r)
{
	const char *text = r->at;
	size_t len = strnlen(text, r->len);

	if (len == r->len)
		return NULL;
	r->at += len + 1;
	r->len -= len + 1;
	return text;
}

/* One CPU's events: its number, and where they are. */
static int check_cpu(struct trace_file *f, struct rest *r, struct err *e)
{
	uint32_t cpu;
	uint64_t offset, len;

	if (!take(r, &cpu, 4) || !take(r, &offset, 8) || !take(r, &len, 8))
		return cut_off(e);
	offset = le64toh(offset);
	len = le64toh(len);
	if (le32toh(cpu) >= CPUS_MAX || offset > f->size ||
	    len > f->size - offset)
		return cut_off(e);
	f->cpus = (unsigned)max_u64(f->cpus, le32toh(cpu) + 1ull);
	return 0;
}

/* A buffer of events: where, its name, its clock, its pages, its CPUs. */
static int take_buffer(struct trace_file *f, struct rest *r, struct err *e)
{
	uint64_t offset;
	uint32_t numbers[2] = {0};
	const char *name, *clock;

	if (!take(r, &offset, 8) || !(name = take_text(r)) ||
	    !(clock = take_text(r)) || !take(r, numbers, sizeof(numbers)))
		return cut_off(e);
	if (strcmp(clock, "mono_raw") != 0)
		return err_set(e, "its clock is not mono_raw, and no other can "
				  "be compared across guest and host: record "
				  "with -C mono_raw");
	for (uint32_t i = le32toh(numbers[1]); i > 0; i--) {
		if (check_cpu(f, r, e))
			return -1;
	}
	f->has_buffer |= !*name;
	return 0;
}

/* The number after @word, in seconds with six digits; in ns, or @missing. */
static int64_t stat_ns(const char *text, const char *word, int64_t missing)
{
	enum { S_MAX = 1 << 30 };
	const char *at = memmem(text, strlen(text), word, strlen(word));
	uint64_t s, us;
	char *end;

	if (!at)
		return missing;
	s = strtoull(at + strlen(word), &end, 10);
	if (*end != '.' || s > S_MAX)
		return missing;
	us = strtoull(end + 1, &end, 10);
	return us < 1000000 ? (int64_t)(s * 1000000 + us) * 1000 : missing;
}

/* What the kernel said of one CPU's events. */
static void take_stat(struct trace_file *f, struct rest *r)
{
	const char *text = take_text(r);
	int64_t ns;

	if (!text)
		return;
	ns = stat_ns(text, "now ts:", 0);
	f->end_ns = ns > f->end_ns ? ns : f->end_ns;
	/* 0: it has no event. */
	ns = stat_ns(text, "oldest event ts:", 0);
	if (ns && ns < f->oldest_ns)
		f->oldest_ns = ns;
}

static int take_option(struct trace_file *f, uint16_t id, struct rest *r,
		       struct err *e)
{
	uint32_t cpus;

	switch (id) {
	case TRACE_OPTION_CPUSTAT:
		take_stat(f, r);
		return 0;
	case TRACE_OPTION_BUFFER:
		return take_buffer(f, r, e);
	case TRACE_OPTION_CPUCOUNT:
		if (!take(r, &cpus, 4) || le32toh(cpus) > CPUS_MAX)
			return cut_off(e);
		f->cpus = (unsigned)max_u64(f->cpus, le32toh(cpus));
		return 0;
	case TRACE_OPTION_TRACEID:
		if (!take(r, &f->id, 8))
			return cut_off(e);
		f->id = le64toh(f->id);
		return 0;
	case TRACE_OPTION_TIME_SHIFT:
		f->is_shifted = true;
		return 0;
	default:
		return 0;
	}
}

static bool is_looked_into(uint16_t id)
{
	return id == TRACE_OPTION_CPUSTAT || id == TRACE_OPTION_BUFFER ||
	       id == TRACE_OPTION_CPUCOUNT || id == TRACE_OPTION_TRACEID ||
	       id == TRACE_OPTION_TIME_SHIFT;
}

/* Look at the option at @offset, whose data has @len bytes. */
static int read_option(struct trace_file *f, uint16_t id, uint64_t offset,
		       uint32_t len, struct err *e)
{
	struct rest rest = {.len = len};
	char *data;
	int r;

	if (len > f->size || offset > f->size - len)
		return cut_off(e);
	if (!is_looked_into(id))
		return 0;
	if (len > OPTION_MAX_BYTES)
		return cut_off(e);
	rest.at = data = calloc(1, len + 1ull);
	if (!data)
		return err_errno(e, "cannot read it");
	r = read_at(f, data, len, offset, e);
	/* The kernel's words have no end of their own. */
	if (id == TRACE_OPTION_CPUSTAT)
		data[rest.len++] = 0;
	if (!r)
		r = take_option(f, id, &rest, e);
	free(data);
	return r;
}

/*
 * Read the section of options at @offset.  *next is the place of the next one,
 * or 0.  @count: options so far.
 */
static int read_section(struct trace_file *f, uint64_t offset, uint64_t *next,
			unsigned *count, struct err *e)
{
	struct option_head head = {0};

	for (offset += SECTION_BYTES;; offset += le32toh(head.len)) {
		if (++*count > COUNT_MAX)
			return cut_off(e);
		if (read_at(f, &head, sizeof(head), offset, e))
			return -1;
		offset += sizeof(head);
		if (le16toh(head.id) == TRACE_OPTION_DONE)
			break;
		if (read_option(f, le16toh(head.id), offset, le32toh(head.len),
				e))
			return -1;
	}
	f->link = offset;
	if (le32toh(head.len) != 8 || read_at(f, next, 8, offset, e))
		return cut_off(e);
	*next = le64toh(*next);
	/* They are written one after the other; others could go in circles. */
	return *next && *next <= offset ? cut_off(e) : 0;
}

static int read_options(struct trace_file *f, uint64_t first, struct err *e)
{
	struct section_head head = {0};
	unsigned count = 0;

	for (uint64_t at = first; at;) {
		if (read_at(f, &head, sizeof(head), at, e))
			return -1;
		if (le16toh(head.id) != TRACE_OPTION_DONE || head.flags)
			return cut_off(e);
		if (read_section(f, at, &at, &count, e))
			return -1;
	}
	return 0;
}

/* ------------------------------------------------------------- the head */

/* The text at *at of the head's @len bytes; *at is then behind it. */
static const char *head_text(const char *head, size_t len, size_t *at)
{
	struct rest r = {head + *at, len - *at};
	const char *text = take_text(&r);

	*at = len - r.len;
	return text;
}

/* Sections follow each other from @at to the end of the file. */
static int check_sections(const struct trace_file *f, uint64_t at,
			  struct err *e)
{
	struct section_head head = {0};

	for (int n = 0; at != f->size; n++) {
		if (n == COUNT_MAX || read_at(f, &head, sizeof(head), at, e))
			return cut_off(e);
		at += sizeof(head);
		if (le64toh(head.len) > f->size - at)
			return cut_off(e);
		at += le64toh(head.len);
	}
	return 0;
}

/*
 * Find the first options, and the end of the head: magic, version, byte order,
 * size of a long, size of a page, compression and its version, where the first
 * options are.
 */
static int read_head(const struct trace_file *f, uint64_t *first, uint64_t *end,
		     struct err *e)
{
	static const char magic[] = "\x17\x08\x44tracing";
	enum { FIXED = 6, MAGIC = sizeof(magic) - 1 };
	char head[256] = {0};
	size_t len = (size_t)min_u64(sizeof(head), f->size), at = MAGIC;
	const char *version;

	if (len < 32 || read_at(f, head, len, 0, e) ||
	    memcmp(head, magic, MAGIC) != 0)
		return err_set(e, "it is not a file of trace-cmd: give what "
				  "trace-cmd record wrote");
	version = head_text(head, len, &at);
	if (!version || strcmp(version, "7") != 0)
		return err_set(e, "it is not version 7 of trace-cmd's format: "
				  "convert it with trace-cmd convert "
				  "--file-version 7");
	if (at + FIXED > len || head[at] != 0)
		return err_set(e, "it is of a big-endian machine, which no "
				  "guest or host is");
	at += FIXED;
	for (int i = 0; i < 2; i++) {
		if (!head_text(head, len, &at))
			return cut_off(e);
	}
	if (at + 8 > len)
		return cut_off(e);
	memcpy(first, head + at, 8);
	*first = le64toh(*first);
	*end = at + 8;
	return *first >= *end ? 0 : cut_off(e);
}

int trace_file_read(struct trace_file *file, int fd, uint64_t size,
		    struct err *e)
{
	uint64_t first = 0, end = 0;

	*file = (struct trace_file){
		.fd = fd, .size = size, .oldest_ns = INT64_MAX};
	if (read_head(file, &first, &end, e) || check_sections(file, end, e) ||
	    read_options(file, first, e))
		return -1;
	if (!file->has_buffer || !file->cpus)
		return err_set(e, "it has no events: record it again");
	return 0;
}

/* ------------------------------------------------------------------- copy */

void trace_option_add(struct buf *options, enum trace_option id,
		      const void *data, uint32_t len)
{
	struct option_head head = {htole16((uint16_t)id), htole32(len)};

	buf_add(options, &head, sizeof(head));
	buf_add(options, data, len);
}

static int copy_bytes(const struct trace_file *f, int out, struct err *e)
{
	char chunk[65536];
	uint64_t at = 0;

	while (at < f->size) {
		size_t n = (size_t)min_u64(sizeof(chunk), f->size - at);

		if (read_at(f, chunk, n, at, e))
			return -1;
		if (io_pwrite(out, chunk, n, at))
			return err_errno(e, "cannot write the copy");
		at += n;
	}
	return 0;
}

/*
 * The link to the new options was written into the copy.  In a hostile file,
 * whose parts may overlap, it is the place of something else, too.
 */
static int check_copy(const struct trace_file *f, int out, uint64_t size,
		      struct err *e)
{
	struct trace_file copy;
	struct err why = {""};

	if (!trace_file_read(&copy, out, size, &why) && copy.id == f->id &&
	    copy.cpus == f->cpus && copy.oldest_ns == f->oldest_ns &&
	    copy.end_ns == f->end_ns)
		return 0;
	return err_set(e, "it is damaged: its parts overlap");
}

int trace_file_copy(const struct trace_file *file, int out,
		    const struct buf *options, struct err *e)
{
	static const uint64_t none = 0;
	const uint64_t place = htole64(file->size);
	struct section_head head = {.id = htole16(TRACE_OPTION_DONE)};
	struct buf all = {0};
	int r;

	head.len = htole64(options->len + sizeof(struct option_head) + 8);
	buf_add(&all, &head, sizeof(head));
	buf_add(&all, options->data, options->len);
	trace_option_add(&all, TRACE_OPTION_DONE, &none, 8);
	r = copy_bytes(file, out, e);
	if (!r && (io_pwrite(out, all.data, all.len, file->size) ||
		   io_pwrite(out, &place, 8, file->link)))
		r = err_errno(e, "cannot write the copy");
	if (!r)
		r = check_copy(file, out, file->size + all.len, e);
	buf_free(&all);
	return r;
}
