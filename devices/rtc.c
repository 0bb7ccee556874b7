/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/rtc.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "snapshot/codec.h"

enum {
	RTC_DR = 0x00, /* data: seconds, read-only */
	RTC_MR = 0x04, /* match */
	RTC_LR = 0x08, /* load: sets the time */
	RTC_CR = 0x0c, /* control: always enabled */
	RTC_IMSC = 0x10,
	RTC_RIS = 0x14,
	RTC_MIS = 0x18,
	RTC_ICR = 0x1c,
	RTC_ID = 0xfe0, /* eight ID registers, to the end of the page */
};

static struct rtc_counters {
	uint64_t error_count, missed_read_count, missed_write_count;
} counters;

static const struct metric counter_table[] = {
	METRIC(struct rtc_counters, error_count),
	METRIC(struct rtc_counters, missed_read_count),
	METRIC(struct rtc_counters, missed_write_count),
};

struct metrics_group rtc_metrics = {
	.name = "rtc",
	.metric = counter_table,
	.count = ARRAY_SIZE(counter_table),
	.base = &counters,
};

/* Of the guest's time before the guest set it, which is not negative. */
static uint64_t seconds(const struct rtc *r) REQUIRES(device_lock)
{
	int64_t ns = (int64_t)clock_now_ns(CLOCK_REALTIME) + r->offset_ns;

	return ns < 0 ? 0 : (uint64_t)ns / NS_PER_S;
}

/* ----------------------------------------------------------- under the lock */

/*
 * Create the timer at the first alarm, because most guests never set one.
 * Returns 0 or -1.  Main thread.
 */
static int need_timer(struct rtc *r) REQUIRES(device_lock)
{
	int timer;

	if (r->alarm.fd >= 0)
		return 0;
	timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer >= 0 && !loop_add(r->loop, &r->alarm, timer, EPOLLIN))
		return 0;
	metric_add(&counters.error_count, 1);
	if (!r->warned)
		log_warn("the guest's alarm will not ring: cannot create a "
			 "timer: %s",
			 strerror(errno));
	r->warned = true;
	util_close(&timer);
	return -1;
}

/* When the timer has to expire; 0: not. */
static uint64_t wanted(const struct rtc *r) REQUIRES(device_lock)
{
	return r->mask ? r->due : 0;
}

/*
 * Arm or disarm the timer.  The time is absolute (CLOCK_REALTIME), so the
 * kernel adjusts the timer when the host's clock is set.  Main thread.
 */
