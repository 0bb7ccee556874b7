/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as a guest's trace, or (first byte odd) a text as the answer of GET
 * /clock: what is taken makes a copy that is taken, too, and knows that it was
 * merged; all else is refused in words.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/json/json.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/ctl/ctl_clock.h"
#include "vmm/ctl/trace_file.h"
#include "vmm/ctl/trace_shift.h"

static int in = -1, out = -1;

static void check_shift(const struct trace_shift *shift)
{
	struct buf options = {0};

	must(shift->count && shift->count <= TRACE_STRETCHES_MAX);
	must(shift->stretch[0].from_ns >= 0);
	for (unsigned i = 1; i < shift->count; i++)
		must(shift->stretch[i - 1].from_ns < shift->stretch[i].from_ns);
	trace_shift_print(shift, 1, 2, &options);
	must(options.len == 6 + 16 + 2 * (4 + 32 * (shift->count + 2ul)));
	buf_free(&options);
}

static void read_clock(const uint8_t *data, size_t size)
{
	const struct trace_pair pair = {.counter = 1000, .ns = 2000};
	struct trace_shift shift;
	struct clock_answer answer;
	struct err e = {""};
	struct json_t *json = json_parse((const char *)data, size, &e);

	if (json && !clock_answer_read(&answer, json, &e) &&
	    !trace_shift_make(&shift, &answer, &pair, &e))
		check_shift(&shift);
	else
		must(e.text[0]);
	json_free(json);
}

static void read_file(const uint8_t *data, size_t size)
{
	struct trace_file file, copy;
	struct buf options = {0};
	struct err e = {""};
	off_t len;

	must(!ftruncate(in, 0) && !ftruncate(out, 0));
	must(pwrite(in, data, size, 0) == (ssize_t)size);
	if (trace_file_read(&file, in, size, &e)) {
		must(e.text[0] && !strchr(e.text, '\n'));
		return;
	}
	must(file.cpus && file.has_buffer);
	must(file.link <= size && size - file.link >= 8);
	trace_option_add(&options, TRACE_OPTION_TIME_SHIFT, "merged", 6);
	if (trace_file_copy(&file, out, &options, &e)) {
		must(strstr(e.text, "overlap"));
	} else {
		len = lseek(out, 0, SEEK_END);
		must(!trace_file_read(&copy, out, (uint64_t)len, &e));
		must(copy.is_shifted && copy.id == file.id &&
		     copy.cpus == file.cpus);
		must(copy.oldest_ns == file.oldest_ns &&
		     copy.end_ns == file.end_ns);
	}
	buf_free(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (in < 0) {
		in = memfd_create("in", MFD_CLOEXEC);
		out = memfd_create("out", MFD_CLOEXEC);
		must(in >= 0 && out >= 0);
	}
	if (size && data[0] & 1)
		read_clock(data + 1, size - 1);
	else if (size)
		read_file(data + 1, size - 1);
	return 0;
}
