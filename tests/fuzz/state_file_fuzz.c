/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any state file.  After a first byte that is even comes the file, which the
 * checksum nearly always refuses; after an odd one what is in it.  What is
 * loaded is printed, looked at as a working set, and saved again it is the same
 * bytes.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "core/io/io.h"
#include "snapshot/codec.h"
#include "snapshot/publish.h"
#include "snapshot/schema.h"
#include "snapshot/state_file.h"
#include "snapshot/working_set.h"
#include "tests/fuzz/fuzz.h"

enum { WORKING_SET_BYTES = 128 << 20 }; /* as the seeds have it */

static int make_file(const void *data, size_t size)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	must(fd >= 0 && !io_pwrite(fd, data, size, 0));
	return fd;
}

static void read_identity(const void *body, size_t len, uint16_t minor)
{
	struct snapshot_id id = {.offset = 1};
	struct snap s;

	snap_load(&s, body, len, minor);
	snapshot_id_state(&id, &s);
	must(!snap_failed(&s) || s.err.text[0]);
}

static void print(const void *body, size_t len, uint16_t minor)
{
	const struct schema_state state = {
		.body = body,
		.len = len,
		.minor = minor,
		.arch = &arch_schema,
	};
	static FILE *nowhere;
	struct err e[2] = {0};
	int r[2];

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	must(nowhere);
	for (int json = 0; json < 2; json++) {
		r[json] = schema_print(nowhere, &state, json, &e[json]);
		must(!r[json] || e[json].text[0]);
	}
	must(r[0] == r[1] && !strcmp(e[0].text, e[1].text));
}

/* All that it asks for is there, and no more than all. */
static bool is_bounded(const struct working_set *w)
{
	uint64_t all = WORKING_SET_BYTES / WORKING_SET_PAGE, pages = 0;

	for (uint32_t i = 0; i < w->range_count; i++) {
		const struct working_set_range *r = &w->range[i];

		if (r->page >= all || r->count > all - r->page)
			return false;
		pages += r->count;
	}
	return pages <= all;
}

static void read_working_set(int fd)
{
	static const uint8_t id[16];
	struct working_set w;
	char path[32];
	struct err e = {""};

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (working_set_load(&w, path, id, WORKING_SET_BYTES, &e))
		must(e.text[0]);
	else
		must(is_bounded(&w));
	working_set_fini(&w);
}

static void check_same(int fd, const void *body, size_t len)
{
	int again = memfd_create("state", MFD_CLOEXEC);
	uint8_t a[4096], b[4096];
	struct err e;
	ssize_t n;

	must(!state_file_save(again, body, len, &e));
	for (uint64_t at = 0; (n = io_pread(fd, a, sizeof(a), at)) > 0;
	     at += (uint64_t)n) {
		must(io_pread(again, b, sizeof(b), at) == n);
		must(!memcmp(a, b, (size_t)n));
	}
	close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {""};
	uint16_t minor;
	void *body;
	size_t len;
	int fd;

	if (!size)
		return 0;
	fd = make_file(data[0] & 1 ? "" : (const char *)data + 1,
		       data[0] & 1 ? 0 : size - 1);
	if (data[0] & 1)
		must(!state_file_save(fd, data + 1, size - 1, &e));
	if (state_file_load(fd, &body, &len, &minor, &e)) {
		must(e.text[0] && !(data[0] & 1));
		close(fd);
		return 0;
	}
	must(len <= size);
	read_identity(body, len, minor);
	print(body, len, minor);
	read_working_set(fd);
	if (minor == STATE_FILE_MINOR)
		check_same(fd, body, len);
	free(body);
	close(fd);
	return 0;
}
