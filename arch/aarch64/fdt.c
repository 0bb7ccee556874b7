/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree, written front to back with libfdt's sequential interface.
 *
 * Bindings: Linux, Documentation/devicetree/bindings; the nodes and their
 * order are what Firecracker's guests are used to.
 */
#include <errno.h>
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/kvm/kvm.h"

enum {
	PHANDLE_GIC = 1,
	PHANDLE_CLOCK = 2,
	PHANDLE_CACHE = 16, /* + level * vCPUs + group */

	IRQ_SPI = 0,
	IRQ_PPI = 1,
	IRQ_EDGE_RISING = 1,
	IRQ_LEVEL_HIGH = 4,

	CLOCK_HZ = 24000000,
	RNG_SEED_SIZE = 64,
	/* More than it takes; libfdt clears all of it first. */
	FDT_SIZE_BASE = 8 * 1024,
	FDT_SIZE_PER_CPU = 2 * 1024,
};

#define MPIDR_AFFINITY 0xff00ffffffull

/* The first failure sticks, so that the tree below reads as a tree. */
struct writer {
	void *fdt;
	int error;
	const struct arch_vm *a;
	const struct arch_topology *topology;
	struct cache cache[CACHES_MAX];
	unsigned cache_count;
};

static void check(struct writer *w, int r)
{
	if (!w->error)
		w->error = r;
}

static void begin(struct writer *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void begin(struct writer *w, const char *format, ...)
{
	char name[64];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	check(w, fdt_begin_node(w->fdt, name));
}

static void end(struct writer *w)
{
	check(w, fdt_end_node(w->fdt));
}

static void flag(struct writer *w, const char *name)
{
	check(w, fdt_property(w->fdt, name, NULL, 0));
}

static void text(struct writer *w, const char *name, const char *value)
{
	check(w, fdt_property_string(w->fdt, name, value));
}

/* @values: strings one after the other, each with its NUL. */
static void texts(struct writer *w, const char *name, const char *values,
		  size_t size)
{
	check(w, fdt_property(w->fdt, name, values, (int)size));
}

static void u32(struct writer *w, const char *name, uint32_t value)
{
	check(w, fdt_property_u32(w->fdt, name, value));
}

static void u64(struct writer *w, const char *name, uint64_t value)
{
	check(w, fdt_property_u64(w->fdt, name, value));
}

static void u32s(struct writer *w, const char *name, const uint32_t *values,
		 unsigned count)
{
	fdt32_t cells[16];

	for (unsigned i = 0; i < count; i++)
		cells[i] = cpu_to_fdt32(values[i]);
	check(w, fdt_property(w->fdt, name, cells, (int)(count * 4)));
}

/* @pairs: address, size, address, size ... */
static void reg(struct writer *w, const uint64_t *pairs, unsigned count)
{
	fdt64_t cells[8];

	for (unsigned i = 0; i < count; i++)
		cells[i] = cpu_to_fdt64(pairs[i]);
	check(w, fdt_property(w->fdt, "reg", cells, (int)(count * 8)));
}

static void spi(struct writer *w, unsigned number)
{
	const uint32_t cells[] = {IRQ_SPI, number, IRQ_EDGE_RISING};

	u32s(w, "interrupts", cells, ARRAY_SIZE(cells));
}

/* What the third cell of a private interrupt says. */
static uint32_t ppi_flags(const struct writer *w)
{
	if (w->a->gic_version == 3)
		return IRQ_LEVEL_HIGH;
	/* arm,gic.yaml: GICv2 wants to know which (8) CPUs it is wired to. */
	return IRQ_LEVEL_HIGH | ((1u << w->a->vcpu_count) - 1) << 8;
}

/* ----------------------------------------------------------- CPUs, caches */

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
			u32(w, name, properties[i].value);
	}
}

static void next_level(struct writer *w, unsigned level, unsigned cpu)
{
	const struct cache *next = outer_cache(w, level);

	if (next)
		u32(w, "next-level-cache", cache_phandle(w, next, cpu));
}

static void cache_node(struct writer *w, const struct cache *c, unsigned cpu)
{
	begin(w, "l%u-%u-cache", c->level, cpu / c->sharing);
	text(w, "compatible", "cache");
	u32(w, "phandle", cache_phandle(w, c, cpu));
	u32(w, "cache-level", c->level);
	flag(w, "cache-unified");
	cache_size(w, c, "");
	next_level(w, c->level + 1, cpu);
	end(w);
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
	/* After all properties: a shared one is described by its first CPU. */
	for (unsigned i = 0; i < w->cache_count; i++) {
		const struct cache *c = &w->cache[i];

		if (c->level > 1 && c->type == CACHE_UNIFIED &&
		    cpu % c->sharing == 0)
			cache_node(w, c, cpu);
	}
}

