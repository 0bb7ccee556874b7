/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ARM PL061 GPIO controller whose line 0 is a power key.  An operator
 * presses it to make the guest shut itself down.
 *
 * Registers: ARM DDI 0190.  They are accessed on vCPU threads; all other
 * functions are called on the main thread.
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

/*
 * Returns NULL on failure.  @loop outlives the device; gpio_destroy() frees it.
 */
struct gpio *gpio_create(struct event_loop *loop, struct irq_line irq,
			 struct err *e);
/* NULL is accepted. */
void gpio_destroy(struct gpio *gpio);

/*
 * Press the key and release it 100 ms later, longer than a guest debounces it.
 * Pressing it again meanwhile only delays the release.
 */
void gpio_press_power(struct gpio *gpio);

/* Save or load, while no vCPU runs. */
void gpio_state(struct gpio *gpio, struct snap *s);
