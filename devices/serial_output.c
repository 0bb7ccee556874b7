/* SPDX-License-Identifier: Apache-2.0 */
/* Output of the serial port, and readers that are late. */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "devices/serial_counters.h"
#include "devices/serial_internal.h"

enum {
	NOW_NS = 1,
	FLUSH_NS = 2000000,
	DRAIN_STEPS = 40,
	DRAIN_STEP_MS = 50,
};

/*
 * Write the oldest bytes, at most up to the end of the ring.  Returns false if
 * the reader takes none now.
 */
static bool write_some(struct serial *s) REQUIRES(device_lock)
{
	unsigned len = (unsigned)min_u64(s->tx_count, TX_SIZE - s->tx_first);
	ssize_t n = io_write_nowait(s->out_fd, s->out_kind, s->tx + s->tx_first,
				    len);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	/* The reader is gone: drop the bytes. */
	if (n < 0)
		n = len;
	s->tx_first = (s->tx_first + (unsigned)n) % TX_SIZE;
	s->tx_count -= (unsigned)n;
	if (s->tx_stalled)
		s->taken_ns = clock_now_ns(CLOCK_MONOTONIC);
	return true;
}

static void flush(struct serial *s) REQUIRES(device_lock)
{
	bool was_ready = serial_tx_ready(s);

	metric_add(&serial_counters.flush_count, 1);
	while (s->tx_count && write_some(s))
		continue;
	if (!was_ready && serial_tx_ready(s)) {
		s->thr_interrupt = true;
		serial_raise_interrupt(s);
	}
}

/* Make the main thread flush after @ns; 0 disarms the timer. */
static void arm_timer(struct serial *s, uint64_t ns) REQUIRES(device_lock)
{
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(ns / 1000000000),
		.it_value.tv_nsec = (long)(ns % 1000000000),
	};

	timerfd_settime(s->timer_fd, 0, &when, NULL);
	s->armed = !ns            ? FLUSH_NOT_ARMED
		   : ns <= NOW_NS ? FLUSH_NOW
				  : FLUSH_LATER;
}

void serial_output_waits(struct serial *s)
{
	if (s->tx_count && s->armed == FLUSH_NOT_ARMED)
		arm_timer(s, FLUSH_NS);
}

/*
 * Count dropped output; the log says so once until the reader is back.  Lock
 * held.
 */
static void lose(struct serial *s, unsigned bytes) REQUIRES(device_lock)
{
	static struct log_limit limit;

	if (s->dropped == s->dropped_told)
		log_limited(&limit, "the guest's output is not read: what does "
				    "not fit the buffer is dropped until a "
				    "reader takes some");
	s->dropped += bytes;
	metric_add(&serial_counters.missed_write_count, bytes);
}

void serial_transmit(struct serial *s, uint8_t byte)
{
	if (s->out_fd < 0)
		return;
	if (token_bucket_is_limited(&s->limit) &&
	    !token_bucket_take(&s->limit, 1, clock_now_ns(CLOCK_MONOTONIC))) {
		metric_add(&serial_counters.rate_limiter_dropped_bytes, 1);
		return;
	}
	if (s->tx_count == TX_SIZE) {
		lose(s, 1);
		return;
	}
	s->tx[(s->tx_first + s->tx_count++) % TX_SIZE] = byte;
	/* If stalled, the loop already waits for the reader. */
	if (s->tx_stalled)
		return;
	if (byte == '\n' && s->armed != FLUSH_NOW)
		arm_timer(s, NOW_NS);
	serial_output_waits(s);
}

/* The output can be neither written nor waited for: drop it. */
static void give_up(struct serial *s)
{
	device_lock_take(&s->lock);
	lose(s, s->tx_count);
	s->tx_count = 0;
	s->tx_stalled = false;
	device_lock_release(&s->lock);
}

/*
 * Start dropping output if the reader took nothing for patience_ns; if not yet,
 * arm the timer for that moment.  Lock held.
 */
