/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ARM PL061 GPIO controller whose line 0 is a power key: what an operator
 * presses so that the guest shuts down by itself.
 *
 * Registers: ARM DDI 0190.  They are accessed on vCPU threads; everything else
 * is called on the main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/irq_line.h"
#include "core/machine/mmio_bus.h"

struct err;
struct event_loop;
struct gpio;
struct snap;

extern const struct mmio_ops gpio_mmio_ops;

struct gpio *gpio_create(struct event_loop *loop, struct irq_line irq,
			 struct err *e);
void gpio_destroy(struct gpio *gpio);

/* Press the key, and release it soon: a guest debounces it.  Pressing it while
 * it is pressed changes nothing. */
void gpio_press_power(struct gpio *gpio);

/* While no vCPU runs. */
void gpio_state(struct gpio *gpio, struct snap *s);