static void set_timer(struct rtc *r) REQUIRES(device_lock)
{
	uint64_t when = wanted(r);
	uint64_t ns = when * NS_PER_S - (uint64_t)r->offset_ns;
	/* A time of 0 would disarm it. */
	struct itimerspec spec = {
		.it_value.tv_sec =
			(int64_t)ns < 0 ? 0 : (time_t)(ns / NS_PER_S),
		.it_value.tv_nsec = (int64_t)ns < 0 ? 1 : (long)(ns % NS_PER_S),
	};

	if (when == r->armed)
		return;
	r->armed = when;
	if (!when)
		spec = (struct itimerspec){0};
	if (need_timer(r))
		return;
	timerfd_settime(r->alarm.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Ask the main thread for it, because vCPU threads may not create timers. */
static void ask_for_timer(const struct rtc *r) REQUIRES(device_lock)
{
	if (wanted(r) != r->armed)
		(void)eventfd_write(r->wake_fd, 1);
}

/*
 * Check the alarm.  The line is edge-triggered: pulse it only for a newly
 * pending interrupt.
 */
static void update(struct rtc *r) REQUIRES(device_lock)
{
	bool masked;

	if (r->due && seconds(r) >= r->due) {
		r->due = 0;
		r->raised = true;
	}
	masked = r->raised && r->mask;
	if (masked && !r->told)
		irq_line_pulse(&r->irq);
	r->told = masked;
}

/*
 * Compute the next match.  A match value in the past matches after the 32-bit
 * time has wrapped.
 */
static void match(struct rtc *r) REQUIRES(device_lock)
{
	uint64_t now = seconds(r);
	uint32_t shown = (uint32_t)now + r->shift;

	r->due = now + (uint32_t)(r->match - shown);
}

/* ---------------------------------------------------------------- registers */

static uint32_t read_id(uint64_t offset)
{
	/* PL031 revision 1, then the PrimeCell ID. */
	static const uint8_t id[] = {0x31, 0x10, 0x14, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};

	return id[(offset - RTC_ID) / 4];
}

static uint32_t read_register(const struct rtc *r, uint64_t offset)
	REQUIRES(device_lock)
{
	switch (offset) {
	case RTC_DR:
		return (uint32_t)seconds(r) + r->shift;
	case RTC_MR:
		return r->match;
	case RTC_LR:
		return r->load;
	case RTC_CR:
		return 1;
	case RTC_IMSC:
		return r->mask;
	case RTC_RIS:
		return r->raised;
	case RTC_MIS:
		return r->raised && r->mask;
	default:
		return 0;
	}
}

static void write_register(struct rtc *r, uint64_t offset, uint32_t word)
	REQUIRES(device_lock)
{
	switch (offset) {
	case RTC_MR:
		r->match = word;
		match(r);
		break;
	case RTC_LR:
		r->load = word;
		r->shift = word - (uint32_t)seconds(r);
		match(r);
		break;
	case RTC_IMSC:
		r->mask = word & 1;
		break;
	case RTC_ICR:
		if (word & 1)
			r->raised = r->told = false;
		break;
	default:
		break;
	}
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned len)
{
	struct rtc *r = device;
	uint32_t value;

	/* Registers are 32-bit words. */
	if (len != 4 || offset % 4) {
		metric_add(&counters.missed_read_count, 1);
		return 0;
	}
	if (offset >= RTC_ID)
		return read_id(offset);
	device_lock_take(&r->lock);
	update(r);
	ask_for_timer(r);
	value = read_register(r, offset);
	device_lock_release(&r->lock);
	return value;
}

static void rtc_write(void *device, uint64_t offset, unsigned len,
		      uint64_t value)
{
	struct rtc *r = device;

	if (len != 4 || offset % 4) {
		metric_add(&counters.missed_write_count, 1);
		return;
	}
	device_lock_take(&r->lock);
	update(r);
	write_register(r, offset, (uint32_t)value);
	update(r);
	ask_for_timer(r);
	device_lock_release(&r->lock);
}

const struct mmio_ops rtc_mmio_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

/* ------------------------------------------------------------- main thread */

/*
 * If the host's clock was set back since the timer expired, update() arms it
 * again.
 */
static void on_alarm(struct event_source *source, uint32_t events)
{
	struct rtc *r = container_of(source, struct rtc, alarm);
	uint64_t count;
	/* Not readable if it was rearmed meanwhile. */
	bool expired = read(r->alarm.fd, &count, sizeof(count)) > 0;

	(void)events;
	device_lock_take(&r->lock);
	if (expired)
		r->armed = 0;
	update(r);
	set_timer(r);
	if (r->told)
		(void)eventfd_write(r->wake_fd, 1);
	device_lock_release(&r->lock);
}

bool rtc_has_alarm(struct rtc *r)
{
	bool told;

	device_lock_take(&r->lock);
	told = r->told;
	device_lock_release(&r->lock);
	return told;
}

void rtc_look(struct rtc *r)
{
	device_lock_take(&r->lock);
	set_timer(r);
	device_lock_release(&r->lock);
}

void rtc_start(struct rtc *r, int64_t offset_ns)
{
	device_lock_take(&r->lock);
	if (offset_ns != r->offset_ns)
		r->armed = 0;
	r->offset_ns = offset_ns;
	update(r);
	set_timer(r);
	device_lock_release(&r->lock);
}

void rtc_init(struct rtc *r, struct event_loop *loop, struct irq_line irq,
	      int wake_fd)
{
	r->loop = loop;
	r->wake_fd = wake_fd;
	r->irq = irq;
	r->alarm = (struct event_source){.fd = -1, .ready = on_alarm};
	device_lock_init(&r->lock);
}

void rtc_fini(struct rtc *r)
{
	if (r->loop)
		loop_close(r->loop, &r->alarm);
}

void rtc_state(struct rtc *r, struct snap *s)
{
	snap_begin(s, SNAP_TAG('r', 't', 'c', ' '));
	device_lock_take(&r->lock);
	snap_u32(s, &r->shift);
	snap_u32(s, &r->load);
	snap_u32(s, &r->match);
	snap_u32(s, &r->mask);
	r->mask &= 1;
	device_lock_release(&r->lock);
	snap_end(s);
}

void rtc_alarm_state(struct rtc *r, struct snap *s)
{
	/* Bound of the loaded 64-bit value, so that timers accept it. */
	const uint64_t limit = 1ull << 40;

	snap_begin(s, SNAP_TAG('a', 'l', 'r', 'm'));
	device_lock_take(&r->lock);
	snap_u64(s, &r->due);
	snap_require(s, r->due < limit, "the alarm's time");
	snap_bool(s, &r->raised);
	snap_bool(s, &r->told);
	device_lock_release(&r->lock);
	snap_end(s);
}