static void watch_reader(struct serial *s, bool was_stalled)
	REQUIRES(device_lock)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC), passed;

	if (!was_stalled)
		s->taken_ns = now;
	passed = now - s->taken_ns;
	if (!s->patience_ns || s->dropping)
		return;
	if (passed < s->patience_ns) {
		arm_timer(s, s->patience_ns - passed);
		return;
	}
	s->dropping = s->thr_interrupt = true;
	serial_raise_interrupt(s);
}

/* The reader took something: stop dropping.  Lock held. */
static void reader_is_back(struct serial *s) REQUIRES(device_lock)
{
	static struct log_limit limit;

	s->dropping = false;
	if (s->dropped == s->dropped_told)
		return;
	log_limited(&limit,
		    "the guest's output is read again; %llu bytes are "
		    "lost",
		    (unsigned long long)(s->dropped - s->dropped_told));
	s->dropped_told = s->dropped;
}

/*
 * Write what can be written; watch out_fd if the reader is behind.  Main
 * thread.
 */
static void flush_or_wait(struct serial *s)
{
	bool stalled, was_stalled;
	unsigned before;

	device_lock_take(&s->lock);
	before = s->tx_count;
	was_stalled = s->tx_stalled;
	flush(s);
	stalled = s->tx_stalled = s->tx_count != 0;
	if (s->tx_count < before)
		reader_is_back(s);
	if (stalled)
		watch_reader(s, was_stalled);
	else if (was_stalled)
		arm_timer(s, 0); /* was armed by watch_reader() */
	device_lock_release(&s->lock);
	if (!stalled)
		loop_remove(s->loop, &s->out);
	else if (s->out.fd < 0 &&
		 loop_add(s->loop, &s->out, s->out_fd, EPOLLOUT))
		give_up(s);
}

static void on_timer(struct event_source *source, uint32_t events)
{
	struct serial *s = container_of(source, struct serial, timer);

	(void)events;
	device_lock_take(&s->lock);
	arm_timer(s, 0); /* also makes the descriptor unreadable again */
	device_lock_release(&s->lock);
	flush_or_wait(s);
}

static void on_writable(struct event_source *source, uint32_t events)
{
	struct serial *s = container_of(source, struct serial, out);

	(void)events;
	flush_or_wait(s);
}

void serial_flush(struct serial *s)
{
	device_lock_take(&s->lock);
	flush(s);
	device_lock_release(&s->lock);
}

void serial_drain(struct serial *s)
{
	struct pollfd out = {.fd = s->out_fd, .events = POLLOUT};
	bool more = true;

	for (unsigned i = 0; more && i < DRAIN_STEPS; i++) {
		device_lock_take(&s->lock);
		flush(s);
		more = s->tx_count != 0;
		device_lock_release(&s->lock);
		/* POLLERR or POLLHUP without POLLOUT: the reader is gone. */
		if (more && poll(&out, 1, DRAIN_STEP_MS) == 1 &&
		    !(out.revents & POLLOUT))
			break;
	}
}

uint64_t serial_dropped(struct serial *s)
{
	uint64_t n;

	device_lock_take(&s->lock);
	n = s->dropped;
	device_lock_release(&s->lock);
	return n;
}

/* -------------------------------------------------------------- life cycle */

int serial_output_init(struct serial *s, struct err *e)
{
	s->timer = (struct event_source){-1, on_timer};
	s->out = (struct event_source){-1, on_writable};
	s->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (s->timer_fd < 0 ||
	    loop_add(s->loop, &s->timer, s->timer_fd, EPOLLIN))
		return err_errno(e, "cannot create the serial port's timer");
	return 0;
}

void serial_output_fini(struct serial *s)
{
	serial_flush(s);
	loop_remove(s->loop, &s->timer);
	loop_remove(s->loop, &s->out);
	util_close(&s->timer_fd);
}
