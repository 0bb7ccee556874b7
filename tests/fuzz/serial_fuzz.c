/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does anything to the serial port while somebody types: reads
 * and writes of all widths and offsets.  The first byte of the input chooses
 * where the output goes; then come operations of three bytes.
 */
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "devices/serial.h"
#include "tests/fuzz/fuzz.h"

enum { OP_READ, OP_WRITE, OP_RECEIVE, OP_OUTSIDE, OP_COUNT };
enum { TO_NULL, TO_NOTHING, TO_STUCK_PIPE, TO_COUNT };
enum { FIFO_SIZE = 16, WINDOW_SIZE = 4096, OP_SIZE = 3 };
enum { WRITES_MAX = 20000 }; /* per input: more than the buffer holds */

static struct event_loop loop;
static int null_fd, pipe_fd[2], irq_fd, room_fd;

struct port {
	struct serial *serial;
	int out_fd;
	unsigned may_send; /* bytes, since the transmitter said it is ready */
	unsigned writes;
};

static void create(void)
{
	struct err e;
	char page[4096] = "";

	must(!loop_init(&loop, &e));
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(null_fd >= 0 && irq_fd >= 0 && room_fd >= 0);
	must(!pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK));
	while (write(pipe_fd[1], page, sizeof(page)) > 0)
		continue;
}

static uint64_t get(struct port *p, uint64_t offset, unsigned len)
{
	uint64_t value = serial_mmio_ops.read(p->serial, offset, len);

	must(value <= (len == 1 && offset <= UART_SCR ? 0xff : 0));
	return value;
}

static void put(struct port *p, uint64_t offset, unsigned len, uint64_t value)
{
	uint64_t dropped = serial_dropped(p->serial);
	bool ready;

	if (get(p, UART_LSR, 1) & UART_LSR_THRE)
		p->may_send = FIFO_SIZE;
	ready = p->may_send > 0;
	serial_mmio_ops.write(p->serial, offset, len, value);
	if (len != 1 || offset != UART_TX)
		return;
	/* A driver that heeds the transmitter loses nothing. */
	must(!ready || serial_dropped(p->serial) == dropped);
	if (p->may_send)
		p->may_send--;
}

static void receive(struct port *p, const uint8_t *data, size_t len)
{
	size_t taken = serial_receive(p->serial, data, len);

	must(taken <= len);
	must(!len || (get(p, UART_LSR, 1) & UART_LSR_DR));
}

/* What is not the guest's doing. */
static void outside(struct port *p, unsigned what)
{
	char page[4096] = "";

	switch (what % 3) {
	case 0:
		serial_flush(p->serial);
		break;
	case 1: /* a reader that takes something */
		(void)!read(pipe_fd[0], page, sizeof(page));
		break;
	default: /* and one that does not */
		while (write(pipe_fd[1], page, sizeof(page)) > 0)
			continue;
	}
}

static void operate(struct port *p, const uint8_t op[OP_SIZE],
		    const uint8_t *rest, size_t left)
{
	unsigned len = 1u << (op[0] >> 2 & 3);
	/* Mostly where registers are; anywhere in the window if bit 4 is set */
	uint64_t offset =
		op[0] & 16 ? (op[1] * 16u + 15) % (WINDOW_SIZE - 7) : op[1] % 9;

	switch (op[0] % OP_COUNT) {
	case OP_READ:
		get(p, offset, len);
		break;
	case OP_WRITE: /* up to 1022 times: to fill the buffers */
		for (unsigned n = op[0] & 32 ? op[1] * 4u + 2 : 1;
		     n && p->writes < WRITES_MAX; n--, p->writes++)
			put(p, offset, len, op[2] * 0x0101010101010101u);
		break;
	case OP_RECEIVE:
		receive(p, rest, min_u64(left, op[1]));
		break;
	default:
		outside(p, op[1]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serial_config config = {.loop = &loop};
	struct port p = {0};
	struct err e;

	if (!size)
		return 0;
	if (!loop.epoll_fd)
		create();
	config.out_fd = (const int[TO_COUNT]){
		null_fd,
		-1,
		pipe_fd[1],
	}[data[0] % TO_COUNT];
	config.irq_fd = irq_fd;
	config.room_fd = room_fd;
	p.serial = serial_create(&config, &e);
	must(p.serial);
	for (size_t at = 1; at + OP_SIZE <= size; at += OP_SIZE)
		operate(&p, data + at, data + at + OP_SIZE,
			size - at - OP_SIZE);
	outside(&p, 2);
	serial_destroy(p.serial);
	return 0;
}
