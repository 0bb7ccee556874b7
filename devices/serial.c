/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers: "PC16550D Universal Asynchronous Receiver/Transmitter with
 * FIFOs", Texas Instruments; names as in <linux/serial_reg.h>.
 */
#include "devices/serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "devices/serial_counters.h"
#include "devices/serial_internal.h"
#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/base/metrics.h"
#include "vmm/base/now.h"
#include "vmm/base/util.h"

enum {
	FIFO_SIZE = 16, /* what a driver may send when it sees THRE */
	FLUSH_NS = 2000000,
	DRAIN_STEPS = 40,
	DRAIN_STEP_MS = 50,
};

static void signal_fd(int fd)
{
	/* Fails only if 2^64 - 1 signals are unread: it is signalled then. */
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
}

/* ------------------------------------------------------------- interrupts */

static bool rx_pending(const struct serial *s)
{
	return (s->ier & UART_IER_RDI) && s->rx_count;
}

/* Drivers fill the chip's FIFO without looking again. */
static bool tx_ready(const struct serial *s)
{
	return s->tx_count <= TX_SIZE - FIFO_SIZE;
}

static bool tx_pending(const struct serial *s)
{
	return (s->ier & UART_IER_THRI) && s->thr_interrupt;
}

/* After a condition became true: the line is edge-triggered. */
static void raise_interrupt(struct serial *s)
{
	if (rx_pending(s) || tx_pending(s))
		signal_fd(s->irq_fd);
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t fifo = s->fifo_enabled ? 0xc0 : 0;

	if (rx_pending(s))
		return fifo | UART_IIR_RDI;
	if (tx_pending(s)) {
		s->thr_interrupt = false;
		return fifo | UART_IIR_THRI;
	}
	return fifo | UART_IIR_NO_INT;
}

/* ----------------------------------------------------------------- output */

/* Write the oldest bytes, up to the end of the ring.  False: none went. */
static bool write_some(struct serial *s)
{
	unsigned len = (unsigned)min_u64(s->tx_count, TX_SIZE - s->tx_first);
	ssize_t n = write(s->out_fd, s->tx + s->tx_first, len);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	/* A reader that is gone takes everything. */
	if (n < 0)
		n = len;
	s->tx_first = (s->tx_first + (unsigned)n) % TX_SIZE;
	s->tx_count -= (unsigned)n;
	return true;
}

static void flush(struct serial *s)
{
	bool was_ready = tx_ready(s);

	metric_add(&serial_counters.flush_count, 1);
	while (s->tx_count && write_some(s))
		continue;
	if (!was_ready && tx_ready(s)) {
		s->thr_interrupt = true;
		raise_interrupt(s);
	}
}

/* Ask the main thread to flush: soon, or never (0). */
static void arm_timer(struct serial *s, long ns)
{
	struct itimerspec when = {.it_value.tv_nsec = ns};

	timerfd_settime(s->timer_fd, 0, &when, NULL);
	s->flush_armed = ns != 0;
}

void serial_output_waits(struct serial *s)
{
	if (s->tx_count && !s->flush_armed)
		arm_timer(s, FLUSH_NS);
}

static void transmit(struct serial *s, uint8_t byte)
{
	if (s->out_fd < 0)
		return;
	if (token_bucket_is_limited(&s->limit) &&
	    !token_bucket_take(&s->limit, 1, clock_now_ns(CLOCK_MONOTONIC))) {
		metric_add(&serial_counters.rate_limiter_dropped_bytes, 1);
		return;
	}
	if (s->tx_count == TX_SIZE) {
		s->dropped++;
		metric_add(&serial_counters.missed_write_count, 1);
		return;
	}
	s->tx[(s->tx_first + s->tx_count++) % TX_SIZE] = byte;
	/* While stalled, the loop is waiting for the reader already. */
	if (s->tx_stalled)
		return;
	if (byte == '\n')
		flush(s);
	serial_output_waits(s);
}

/* It can be neither written nor waited for: it is gone. */
static void give_up(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	s->dropped += s->tx_count;
	metric_add(&serial_counters.missed_write_count, s->tx_count);
	s->tx_count = 0;
	s->tx_stalled = false;
	pthread_mutex_unlock(&s->lock);
}

