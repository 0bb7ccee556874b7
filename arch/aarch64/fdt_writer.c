/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/aarch64/fdt_writer.h"

#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/util.h"

void fdt_w_check(struct writer *w, int r)
{
	if (!w->error)
		w->error = r;
}

void fdt_w_begin(struct writer *w, const char *format, ...)
{
	char name[64];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	fdt_w_check(w, fdt_begin_node(w->fdt, name));
}

void fdt_w_end(struct writer *w)
{
	fdt_w_check(w, fdt_end_node(w->fdt));
}

void fdt_w_flag(struct writer *w, const char *name)
{
	fdt_w_check(w, fdt_property(w->fdt, name, NULL, 0));
}

void fdt_w_text(struct writer *w, const char *name, const char *value)
{
	fdt_w_check(w, fdt_property_string(w->fdt, name, value));
}

void fdt_w_texts(struct writer *w, const char *name, const char *values,
		 size_t size)
{
	fdt_w_check(w, fdt_property(w->fdt, name, values, (int)size));
}

void fdt_w_u32(struct writer *w, const char *name, uint32_t value)
{
	fdt_w_check(w, fdt_property_u32(w->fdt, name, value));
}

void fdt_w_u64(struct writer *w, const char *name, uint64_t value)
{
	fdt_w_check(w, fdt_property_u64(w->fdt, name, value));
}

void fdt_w_u32s(struct writer *w, const char *name, const uint32_t *values,
		unsigned count)
{
	fdt32_t cells[16];

	for (unsigned i = 0; i < count; i++)
		cells[i] = cpu_to_fdt32(values[i]);
	fdt_w_check(w, fdt_property(w->fdt, name, cells, (int)(count * 4)));
}

void fdt_w_reg(struct writer *w, const uint64_t *pairs, unsigned count)
{
	fdt64_t cells[8];

	for (unsigned i = 0; i < count; i++)
		cells[i] = cpu_to_fdt64(pairs[i]);
	fdt_w_check(w, fdt_property(w->fdt, "reg", cells, (int)(count * 8)));
}

void fdt_w_spi(struct writer *w, unsigned number)
{
	const uint32_t cells[] = {IRQ_SPI, number, IRQ_EDGE_RISING};

	fdt_w_u32s(w, "interrupts", cells, ARRAY_SIZE(cells));
}

uint32_t fdt_w_ppi_flags(const struct writer *w)
{
	if (w->a->gic_version == 3)
		return IRQ_LEVEL_HIGH;
	/* arm,gic.yaml: with GICv2, bits 8 to 15 are a mask of CPUs. */
	return IRQ_LEVEL_HIGH | ((1u << w->a->vcpu_count) - 1) << 8;
}
