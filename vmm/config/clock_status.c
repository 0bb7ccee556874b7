/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the state and history of guest time: replies of the API. */
#include <fcntl.h>

#include "core/base/buf.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "devices/vmclock.h"
#include "vmm/config/bodies.h"

static const char *const event_name[] = {
	[CLOCK_BOOTED] = "booted",   [CLOCK_STOPPED] = "paused",
	[CLOCK_WENT_ON] = "resumed", [CLOCK_RESTORED] = "restored",
	[CLOCK_STALLED] = "stalled",
};
static const char *const policy_name[] = {
	[CLOCK_FROZEN] = "frozen",
	[CLOCK_CONTINUOUS] = "continuous",
	[CLOCK_SET] = "set",
};

static const char *const leap_name[] = {
	[CLOCK_LEAP_NONE] = "none",
	[CLOCK_LEAP_PRE_POS] = "insert-soon",
	[CLOCK_LEAP_PRE_NEG] = "delete-soon",
	[CLOCK_LEAP_POS] = "inserting",
	[CLOCK_LEAP_POST_POS] = "inserted",
	[CLOCK_LEAP_POST_NEG] = "deleted",
};

static void print_number(struct buf *out, const char *name, uint64_t value)
{
	buf_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* Signed: negative if the guest's counter is ahead of the host's. */
static void print_offset(struct buf *out, uint64_t offset)
{
	buf_printf(out, ",\"offset\":%lld", (long long)offset);
}

static void print_event(const struct arch_clock *clock,
			const struct arch_clock_event *event, struct buf *out)
{
	buf_printf(out, "{\"event\":\"%s\"", event_name[event->kind]);
	if (event->kind == CLOCK_WENT_ON || event->kind == CLOCK_RESTORED) {
		buf_printf(out, ",\"policy\":\"%s\"",
			   policy_name[event->policy]);
		print_number(out, "paused_ns",
			     arch_clock_ns(clock, event->paused_ticks));
		print_number(out, "jump_ns",
			     arch_clock_ns(clock, event->jump_ticks));
	}
	if (event->kind == CLOCK_STALLED) {
		print_number(out, "at_most_ns",
			     arch_clock_ns(clock, event->unseen_ticks));
		print_number(out, "host_slept_ns", event->slept_ns);
	}
	print_number(out, "realtime_ns", event->realtime_ns);
	print_number(out, "host_counter", event->host);
	print_number(out, "guest_counter", event->guest);
	print_offset(out, event->offset);
	print_number(out, "error_ticks", event->error_ticks);
	print_number(out, "late_ticks", event->late_ticks);
	buf_text(out, "}");
}

static void print_history(const struct arch_clock *clock, struct buf *out)
{
	uint64_t n = min_u64(clock->event_count, CLOCK_HISTORY_MAX);

	buf_text(out, ",\"history\":[");
	for (uint64_t i = clock->event_count - n; i < clock->event_count; i++) {
		if (i != clock->event_count - n)
			buf_text(out, ",");
		print_event(clock, &clock->history[i % CLOCK_HISTORY_MAX], out);
	}
	buf_text(out, "]}");
}

static uint64_t ppb_of(uint64_t rate)
{
	return rate * 1000 >> 16;
}

static void print_told(const struct vmclock *clock, struct buf *out)
{
	const struct vmclock_pair *p = &clock->pair;

	buf_printf(out,
		   ",\"vmclock\":{\"status\":\"%s\",\"rate_ppb\":%lld,"
		   "\"tai_offset\":%d,\"leap\":\"%s\",\"smear\":\"%s\"",
		   p->synchronized ? "synchronized" : "freerunning",
		   (long long)(p->rate * 1000 / 65536), p->tai_offset,
		   leap_name[p->leap], clock_smear_name[p->smear]);
	if (p->synchronized) {
		print_number(out, "max_error_ns", p->max_error);
		print_number(out, "est_error_ns", p->est_error);
	}
	print_number(out, "rate_max_error_ppb", ppb_of(p->rate_max_error));
	if (p->rate_est_error)
		print_number(out, "rate_est_error_ppb",
			     ppb_of(p->rate_est_error));
	/* Negative: the pair is of before the guest's counter began. */
	buf_printf(out, ",\"guest_counter\":%lld", (long long)p->counter);
	print_number(out, "disruptions", clock->disruption);
	print_number(out, "published", clock->seq / 2);
	buf_text(out, "}");
}

void clock_status_print(const struct arch_clock *clock, bool stopped,
			const struct vmclock *told,
			const struct clock_threads *threads, struct buf *out)
{
	struct arch_clock_pair now;
	char boot_id[40] = "";

	arch_clock_pair(&now);
	io_read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot_id,
		     sizeof(boot_id));
	buf_printf(out,
		   "{\"state\":\"%s\",\"on_pause\":\"%s\",\"on_restore\":"
		   "\"%s\",\"on_stop\":\"%s\",\"max_jump_ms\":%llu,\"mode\":\"%"
		   "s\",\"physical\":"
		   "\"%s\",\"hz\":%u",
		   stopped ? "stopped" : "running",
		   policy_name[clock->config.on_pause],
		   policy_name[clock->config.on_restore],
		   policy_name[!clock->config.stalls_are_frozen],
		   (unsigned long long)clock->config.max_jump_ms,
		   clock->has_offset ? "offset" : "value",
		   clock->has_offset ? "guest" : "host", clock->hz);
	print_number(out, "host_counter", now.host);
	print_offset(out, clock->offset);
	print_number(out, "guest_counter",
		     stopped ? clock->guest_stopped
			     : arch_clock_guest(clock, now.host));
	print_number(out, "error_ticks", clock->error_ticks);
	print_number(out, "host_monotonic_raw_ns", now.monotonic_raw_ns);
	print_number(out, "host_realtime_ns", now.realtime_ns);
	buf_text(out, ",\"realtime\":\"");
	realtime_print(&clock->config.realtime, out);
	buf_text(out, "\"");
	print_number(out, "sample_width_ticks", now.width_ticks);
	buf_text(out, ",\"boot_id\":");
	buf_json_string(out, boot_id);
	buf_text(out, ",\"vcpu_threads\":[");
	for (unsigned i = 0; i < threads->count; i++)
		buf_printf(out, "%s%d", i ? "," : "", threads->id[i]);
	buf_text(out, "]");
	print_told(told, out);
	print_history(clock, out);
}

void clock_restored_print(const struct arch_clock *clock, struct buf *out)
{
	struct arch_clock_pair now;

	arch_clock_pair(&now);
	buf_printf(out,
		   "{\"clock\":{\"elapsed_ns\":%llu,\"error_ns\":%llu,"
		   "\"same_boot\":%s,\"synchronized\":%s}}",
		   (unsigned long long)arch_clock_ns(
			   clock, now.host - clock->host_stopped),
		   (unsigned long long)clock->elapsed_error_ns,
		   clock->estimated ? "false" : "true",
		   clock->unsynchronized ? "false" : "true");
}
