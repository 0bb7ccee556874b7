/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs and their caches in the device tree. */
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdio.h>

#include "arch/aarch64/fdt_writer.h"
#include "core/io/log.h"
#include "core/kvm/kvm.h"

#define MPIDR_AFFINITY 0xff00ffffffull

static uint32_t cache_phandle(const struct writer *w, const struct cache *c,
			      unsigned cpu)
{
	return PHANDLE_CACHE + c->level * w->a->vcpu_count + cpu / c->sharing;
}

/* The unified cache of @level, if the host has one. */
static const struct cache *outer_cache(const struct writer *w, unsigned level)
{
	for (unsigned i = 0; i < w->cache_count; i++) {
		if (w->cache[i].level == level &&
		    w->cache[i].type == CACHE_UNIFIED)
			return &w->cache[i];
	}
	return NULL;
}

static void cache_size(struct writer *w, const struct cache *c,
		       const char *prefix)
{
	const struct {
		const char *suffix;
		unsigned value;
	} properties[] = {
		{"size", c->size},
		{"line-size", c->line_size},
		{"sets", c->sets},
	};
	char name[32];

	for (unsigned i = 0; i < ARRAY_SIZE(properties); i++) {
		snprintf(name, sizeof(name), "%scache-%s", prefix,
			 properties[i].suffix);
		if (properties[i].value)
			fdt_w_u32(w, name, properties[i].value);
	}
}

static void next_level(struct writer *w, unsigned level, unsigned cpu)
{
	const struct cache *next = outer_cache(w, level);

	if (next)
		fdt_w_u32(w, "next-level-cache", cache_phandle(w, next, cpu));
}

static void cache_node(struct writer *w, const struct cache *c, unsigned cpu)
{
	fdt_w_begin(w, "l%u-%u-cache", c->level, cpu / c->sharing);
	fdt_w_text(w, "compatible", "cache");
	fdt_w_u32(w, "phandle", cache_phandle(w, c, cpu));
	fdt_w_u32(w, "cache-level", c->level);
	fdt_w_flag(w, "cache-unified");
	cache_size(w, c, "");
	next_level(w, c->level + 1, cpu);
	fdt_w_end(w);
}

static void caches_of(struct writer *w, unsigned cpu)
{
	static const char *const prefix[] = {
		[CACHE_INSTRUCTION] = "i-",
		[CACHE_DATA] = "d-",
		[CACHE_UNIFIED] = "",
	};

	for (unsigned i = 0; i < w->cache_count; i++) {
		if (w->cache[i].level == 1)
			cache_size(w, &w->cache[i], prefix[w->cache[i].type]);
	}
	next_level(w, 2, cpu);
	/* Nodes go after all properties.  The first CPU that shares a cache
	 * describes it. */
	for (unsigned i = 0; i < w->cache_count; i++) {
		const struct cache *c = &w->cache[i];

		if (c->level > 1 && c->type == CACHE_UNIFIED &&
		    cpu % c->sharing == 0)
			cache_node(w, c, cpu);
	}
}

/*
 * Make CLIDR_EL1 agree with the device tree.  KVM invents its value, and Linux
 * takes from it which caches are split into instruction and data.
 */
static void align_clidr(struct writer *w, struct kvm_vcpu *vcpu)
{
	const uint64_t id = ARM64_SYS_REG(3, 1, 0, 0, 1);
	uint64_t clidr, levels = 0;

	if (!w->cache_count || kvm_vcpu_get_reg(vcpu, id, &clidr))
		return;
	clidr &= ~((1ull << 21) - 1) & ~(7ull << 24); /* Ctype<n>, LoC */
	for (unsigned i = 0; i < w->cache_count; i++) {
		unsigned shift = (w->cache[i].level - 1) * 3;
		uint64_t kind = w->cache[i].type == CACHE_UNIFIED
					? 4
					: w->cache[i].type;

		clidr |= kind << shift; /* instruction | data = 3: separate */
		levels = max_u64(levels, w->cache[i].level);
	}
	clidr |= levels << 24;
	if (kvm_vcpu_set_reg(vcpu, id, &clidr))
		log_debug("KVM keeps its own CLIDR_EL1");
}

static void cpu_node(struct writer *w, struct kvm_vcpu *vcpu)
{
	uint64_t mpidr = 0;

	fdt_w_check(w,
		    kvm_vcpu_get_reg(vcpu, ARM64_SYS_REG(3, 0, 0, 0, 5), &mpidr)
			    ? -FDT_ERR_BADVALUE
			    : 0);
	mpidr &= MPIDR_AFFINITY;
	fdt_w_begin(w, "cpu@%llx", (unsigned long long)mpidr);
	fdt_w_text(w, "device_type", "cpu");
	fdt_w_text(w, "compatible", "arm,armv8");
	fdt_w_text(w, "enable-method", "psci");
	fdt_w_u64(w, "reg", mpidr);
	caches_of(w, vcpu->index);
	fdt_w_end(w);
	align_clidr(w, vcpu);
}

void fdt_cpus(struct writer *w)
{
	fdt_w_begin(w, "cpus");
	fdt_w_u32(w, "#address-cells", 2);
	fdt_w_u32(w, "#size-cells", 0);
	for (unsigned i = 0; i < w->a->vcpu_count; i++)
		cpu_node(w, w->a->vcpu[i]);
	fdt_w_end(w);
}
