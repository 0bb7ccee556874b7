/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge-triggered interrupt that is rarely raised.  Unlike an irqfd it costs
 * nothing until it is raised: setting up an irqfd delays a VM's start, and KVM
 * waits for each one at the VM's end.
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
