/* SPDX-License-Identifier: Apache-2.0 */
/* An interrupt line that counts how often it was raised. */
#pragma once

#include "core/machine/irq_line.h"

static inline void irq_counter_pulse(void *context, unsigned irq)
{
	(void)irq;
	++*(unsigned *)context;
}

static inline struct irq_line irq_counter(unsigned *count)
{
	return (struct irq_line){.pulse = irq_counter_pulse, .context = count};
}
