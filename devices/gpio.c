/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/gpio.h"

#include <pthread.h>
#include <sys/timerfd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "core/thread/lock.h"
#include "snapshot/codec.h"

enum {
	GPIO_DATA_END =
		0x400,    /* below: data, masked by bits 9:2 of the offset */
	GPIO_DIR = 0x400, /* 1: output */
	GPIO_IS = 0x404,  /* 1: level, 0: edge */
	GPIO_IBE = 0x408, /* 1: both edges */
	GPIO_IEV = 0x40c, /* 1: rising or high, 0: falling or low */
	GPIO_IE = 0x410,
	GPIO_RIS = 0x414,
	GPIO_MIS = 0x418,
	GPIO_IC = 0x41c,
	GPIO_AFSEL = 0x420,
	GPIO_ID = 0xfe0, /* eight ID registers, to the end of the page */

	POWER_KEY = 1 << 0,
	/*
	 * Longer than the 5 ms debounce of Linux's gpio-keys, like a human
	 * press.
	 */
	PRESS_MS = 100,
};

struct gpio {
	struct event_loop *loop;
	struct irq_line irq;
	struct event_source release; /* a timer; fd -1 while released */

	struct device_lock lock;
	/* Lines: driven from outside, by the guest. */
	GUARDED_BY(device_lock) uint8_t in, out;
	GUARDED_BY(device_lock)
	uint8_t dir, sense, both, event, enable, raw, alt;
	/* Interrupts that were signalled and not cleared yet. */
	GUARDED_BY(device_lock) uint8_t told;
};

/* ----------------------------------------------------------- under the lock */

/* The line is edge-triggered: pulse it only for a newly pending interrupt. */
static void update(struct gpio *g) REQUIRES(device_lock)
{
	uint8_t masked;

	g->raw |= g->sense & ~(g->in ^ g->event) & ~g->dir;
	masked = g->raw & g->enable;
	if (masked & ~g->told)
		irq_line_pulse(&g->irq);
	g->told = masked;
}

static void set_lines(struct gpio *g, uint8_t in) REQUIRES(device_lock)
{
	uint8_t changed = g->in ^ in;
	uint8_t edges = changed & ~g->sense & (g->both | ~(in ^ g->event));

	g->in = in;
	g->raw |= edges & ~g->dir;
	update(g);
}

static uint32_t read_register(const struct gpio *g, uint64_t offset)
	REQUIRES(device_lock)
{
	switch (offset) {
	case GPIO_DIR:
		return g->dir;
	case GPIO_IS:
		return g->sense;
	case GPIO_IBE:
		return g->both;
	case GPIO_IEV:
		return g->event;
	case GPIO_IE:
		return g->enable;
	case GPIO_RIS:
		return g->raw;
	case GPIO_MIS:
		return g->raw & g->enable;
	case GPIO_AFSEL:
		return g->alt;
	default:
		return 0;
	}
}

static void write_register(struct gpio *g, uint64_t offset, uint8_t value)
	REQUIRES(device_lock)
{
	switch (offset) {
	case GPIO_DIR:
		g->dir = value;
		break;
	case GPIO_IS:
		g->sense = value;
		break;
	case GPIO_IBE:
		g->both = value;
		break;
	case GPIO_IEV:
		g->event = value;
		break;
	case GPIO_IE:
		g->enable = value;
		break;
	case GPIO_IC:
		g->raw &= ~value;
		g->told &= g->raw;
		break;
	case GPIO_AFSEL:
		g->alt = value;
		break;
	default:
		break;
	}
	update(g);
}

/* ---------------------------------------------------------------- registers */

static uint64_t gpio_read(void *device, uint64_t offset, unsigned len)
{
	/* PL061, then the PrimeCell ID. */
	static const uint8_t id[] = {0x61, 0x10, 0x04, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};
	struct gpio *g = device;
	uint32_t value;

	/*
	 * Linux reads bytes, firmware reads words; the registers have 8 bits.
	 */
	if (len > 4 || offset % 4)
		return 0;
	if (offset >= GPIO_ID)
		return id[(offset - GPIO_ID) / 4];
	device_lock_take(&g->lock);
	if (offset < GPIO_DATA_END)
		value = ((g->in & ~g->dir) | (g->out & g->dir)) & offset >> 2;
	else
		value = read_register(g, offset);
	device_lock_release(&g->lock);
	return value;
}

static void gpio_write(void *device, uint64_t offset, unsigned len,
		       uint64_t value)
{
	struct gpio *g = device;
	uint8_t mask = (uint8_t)(offset >> 2), byte = (uint8_t)value;

	if (len > 4 || offset % 4)
		return;
	device_lock_take(&g->lock);
	if (offset < GPIO_DATA_END)
		g->out = (g->out & ~mask) | (byte & mask);
	else
		write_register(g, offset, byte);
	device_lock_release(&g->lock);
}

const struct mmio_ops gpio_mmio_ops = {
	.read = gpio_read,
	.write = gpio_write,
};

/* ------------------------------------------------------------------ the key */

static void set_key(struct gpio *g, bool pressed)
{
	device_lock_take(&g->lock);
	set_lines(g, pressed ? g->in | POWER_KEY : g->in & ~POWER_KEY);
	device_lock_release(&g->lock);
}

static void stop_timer(struct gpio *g)
{
	loop_close(g->loop, &g->release);
}

static void on_release(struct event_source *source, uint32_t events)
{
	struct gpio *g = container_of(source, struct gpio, release);

	(void)events;
	stop_timer(g);
	set_key(g, false);
}

/* The timer is created on demand, because most keys are never pressed. */
static int start_timer(struct gpio *g)
{
	static const struct itimerspec soon = {
		.it_value.tv_nsec = PRESS_MS * 1000000l,
	};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (timer < 0)
		return -1;
	if (!timerfd_settime(timer, 0, &soon, NULL) &&
	    !loop_add(g->loop, &g->release, timer, EPOLLIN))
		return 0;
	close(timer);
	return -1;
}

void gpio_press_power(struct gpio *g)
{
	stop_timer(g);
	set_key(g, true);
	/* Without a timer, release it at once: a key must not stay pressed. */
	if (start_timer(g))
		set_key(g, false);
}

struct gpio *gpio_create(struct event_loop *loop, struct irq_line irq,
			 struct err *e)
{
	struct gpio *g = calloc(1, sizeof(*g));

	if (!g) {
		err_errno(e, "cannot create the power key");
		return NULL;
	}
	g->loop = loop;
	g->irq = irq;
	g->release = (struct event_source){.fd = -1, .ready = on_release};
	device_lock_init(&g->lock);
	return g;
}

void gpio_destroy(struct gpio *g)
{
	if (!g)
		return;
	stop_timer(g);
	device_lock_fini(&g->lock);
	free(g);
}

void gpio_state(struct gpio *g, struct snap *s)
{
	bool is_pressed;

	snap_begin(s, SNAP_TAG('g', 'p', 'i', 'o'));
	device_lock_take(&g->lock);
	snap_u8(s, &g->in);
	snap_u8(s, &g->out);
	snap_u8(s, &g->dir);
	snap_u8(s, &g->sense);
	snap_u8(s, &g->both);
	snap_u8(s, &g->event);
	snap_u8(s, &g->enable);
	snap_u8(s, &g->raw);
	snap_u8(s, &g->alt);
	snap_u8(s, &g->told);
	is_pressed = g->in & POWER_KEY;
	device_lock_release(&g->lock);
	snap_end(s);
	/* A key saved while pressed needs a new timer to release it. */
	if (snap_loading(s) && is_pressed && start_timer(g))
		set_key(g, false);
}