/*
 * KVM makes up a CLIDR_EL1 of its own; Linux believes it as to which caches
 * are split, so it has to agree with the tree.
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

	check(w, kvm_vcpu_get_reg(vcpu, ARM64_SYS_REG(3, 0, 0, 0, 5), &mpidr)
			 ? -FDT_ERR_BADVALUE
			 : 0);
	mpidr &= MPIDR_AFFINITY;
	begin(w, "cpu@%llx", (unsigned long long)mpidr);
	text(w, "device_type", "cpu");
	text(w, "compatible", "arm,armv8");
	text(w, "enable-method", "psci");
	u64(w, "reg", mpidr);
	caches_of(w, vcpu->index);
	end(w);
	align_clidr(w, vcpu);
}

static void cpus(struct writer *w)
{
	begin(w, "cpus");
	u32(w, "#address-cells", 2);
	u32(w, "#size-cells", 0);
	for (unsigned i = 0; i < w->a->vcpu_count; i++)
		cpu_node(w, w->a->vcpu[i]);
	end(w);
}

/* ---------------------------------------------------------- memory, chosen */

static void memory(struct writer *w)
{
	const struct guest_mem *mem = w->topology->mem;
	uint64_t pairs[2 * GUEST_MEM_REGIONS_MAX] = {0};
	unsigned n = 0;

	for (unsigned i = 0; i < mem->region_count; i++) {
		/* The first 2 MiB are not for the guest's allocator. */
		uint64_t skip = i ? 0 : RAM_RESERVED;

		pairs[n++] = mem->region[i].gpa + skip;
		pairs[n++] = mem->region[i].size - skip;
	}
	begin(w, "memory@%llx", (unsigned long long)pairs[0]);
	text(w, "device_type", "memory");
	reg(w, pairs, n);
	end(w);
}

static void chosen(struct writer *w)
{
	const struct arch_topology *t = w->topology;
	uint8_t seed[RNG_SEED_SIZE];

	begin(w, "chosen");
	text(w, "bootargs", t->cmdline);
	if (t->initrd_size) {
		u64(w, "linux,initrd-start", t->initrd);
		u64(w, "linux,initrd-end", t->initrd + t->initrd_size);
	}
	if (getrandom(seed, sizeof(seed), 0) == sizeof(seed))
		check(w, fdt_property(w->fdt, "rng-seed", seed, sizeof(seed)));
	explicit_bzero(seed, sizeof(seed));
	end(w);
}

/* ----------------------------------------------------- interrupts and time */

static void gic(struct writer *w)
{
	const uint32_t maintenance[] = {IRQ_PPI, PPI_GIC_MAINTENANCE,
					ppi_flags(w)};
	const uint64_t v3[] = {GIC_V3_DIST_GPA, GIC_V3_DIST_SIZE,
			       gic_v3_redist_gpa(w->a->vcpu_count),
			       w->a->vcpu_count * GIC_V3_REDIST_SIZE};
	const uint64_t v2[] = {GIC_V2_DIST_GPA, GIC_V2_DIST_SIZE,
			       GIC_V2_CPU_GPA, GIC_V2_CPU_SIZE};

	begin(w, "intc");
	if (w->a->gic_version == 3) {
		text(w, "compatible", "arm,gic-v3");
		reg(w, v3, ARRAY_SIZE(v3));
	} else {
		text(w, "compatible", "arm,gic-400");
		reg(w, v2, ARRAY_SIZE(v2));
	}
	flag(w, "interrupt-controller");
	u32(w, "#interrupt-cells", 3);
	u32(w, "#address-cells", 2);
	u32(w, "#size-cells", 2);
	flag(w, "ranges");
	u32(w, "phandle", PHANDLE_GIC);
	u32s(w, "interrupts", maintenance, ARRAY_SIZE(maintenance));
	end(w);
}