/* Main thread: write what there is; wait for the reader if it is behind. */
static void flush_or_wait(struct serial *s)
{
	bool stalled;

	pthread_mutex_lock(&s->lock);
	flush(s);
	stalled = s->tx_stalled = s->tx_count != 0;
	pthread_mutex_unlock(&s->lock);
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
	pthread_mutex_lock(&s->lock);
	arm_timer(s, 0); /* also makes the descriptor unreadable again */
	pthread_mutex_unlock(&s->lock);
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
	pthread_mutex_lock(&s->lock);
	flush(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_drain(struct serial *s)
{
	struct pollfd out = {.fd = s->out_fd, .events = POLLOUT};
	bool more = true;

	for (unsigned i = 0; more && i < DRAIN_STEPS; i++) {
		pthread_mutex_lock(&s->lock);
		flush(s);
		more = s->tx_count != 0;
		pthread_mutex_unlock(&s->lock);
		/* Ready, yet it takes nothing: nobody reads it any more. */
		if (more && poll(&out, 1, DRAIN_STEP_MS) == 1 &&
		    !(out.revents & POLLOUT))
			break;
	}
}

uint64_t serial_dropped(struct serial *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->dropped;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* ------------------------------------------------------------------ input */

static void rx_push(struct serial *s, uint8_t byte)
{
	s->rx[(s->rx_first + s->rx_count++) % RX_SIZE] = byte;
}

static uint8_t rx_pop(struct serial *s)
{
	uint8_t byte;

	if (!s->rx_count)
		return 0;
	byte = s->rx[s->rx_first];
	s->rx_first = (s->rx_first + 1) % RX_SIZE;
	s->rx_count--;
	/* Not for every byte: the sender wakes up once for half a buffer. */
	if (s->rx_wanted && s->rx_count <= RX_SIZE / 2) {
		s->rx_wanted = false;
		signal_fd(s->room_fd);
	}
	return byte;
}

size_t serial_receive(struct serial *s, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	pthread_mutex_lock(&s->lock);
	while (taken < len && s->rx_count < RX_SIZE)
		rx_push(s, data[taken++]);
	if (taken < len)
		s->rx_wanted = true;
	if (taken)
		raise_interrupt(s);
	pthread_mutex_unlock(&s->lock);
	return taken;
}

/* -------------------------------------------------------------- registers */

static uint8_t read_lsr(const struct serial *s)
{
	uint8_t lsr = tx_ready(s) ? UART_LSR_THRE | UART_LSR_TEMT : 0;

	return lsr | (s->rx_count ? UART_LSR_DR : 0);
}

static uint8_t read_msr(const struct serial *s)
{
	/* In loopback the modem outputs show up as inputs. */
	if (s->mcr & UART_MCR_LOOP)
		return (uint8_t)((s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
				 (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
				 (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
				 (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
	return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
}

static uint8_t read_register(struct serial *s, uint64_t offset)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_RX:
		return dlab ? s->divisor[0] : rx_pop(s);
	case UART_IER:
		return dlab ? s->divisor[1] : s->ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return read_lsr(s);
	case UART_MSR:
		return read_msr(s);
	case UART_SCR:
		return s->scratch;
	default:
		return 0;
	}
}

static void write_thr(struct serial *s, uint8_t byte)
{
	bool was_pending = tx_pending(s);

	if (s->mcr & UART_MCR_LOOP) {
		if (s->rx_count < RX_SIZE)
			rx_push(s, byte);
		raise_interrupt(s);
	} else {
		transmit(s, byte);
	}
	/* Sent as soon as written, unless the reader is behind. */
	s->thr_interrupt = tx_ready(s);
	if (tx_pending(s) && !was_pending)
		signal_fd(s->irq_fd);
}

static void write_ier(struct serial *s, uint8_t value)
{
	uint8_t added = value & (uint8_t)~s->ier;

	s->ier = value & 0x0f;
	if ((added & UART_IER_THRI) && tx_ready(s))
		s->thr_interrupt = true;
	if (added)
		raise_interrupt(s);
}

static void write_fcr(struct serial *s, uint8_t value)
{
	s->fifo_enabled = value & UART_FCR_ENABLE_FIFO;
	if (value & UART_FCR_CLEAR_RCVR)
		while (s->rx_count)
			rx_pop(s);
}

static void write_register(struct serial *s, uint64_t offset, uint8_t value)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_TX:
		if (dlab)
			s->divisor[0] = value;
		else
			write_thr(s, value);
		break;
	case UART_IER:
		if (dlab)
			s->divisor[1] = value;
		else
			write_ier(s, value);
		break;
	case UART_FCR:
		write_fcr(s, value);
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scratch = value;
		break;
	default:
		break; /* LSR and MSR are read-only; beyond them is nothing */
	}
}

static uint64_t serial_mmio_read(void *device, uint64_t offset, unsigned len)
{
	struct serial *s = device;
	uint8_t value;

	if (len != 1) {
		metric_add(&serial_counters.missed_read_count, 1);
		return 0; /* the registers are bytes */
	}
	metric_add(&serial_counters.read_count, 1);
	pthread_mutex_lock(&s->lock);
	value = read_register(s, offset);
	pthread_mutex_unlock(&s->lock);
	return value;
}

static void serial_mmio_write(void *device, uint64_t offset, unsigned len,
			      uint64_t value)
{
	struct serial *s = device;

	if (len != 1) {
		metric_add(&serial_counters.error_count, 1);
		return;
	}
	metric_add(&serial_counters.write_count, 1);
	pthread_mutex_lock(&s->lock);
	write_register(s, offset, (uint8_t)value);
	pthread_mutex_unlock(&s->lock);
}

const struct mmio_ops serial_mmio_ops = {
	.read = serial_mmio_read,
	.write = serial_mmio_write,
};

/* -------------------------------------------------------------- life cycle */

struct serial *serial_create(const struct serial_config *config, struct err *e)
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s) {
		err_errno(e, "cannot create the serial port");
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	s->out_fd = config->out_fd;
	s->irq_fd = config->irq_fd;
	s->room_fd = config->room_fd;
	token_bucket_init(&s->limit, &config->limit,
			  clock_now_ns(CLOCK_MONOTONIC));
	s->loop = config->loop;
	s->divisor[0] = 12; /* 9600 baud */
	s->timer.fd = s->out.fd = -1;
	s->timer.ready = on_timer;
	s->out.ready = on_writable;
	s->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (s->timer_fd < 0 ||
	    loop_add(s->loop, &s->timer, s->timer_fd, EPOLLIN)) {
		err_errno(e, "cannot create the serial port's timer");
		serial_destroy(s);
		return NULL;
	}
	return s;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	serial_flush(s);
	loop_remove(s->loop, &s->timer);
	loop_remove(s->loop, &s->out);
	util_close(&s->timer_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
