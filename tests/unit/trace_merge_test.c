/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis trace-merge`: vmm/ctl/trace_*.c. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/util.h"
#include "tests/unit/ctl_server.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/trace_file.h"

enum { HOST_ID = 0x1122334455667788, GUEST_ID = 0x99 };

/*
 * A guest of 100 MHz with a clock that began when its counter was at 1 s.  It
 * was frozen for 10 s at 20 s, and for 5 s at 30 s.  The host's clock is 2 s
 * ahead of its counter.
 */
#define PAIR "--guest=3500000000:34000000000"
#define CLOCK(threads, history)                                               \
	"{\"hz\":100000000,\"host_counter\":5500000000,\"offset\":2000000000" \
	",\"guest_counter\":3500000000,\"host_monotonic_raw_ns\":57000000000" \
	",\"vcpu_threads\":" threads ",\"history\":" history "}"
#define HISTORY                                                 \
	"[{\"guest_counter\":0,\"offset\":500000000},"          \
	"{\"guest_counter\":2000000000,\"offset\":500000000},"  \
	"{\"guest_counter\":2000000000,\"offset\":1500000000}," \
	"{\"guest_counter\":2500000000,\"offset\":1500000000}," \
	"{\"guest_counter\":3000000000,\"offset\":1500000000}," \
	"{\"guest_counter\":3000000000,\"offset\":2000000000}]"
static const char *const told = CLOCK("[4711,4712]", HISTORY);

static char folder[] = "/tmp/trace_merge_testXXXXXX";
static char host_path[64], guest_path[64], out[64];

/* ------------------------------------------------------------------- traces */

/* What is unusual about a file; 0 and NULL: nothing. */
struct recording {
	uint64_t id;
	const char *version, *clock, *oldest, *end;
	uint32_t cpus;
	bool no_id, no_buffer, circular, big_endian;
};

static const struct recording plain;

static const char *either(const char *text, const char *usual)
{
	return text ? text : usual;
}

static void add(struct buf *b, uint64_t value, size_t len)
{
	buf_add(b, &value, len);
}

static void add_buffer(struct buf *options, const struct recording *r)
{
	struct buf data = {0};

	add(&data, 32, 8);
	buf_add(&data, "", 1);
	buf_text(&data, either(r->clock, "mono_raw"));
	add(&data, 0, 1);
	add(&data, 4096, 4);
	add(&data, 1, 4); /* one CPU has events: */
	add(&data, 1, 4);
	add(&data, 48, 8);
	add(&data, 16, 8);
	trace_option_add(options, TRACE_OPTION_BUFFER, data.data,
			 (uint32_t)data.len);
	buf_free(&data);
}

static void add_section(struct buf *b, const struct buf *options, uint64_t next)
{
	add(b, 0, 8);
	add(b, options->len + 14, 8);
	buf_add(b, options->data, options->len);
	trace_option_add(b, TRACE_OPTION_DONE, &next, 8);
}

/* Two sections of options, as trace-cmd writes them. */
static void record(struct buf *b, const struct recording *r)
{
	struct buf first = {0}, second = {0}, stat = {0};
	uint64_t start = 64, id = r->id ? r->id : GUEST_ID;
	uint32_t cpus = r->cpus ? r->cpus : 2;

	buf_text(b, "\x17\x08\x44tracing");
	buf_text(b, either(r->version, "7"));
	add(b, 0, 1);
	add(b, r->big_endian, 1);
	add(b, 8, 1);
	add(b, 4096, 4);
	buf_add(b, "none\0", 6);
	add(b, start, 8);
	add(b, 3, 8); /* a section of 16 bytes, which are events */
	add(b, 16, 8);
	add(b, 0xeeeeeeee, 8);
	add(b, 0xeeeeeeee, 8);
	buf_printf(&stat,
		   "CPU: 0\nentries: 8\noldest event ts: %s\nnow ts: %s\n",
		   either(r->oldest, "     9.000000"),
		   either(r->end, "    33.500000"));
	trace_option_add(&first, TRACE_OPTION_CPUSTAT, stat.data,
			 (uint32_t)stat.len);
	trace_option_add(&first, TRACE_OPTION_CPUCOUNT, &cpus, 4);
	if (!r->no_id)
		trace_option_add(&first, TRACE_OPTION_TRACEID, &id, 8);
	add_section(b, &first,
		    r->circular ? start : start + first.len + 16 + 14);
	if (!r->no_buffer)
		add_buffer(&second, r);
	add_section(b, &second, 0);
	add(b, 15, 8); /* the sections' names, which nobody needs */
	add(b, 4, 8);
	add(b, 0, 4);
	buf_free(&first);
	buf_free(&second);
	buf_free(&stat);
}

static void save(const char *name, const void *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void save_recording(const char *name, const struct recording *r)
{
	struct buf b = {0};

	record(&b, r);
	save(name, b.data, b.len);
	buf_free(&b);
}

static int merge_by(const char *clock, const char *pair)
{
	char text[4096], to[80];

	snprintf(text, sizeof(text),
		 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(clock), clock);
	snprintf(to, sizeof(to), "--out=%s", out);
	server.answer = text;
	command = cli_trace_merge;
	return served(host_path, guest_path, pair, to);
}

static bool is_there(const char *name)
{
	char whole[96];

	snprintf(whole, sizeof(whole), "%s/%s", out, name);
	return !access(whole, F_OK);
}

static void load(const char *name, char *data, size_t size, size_t *len)
{
	char whole[96];
	int fd;

	snprintf(whole, sizeof(whole), "%s/%s", out, name);
	fd = open(whole, O_RDONLY);
	assert_true(fd >= 0);
	*len = testing_read_all(fd, data, size);
	close(fd);
}

static size_t size_of(const char *name)
{
	char data[4096];
	int fd = open(name, O_RDONLY);
	size_t len;

	assert_true(fd >= 0);
	len = testing_read_all(fd, data, sizeof(data));
	close(fd);
	return len;
}

static int prepare(void **state)
{
	struct recording host = plain;

	server_begin(state);
	host.id = HOST_ID;
	host.cpus = 64;
	host.oldest = "10.000000";
	host.end = "60.000000";
	save_recording(host_path, &host);
	save_recording(guest_path, &plain);
	return 0;
}

static int tidy(void **state)
{
	char whole[96];

	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(whole, sizeof(whole), "%s/%s", out,
			 i ? "host.dat" : "guest.dat");
		unlink(whole);
	}
	rmdir(out);
	return 0;
}

/* ---------------------------------------------------------- what is written */

static uint64_t number(const char **at, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, *at, len);
	*at += len;
	return value;
}

/* The option @id in the section at @at, which is the file's last. */
static const char *option(const char *file, size_t len, size_t at, unsigned id)
{
	const char *p = file + at + 16;
	unsigned found = (unsigned)number(&p, 2);
	size_t size = (size_t)number(&p, 4);

	assert_int_equal(found, id);
	assert_memory_equal(p + size, "\0\0\10\0\0\0\0\0\0\0\0\0\0\0", 14);
	assert_int_equal((size_t)(p - file) + size + 14, len);
	return p;
}

/*
 * What trace-cmd makes of @ns with @n times and offsets, not interpolated: the
 * last two are only the end, and of two it takes the first.
 */
static int64_t shifted(const int64_t *time, const int64_t *offset, unsigned n,
		       int64_t ns)
{
	unsigned i = 0;

	if (n == 1 || n == 2)
		return ns + offset[0];
	/* Times are compared as unsigned. */
	while (i + 2 < n && (uint64_t)ns > (uint64_t)time[0] &&
	       (uint64_t)ns >= (uint64_t)time[i + 1])
		i++;
	return ns + offset[i];
}

static void each_event_gets_the_offset_of_its_stretch(void **state)
{
	static const struct {
		int64_t guest_ns, host_ns;
	} rows[] = {
		{0, 8000000000},            /* the counters: 1 s, 6 s */
		{18999999999, 26999999999}, /* just before the pause */
		{19000000000, 37000000000}, /* just after it */
		{24000000000, 42000000000}, /* a continuous pause */
		{28999999999, 46999999999},
		{29000000000, 52000000000},
		{4000000000000, 4023000000000},
	};
	char file[65536];
	size_t len;
	const char *p;

	(void)state;
	assert_int_equal(merge_by(told, PAIR), EXIT_OK);
	assert_contains(printed, "3 offsets");
	load("guest.dat", file, sizeof(file), &len);
	p = option(file, len, size_of(guest_path), TRACE_OPTION_TIME_SHIFT);
	assert_int_equal(number(&p, 8), HOST_ID);
	assert_int_equal(number(&p, 4), 0);
	assert_int_equal(number(&p, 4), 2);
	for (int cpu = 0; cpu < 2; cpu++) {
		int64_t time[8], offset[8];
		unsigned n = (unsigned)number(&p, 4);

		assert_in_range(n, 1, 8);
		memcpy(time, p, 8 * n);
		memcpy(offset, p + 8 * n, 8 * n);
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			assert_int_equal(
				shifted(time, offset, n, rows[i].guest_ns),
				rows[i].host_ns);
		p += 16 * n;
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(number(&p, 8), 1);
	}
}

static void the_host_knows_the_threads_of_vcpus(void **state)
{
	char file[65536], before[4096];
	size_t len, n;
	const char *p;
	int fd = open(host_path, O_RDONLY);

	(void)state;
	assert_true(fd >= 0);
	n = testing_read_all(fd, before, sizeof(before));
	close(fd);
	assert_int_equal(merge_by(told, PAIR), EXIT_OK);
	load("host.dat", file, sizeof(file), &len);
	p = option(file, len, n, TRACE_OPTION_GUEST);
	assert_string_equal(p, "guest.dat");
	p += sizeof("guest.dat");
	assert_int_equal(number(&p, 8), GUEST_ID);
	assert_int_equal(number(&p, 4), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(number(&p, 4), i);
		assert_int_equal(number(&p, 4), 4711 + i);
	}
	/* All else is as it was but the place of the new section. */
	assert_memory_equal(file, before, n - 28);
	p = file + n - 28;
	assert_int_equal(number(&p, 8), n);
	assert_memory_equal(p, before + n - 20, 20);
}

/* In one line, which has @why, and nothing is written. */
static void assert_refused(const char *clock, const char *pair, const char *why)
{
	assert_int_not_equal(merge_by(clock, pair), EXIT_OK);
	assert_contains(complained, why);
	assert_ptr_equal(strchr(complained, '\n'),
			 complained + strlen(complained) - 1);
	assert_int_not_equal(access(out, F_OK), 0);
}

static void what_is_no_whole_trace_is_refused(void **state)
{
	enum { STRINGS_BYTES = 20 };
	struct buf b = {0};

	(void)state;
	record(&b, &plain);
	for (size_t len = 0; len < b.len; len++) {
		/* Without its last section, of strings, it is whole. */
		if (len == b.len - STRINGS_BYTES)
			continue;
		save(guest_path, b.data, len);
		assert_refused(told, PAIR, "guest.dat: ");
	}
	memset(b.data, 0x7f, 10);
	save(guest_path, b.data, b.len);
	assert_refused(told, PAIR, "not a file of trace-cmd");
	buf_free(&b);
	unlink(guest_path);
	assert_refused(told, PAIR, "guest.dat");
}

static void files_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		const char *why;
		struct recording r;
	} rows[] = {
		{"convert it with trace-cmd convert", {.version = "6"}},
		{"record with -C mono_raw", {.clock = "local"}},
		{"has no number of its own", {.no_id = true}},
		{"it has 3 CPUs, the VM has 2", {.cpus = 3}},
		{"ends after this VM's clock", {.end = "34.100000"}},
		{"has no events", {.no_buffer = true}},
		{"is damaged", {.circular = true}},
		{"is damaged", {.cpus = 1u << 31}},
		{"big-endian", {.big_endian = true}},
		{"both files are", {.id = HOST_ID}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		save_recording(guest_path, &rows[i].r);
		assert_refused(told, PAIR, rows[i].why);
	}
}

static void a_trace_from_before_the_history_is_refused(void **state)
{
	const char *const restored =
		CLOCK("[1,2]",
		      "[{\"guest_counter\":2000000000,\"offset\":2000000000}]");
	struct recording r = plain;

	(void)state;
	assert_refused(restored, PAIR, "begins before what GET /clock");
	r.oldest = "19.000000";
	save_recording(guest_path, &r);
	assert_int_equal(merge_by(restored, PAIR), EXIT_OK);
	assert_contains(printed, "1 offset\n");
}

static void a_host_of_another_boot_is_refused(void **state)
{
	struct recording r = plain;

	(void)state;
	r.id = HOST_ID;
	r.oldest = "58.000000";
	save_recording(host_path, &r);
	assert_refused(told, PAIR, "of another boot");
}

static void what_was_merged_is_not_merged_again(void **state)
{
	char file[65536];
	size_t len;

	assert_int_equal(merge_by(told, PAIR), EXIT_OK);
	load("guest.dat", file, sizeof(file), &len);
	/* The copies are not overwritten. */
	assert_int_equal(merge_by(told, PAIR), EXIT_FAILED);
	assert_contains(complained, "cannot create");
	assert_true(is_there("host.dat") && is_there("guest.dat"));
	tidy(state);
	save(guest_path, file, len);
	assert_refused(told, PAIR, "has been merged");
}

static void clocks_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		const char *clock, *why;
	} rows[] = {
		{"{}", "not a valid answer of GET /clock"},
		{CLOCK("[]", HISTORY), "no threads of vCPUs"},
		{CLOCK("{}", HISTORY), "no threads of vCPUs"},
		{CLOCK("[1,0]", HISTORY), "a vCPU has no thread"},
		{CLOCK("[1,99999999999]", HISTORY), "a vCPU has no thread"},
		{CLOCK("[1,2]", "[]"), "has no history"},
		{CLOCK("[1,2]", "[7]"), "makes no sense"},
		{CLOCK("[1,2]", "[{\"guest_counter\":3000000000,\"offset\":1},"
				"{\"guest_counter\":2000000000,\"offset\":2}]"),
		 "makes no sense"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i].clock, PAIR, rows[i].why);
	assert_refused(told, "--guest=3500000001:34000000010", "has not shown");
	assert_refused(told, "--guest=1", "COUNTER:NS");
}

/* More than trace-merge has room for. */
static void a_history_without_end_is_refused(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_text(&b, "{\"hz\":100000000,\"guest_counter\":3500000000,"
		     "\"vcpu_threads\":[1,2],\"history\":[");
	for (int i = 0; i < 65; i++)
		buf_printf(&b, "%s{\"guest_counter\":%d,\"offset\":%d}",
			   i ? "," : "", 200000000 + i, i);
	buf_text(&b, "]}");
	assert_refused(b.data, PAIR, "makes no sense");
	buf_free(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, tidy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_event_gets_the_offset_of_its_stretch),
		TEST(the_host_knows_the_threads_of_vcpus),
		TEST(what_is_no_whole_trace_is_refused),
		TEST(files_that_do_not_fit_are_refused),
		TEST(a_trace_from_before_the_history_is_refused),
		TEST(a_host_of_another_boot_is_refused),
		TEST(what_was_merged_is_not_merged_again),
		TEST(clocks_that_do_not_fit_are_refused),
		TEST(a_history_without_end_is_refused),
	};

	if (!mkdtemp(folder))
		return 1;
	snprintf(host_path, sizeof(host_path), "%s/host.dat", folder);
	snprintf(guest_path, sizeof(guest_path), "%s/guest.dat", folder);
	snprintf(out, sizeof(out), "%s/out", folder);
	return cmocka_run_group_tests_name(
		"trace_merge", tests, server_make_folder, server_remove_folder);
}
