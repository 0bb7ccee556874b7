/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers: "PC16550D Universal Asynchronous Receiver/Transmitter with
 * FIFOs", Texas Instruments; names as in <linux/serial_reg.h>.
 */
#include "devices/serial.h"

#include <linux/serial_reg.h>
#include <pthread.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/loop.h"
#include "devices/serial_counters.h"
#include "devices/serial_internal.h"

/* ------------------------------------------------------------- interrupts */

static bool rx_pending(const struct serial *s) REQUIRES(device_lock)
{
	return (s->ier & UART_IER_RDI) && s->rx_count;
}

static bool tx_pending(const struct serial *s) REQUIRES(device_lock)
{
	return (s->ier & UART_IER_THRI) && s->thr_interrupt;
}

void serial_raise_interrupt(struct serial *s)
{
	if (rx_pending(s) || tx_pending(s))
		serial_signal(s->irq_fd);
}

static uint8_t read_iir(struct serial *s) REQUIRES(device_lock)
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

/* ------------------------------------------------------------------ input */

static void rx_push(struct serial *s, uint8_t byte) REQUIRES(device_lock)
{
	s->rx[(s->rx_first + s->rx_count++) % RX_SIZE] = byte;
}

static uint8_t rx_pop(struct serial *s) REQUIRES(device_lock)
{
	uint8_t byte;

	if (!s->rx_count)
		return 0;
	byte = s->rx[s->rx_first];
	s->rx_first = (s->rx_first + 1) % RX_SIZE;
	s->rx_count--;
	/* Not for every byte: wake the sender once per half buffer. */
	if (s->rx_wanted && s->rx_count <= RX_SIZE / 2) {
		s->rx_wanted = false;
		serial_signal(s->room_fd);
	}
	return byte;
}

size_t serial_receive(struct serial *s, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	device_lock_take(&s->lock);
	while (taken < len && s->rx_count < RX_SIZE)
		rx_push(s, data[taken++]);
	if (taken < len)
		s->rx_wanted = true;
	if (taken)
		serial_raise_interrupt(s);
	device_lock_release(&s->lock);
	return taken;
}

/* -------------------------------------------------------------- registers */

static uint8_t read_lsr(const struct serial *s) REQUIRES(device_lock)
{
	uint8_t lsr = serial_tx_ready(s) ? UART_LSR_THRE | UART_LSR_TEMT : 0;

	return lsr | (s->rx_count ? UART_LSR_DR : 0);
}

static uint8_t read_msr(const struct serial *s) REQUIRES(device_lock)
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
	REQUIRES(device_lock)
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

static void write_thr(struct serial *s, uint8_t byte) REQUIRES(device_lock)
{
	bool was_pending = tx_pending(s);

	if (s->mcr & UART_MCR_LOOP) {
		if (s->rx_count < RX_SIZE)
			rx_push(s, byte);
		serial_raise_interrupt(s);
	} else {
		serial_transmit(s, byte);
	}
	/*
	 * A byte is sent as soon as it is written, unless the reader is behind.
	 */
	s->thr_interrupt = serial_tx_ready(s);
	if (tx_pending(s) && !was_pending)
		serial_signal(s->irq_fd);
}

static void write_ier(struct serial *s, uint8_t value) REQUIRES(device_lock)
{
	uint8_t added = value & (uint8_t)~s->ier;

	s->ier = value & 0x0f;
	if ((added & UART_IER_THRI) && serial_tx_ready(s))
		s->thr_interrupt = true;
	if (added)
		serial_raise_interrupt(s);
}

static void write_fcr(struct serial *s, uint8_t value) REQUIRES(device_lock)
{
	s->fifo_enabled = value & UART_FCR_ENABLE_FIFO;
	if (value & UART_FCR_CLEAR_RCVR)
		while (s->rx_count)
			rx_pop(s);
}

static void write_register(struct serial *s, uint64_t offset, uint8_t value)
	REQUIRES(device_lock)
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
		break; /* LSR and MSR are read-only; there are no others */
	}
}

static uint64_t serial_mmio_read(void *device, uint64_t offset, unsigned len)
{
	struct serial *s = device;
	uint8_t value;

	if (len != 1) {
		metric_add(&serial_counters.missed_read_count, 1);
		return 0; /* registers are 8 bits wide */
	}
	metric_add(&serial_counters.read_count, 1);
	device_lock_take(&s->lock);
	value = read_register(s, offset);
	device_lock_release(&s->lock);
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
	device_lock_take(&s->lock);
	write_register(s, offset, (uint8_t)value);
	device_lock_release(&s->lock);
}

const struct mmio_ops serial_mmio_ops = {
	.read = serial_mmio_read,
	.write = serial_mmio_write,
};

/* -------------------------------------------------------------- life cycle */

struct serial *serial_create(const struct serial_config *config,
			     struct err *e) ALONE
{
	struct serial *s = calloc(1, sizeof(*s));

	if (!s) {
		err_errno(e, "cannot create the serial port");
		return NULL;
	}
	device_lock_init(&s->lock);
	s->out_fd = config->out_fd;
	s->out_kind = io_kind(config->out_fd);
	s->irq_fd = config->irq_fd;
	s->room_fd = config->room_fd;
	s->patience_ns = config->patience_ms * 1000000ull;
	token_bucket_init(&s->limit, &config->limit,
			  clock_now_ns(CLOCK_MONOTONIC));
	s->loop = config->loop;
	s->divisor[0] = 12; /* 9600 baud */
	if (serial_output_init(s, e)) {
		serial_destroy(s);
		return NULL;
	}
	return s;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	serial_output_fini(s);
	device_lock_fini(&s->lock);
	free(s);
}
