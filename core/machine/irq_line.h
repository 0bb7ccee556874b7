/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge-triggered interrupt that is seldom raised.  Unlike an eventfd that
 * KVM listens to, it costs nothing until then: not at a VM's start, nor at its
 * end, when KVM waits for each of those.
 */
#pragma once

struct irq_line {
	void (*pulse)(void *context, unsigned irq); /* from any thread */
	void *context;
	unsigned irq; /* SPI number */
};

static inline void irq_line_pulse(const struct irq_line *line)
{
	line->pulse(line->context, line->irq);
}
