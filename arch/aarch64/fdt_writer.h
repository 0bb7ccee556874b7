/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the device tree: libfdt's sequential-write interface with a sticky
 * error, and definitions shared by the files that each write a part of the
 * tree.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"

enum {
	PHANDLE_GIC = 1,
	PHANDLE_CLOCK = 2,
	PHANDLE_GPIO = 3,
	PHANDLE_CACHE = 16, /* + level * vCPUs + group */

	IRQ_SPI = 0,
	IRQ_PPI = 1,
	IRQ_EDGE_RISING = 1,
	IRQ_LEVEL_HIGH = 4,
};

/* The first failure sticks, so that callers need no error handling. */
struct writer {
	void *fdt;
	int error;
	const struct arch_vm *a;
	const struct arch_topology *topology;
	struct cache cache[CACHES_MAX];
	unsigned cache_count;
};

/* Keep @r, a result of libfdt, if it is the first error. */
void fdt_w_check(struct writer *w, int r);

void fdt_w_begin(struct writer *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void fdt_w_end(struct writer *w);

void fdt_w_flag(struct writer *w, const char *name);
void fdt_w_text(struct writer *w, const char *name, const char *value);
/* @values: @size bytes of strings, each with its NUL. */
void fdt_w_texts(struct writer *w, const char *name, const char *values,
		 size_t size);
void fdt_w_u32(struct writer *w, const char *name, uint32_t value);
void fdt_w_u64(struct writer *w, const char *name, uint64_t value);
void fdt_w_u32s(struct writer *w, const char *name, const uint32_t *values,
		unsigned count);
/* Property `reg`.  @pairs: address, size, address, size ... @count numbers. */
void fdt_w_reg(struct writer *w, const uint64_t *pairs, unsigned count);
/* Property `interrupts`: SPI @number, edge-triggered. */
void fdt_w_spi(struct writer *w, unsigned number);
/* The third cell (flags) of a private interrupt. */
uint32_t fdt_w_ppi_flags(const struct writer *w);

/* fdt_cpus.c: write the node `cpus` and the nodes of caches. */
void fdt_cpus(struct writer *w);
