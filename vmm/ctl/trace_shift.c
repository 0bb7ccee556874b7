/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl/trace_shift.h"

#include <endian.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/json/json.h"
#include "vmm/ctl/ctl_clock.h"
#include "vmm/ctl/trace_file.h"

/* @ticks, as a signed number, in ns. */
static int64_t ticks_ns(const struct clock_answer *answer, uint64_t ticks)
{
	return (int64_t)((__int128)(int64_t)ticks * 1000000000 / answer->hz);
}

static int64_t guest_ns(const struct clock_answer *answer,
			const struct trace_pair *pair, uint64_t counter)
{
	return (int64_t)((uint64_t)pair->ns +
			 (uint64_t)ticks_ns(answer, counter - pair->counter));
}

/*
 * trace-cmd takes times for unsigned, and of those that are equal the first.
 * So what was over before the guest's clock began is left out.
 */
static int add_stretch(struct trace_shift *shift,
		       const struct clock_answer *answer,
		       const struct trace_pair *pair, uint64_t counter,
		       uint64_t offset)
{
	struct trace_stretch *s = &shift->stretch[shift->count];
	int64_t from = guest_ns(answer, pair, counter);
	uint64_t host = pair->counter + offset;

	/* A resume with the same offset changes nothing. */
	if (shift->count && s[-1].offset == offset)
		return 0;
	from = from < 0 ? 0 : from;
	if (shift->count && from < s[-1].from_ns)
		return -1;
	if (shift->count && from == s[-1].from_ns)
		s--;
	else if (shift->count++ == TRACE_STRETCHES_MAX)
		return -1;
	*s = (struct trace_stretch){
		.from_ns = from,
		.counter = counter,
		.offset = offset,
	};
	/* What the host's clock was, when the guest's was pair->ns. */
	host -= (uint64_t)answer->host_counter;
	s->add_ns = (int64_t)((uint64_t)answer->host_raw_ns +
			      (uint64_t)ticks_ns(answer, host) -
			      (uint64_t)pair->ns);
	return 0;
}

int trace_shift_make(struct trace_shift *shift,
		     const struct clock_answer *answer,
		     const struct trace_pair *pair, struct err *e)
{
	int n = json_array_len(answer->history);
	int64_t first = 0;

	shift->count = 0;
	shift->end_ns = guest_ns(answer, pair, (uint64_t)answer->guest_counter);
	shift->host_ns = answer->host_raw_ns;
	for (int i = 0; i < n; i++) {
		const struct json_t *event =
			json_array_at(answer->history, (unsigned)i);
		int64_t counter, offset;

		if (!json_i64(json_member(event, "guest_counter"), &counter) ||
		    !json_i64(json_member(event, "offset"), &offset) ||
		    add_stretch(shift, answer, pair, (uint64_t)counter,
				(uint64_t)offset))
			return err_set(e, "the history of its clock makes no "
					  "sense");
	}
	json_i64(
		json_member(json_array_at(answer->history, 0), "guest_counter"),
		&first);
	if (!shift->count)
		return err_set(e, "its clock has no history: has it started?");
	if ((int64_t)(pair->counter - (uint64_t)first) < 0 ||
	    (int64_t)((uint64_t)answer->guest_counter - pair->counter) < 0)
		return err_set(e, "--guest has a counter that this VM's clock "
				  "has not shown: run `clock-follow --pair` in "
				  "this guest, and ask for the clock after it");
	return 0;
}

/* ---------------------------------------------------------------- options */

static void add_u32(struct buf *out, uint32_t value)
{
	value = htole32(value);
	buf_add(out, &value, sizeof(value));
}

static void add_u64(struct buf *out, uint64_t value)
{
	value = htole64(value);
	buf_add(out, &value, sizeof(value));
}

/*
 * One number of each stretch, and of two more at the end of time: trace-cmd
 * takes the offset of the last element but one for all that is later, and with
 * less than three elements it knows one offset only.
 */
static void add_column(const struct trace_shift *shift, bool times,
		       struct buf *out)
{
	const struct trace_stretch *s = shift->stretch;

	for (unsigned i = 0; i < shift->count; i++)
		add_u64(out, (uint64_t)(times ? s[i].from_ns : s[i].add_ns));
	for (int i = 1; i >= 0; i--)
		add_u64(out, times ? (uint64_t)(INT64_MAX - i)
				   : (uint64_t)s[shift->count - 1].add_ns);
}

static void add_constant(const struct trace_shift *shift, uint64_t value,
			 struct buf *out)
{
	for (unsigned i = 0; i < shift->count + 2; i++)
		add_u64(out, value);
}

void trace_shift_print(const struct trace_shift *shift, uint64_t host_id,
		       unsigned vcpus, struct buf *options)
{
	struct buf data = {0};

	add_u64(&data, host_id);
	add_u32(&data, 0); /* flags: offsets are not interpolated */
	add_u32(&data, vcpus);
	for (unsigned i = 0; i < vcpus; i++) {
		add_u32(&data, shift->count + 2);
		add_column(shift, true, &data);
		add_column(shift, false, &data);
		add_constant(shift, 1, &data); /* the clocks' rates: 1 / 2^0 */
	}
	for (unsigned i = 0; i < vcpus; i++)
		add_constant(shift, 0, &data);
	trace_option_add(options, TRACE_OPTION_TIME_SHIFT, data.data,
			 (uint32_t)data.len);
	buf_free(&data);
}

void trace_guest_print(const char *name, uint64_t guest_id,
		       const uint32_t *threads, unsigned vcpus,
		       struct buf *options)
{
	struct buf data = {0};

	buf_add(&data, name, strlen(name) + 1);
	add_u64(&data, guest_id);
	add_u32(&data, vcpus);
	for (unsigned i = 0; i < vcpus; i++) {
		add_u32(&data, i);
		add_u32(&data, threads[i]);
	}
	trace_option_add(options, TRACE_OPTION_GUEST, data.data,
			 (uint32_t)data.len);
	buf_free(&data);
}