static void timer(struct writer *w)
{
	static const uint32_t ppis[] = {PPI_TIMER_SECURE, PPI_TIMER_PHYS,
					PPI_TIMER_VIRT, PPI_TIMER_HYP};
	uint32_t cells[3 * ARRAY_SIZE(ppis)];

	for (size_t i = 0; i < ARRAY_SIZE(ppis); i++) {
		cells[3 * i] = IRQ_PPI;
		cells[3 * i + 1] = ppis[i];
		cells[3 * i + 2] = ppi_flags(w);
	}
	begin(w, "timer");
	text(w, "compatible", "arm,armv8-timer");
	flag(w, "always-on");
	u32s(w, "interrupts", cells, ARRAY_SIZE(cells));
	end(w);
}

static void pmu(struct writer *w)
{
	const uint32_t cells[] = {IRQ_PPI, PPI_PMU, ppi_flags(w)};

	begin(w, "pmu");
	text(w, "compatible", "arm,armv8-pmuv3");
	u32s(w, "interrupts", cells, ARRAY_SIZE(cells));
	end(w);
}

static void clock_node(struct writer *w)
{
	begin(w, "apb-pclk");
	text(w, "compatible", "fixed-clock");
	u32(w, "#clock-cells", 0);
	u32(w, "clock-frequency", CLOCK_HZ);
	text(w, "clock-output-names", "clk24mhz");
	u32(w, "phandle", PHANDLE_CLOCK);
	end(w);
}

static void psci(struct writer *w)
{
	static const char compatible[] = "arm,psci-1.0\0arm,psci-0.2";

	begin(w, "psci");
	texts(w, "compatible", compatible, sizeof(compatible));
	text(w, "method", "hvc");
	end(w);
}

/* ------------------------------------------------------------------ devices */

static void device(struct writer *w, const char *name, gpa_t gpa)
{
	const uint64_t window[] = {gpa, DEVICE_SIZE};

	begin(w, "%s@%llx", name, (unsigned long long)gpa);
	reg(w, window, ARRAY_SIZE(window));
}

static void rtc(struct writer *w)
{
	static const char compatible[] = "arm,pl031\0arm,primecell";

	device(w, "rtc", RTC_GPA);
	texts(w, "compatible", compatible, sizeof(compatible));
	u32(w, "clocks", PHANDLE_CLOCK);
	text(w, "clock-names", "apb_pclk");
	end(w);
}

static void uart(struct writer *w)
{
	device(w, "uart", SERIAL_GPA);
	text(w, "compatible", "ns16550a");
	u32(w, "clocks", PHANDLE_CLOCK);
	text(w, "clock-names", "apb_pclk");
	spi(w, SERIAL_SPI);
	end(w);
}

/* --------------------------------------------------------------- the whole */

static void root(struct writer *w)
{
	begin(w, "%s", "");
	text(w, "compatible", "linux,dummy-virt");
	u32(w, "#address-cells", 2);
	u32(w, "#size-cells", 2);
	u32(w, "interrupt-parent", PHANDLE_GIC);
	cpus(w);
	memory(w);
	chosen(w);
	gic(w);
	timer(w);
	if (w->a->has[ARCH_PMU])
		pmu(w);
	clock_node(w);
	psci(w);
	rtc(w);
	if (w->topology->serial)
		uart(w);
	end(w);
}

_Static_assert(FDT_SIZE_BASE + ARCH_VCPUS_MAX * FDT_SIZE_PER_CPU <=
		       FDT_MAX_SIZE,
	       "the device tree fits where it goes");

int arch_write_fdt(const struct arch_vm *a,
		   const struct arch_topology *topology, gpa_t *fdt,
		   struct err *e)
{
	uint64_t size = FDT_SIZE_BASE + a->vcpu_count * FDT_SIZE_PER_CPU;
	struct writer w = {.a = a, .topology = topology};

	*fdt = FDT_GPA;
	guest_mem_expect_little(topology->mem, RAM_BASE, RAM_RESERVED);
	w.fdt = guest_mem_at(topology->mem, *fdt, size);
	if (!w.fdt)
		return err_set(e, "there is no RAM for the device tree");
	w.cache_count = cache_read_host(w.cache);
	/* Looking for names to share takes longer than all the rest. */
	check(&w, fdt_create_with_flags(w.fdt, (int)size,
					FDT_CREATE_FLAG_NO_NAME_DEDUP));
	check(&w, fdt_finish_reservemap(w.fdt));
	root(&w);
	check(&w, fdt_finish(w.fdt));
	if (w.error)
		return err_set(e, "cannot write the device tree: %s",
			       fdt_strerror(w.error));
	return 0;
}
