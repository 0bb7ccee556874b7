/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree, written front to back.
 *
 * Bindings: Linux, Documentation/devicetree/bindings.  Nodes and their order
 * are Firecracker's.
 */
#include <libfdt.h>
#include <string.h>
#include <sys/random.h>

#include "arch/aarch64/fdt_writer.h"
#include "core/base/err.h"

enum {
	CLOCK_HZ = 24000000,
	RNG_SEED_SIZE = 64,
	/* Larger than needed, but not much: libfdt clears all of it first. */
	FDT_SIZE_BASE = 20 * 1024, /* ARCH_VIRTIO_MAX devices need 12 KiB */
	FDT_SIZE_PER_CPU = 2 * 1024,
};

/* ---------------------------------------------------------- memory, chosen */

static void memory(struct writer *w)
{
	const struct guest_mem *mem = w->topology->mem;
	uint64_t pairs[2 * GUEST_MEM_REGIONS_MAX] = {0};
	uint64_t reserved = w->topology->raw ? RAM_SHARED : RAM_RESERVED;
	unsigned n = 0;

	for (unsigned i = 0; i < mem->region_count; i++) {
		/* Keep the reserved RAM from the guest's allocator. */
		uint64_t skip = i ? 0 : reserved;

		pairs[n++] = mem->region[i].gpa + skip;
		pairs[n++] = mem->region[i].size - skip;
	}
	fdt_w_begin(w, "memory@%llx", (unsigned long long)pairs[0]);
	fdt_w_text(w, "device_type", "memory");
	fdt_w_reg(w, pairs, n);
	fdt_w_end(w);
}

static void chosen(struct writer *w)
{
	const struct arch_topology *t = w->topology;
	struct {
		uint8_t rng[RNG_SEED_SIZE];
		uint64_t kaslr;
	} seed;

	fdt_w_begin(w, "chosen");
	fdt_w_text(w, "bootargs", t->cmdline);
	if (t->initrd_size) {
		fdt_w_u64(w, "linux,initrd-start", t->initrd);
		fdt_w_u64(w, "linux,initrd-end", t->initrd + t->initrd_size);
	}
	/* Linux erases both in the tree once it has read them. */
	if (getrandom(&seed, sizeof(seed), 0) == sizeof(seed)) {
		fdt_w_check(w, fdt_property(w->fdt, "rng-seed", seed.rng,
					    sizeof(seed.rng)));
		if (!t->no_kaslr)
			fdt_w_u64(w, "kaslr-seed", seed.kaslr);
	}
	explicit_bzero(&seed, sizeof(seed));
	fdt_w_end(w);
}

/*
 * For systemd-detect-virt and the like, which recognise KVM by this node's
 * name.  Linux itself only looks for Xen's node.
 */
static void hypervisor(struct writer *w)
{
	fdt_w_begin(w, "hypervisor");
	fdt_w_text(w, "compatible", "linux,kvm");
	fdt_w_end(w);
}

/* ----------------------------------------------------- interrupts and time */

static void gic(struct writer *w)
{
	const uint32_t maintenance[] = {IRQ_PPI, PPI_GIC_MAINTENANCE,
					fdt_w_ppi_flags(w)};
	const uint64_t v3[] = {GIC_V3_DIST_GPA, GIC_V3_DIST_SIZE,
			       gic_v3_redist_gpa(w->a->vcpu_count),
			       w->a->vcpu_count * GIC_V3_REDIST_SIZE};
	const uint64_t v2[] = {GIC_V2_DIST_GPA, GIC_V2_DIST_SIZE,
			       GIC_V2_CPU_GPA, GIC_V2_CPU_SIZE};

	fdt_w_begin(w, "intc");
	if (w->a->gic_version == 3) {
		fdt_w_text(w, "compatible", "arm,gic-v3");
		fdt_w_reg(w, v3, ARRAY_SIZE(v3));
	} else {
		fdt_w_text(w, "compatible", "arm,gic-400");
		fdt_w_reg(w, v2, ARRAY_SIZE(v2));
	}
	fdt_w_flag(w, "interrupt-controller");
	fdt_w_u32(w, "#interrupt-cells", 3);
	fdt_w_u32(w, "#address-cells", 2);
	fdt_w_u32(w, "#size-cells", 2);
	fdt_w_flag(w, "ranges");
	fdt_w_u32(w, "phandle", PHANDLE_GIC);
	fdt_w_u32s(w, "interrupts", maintenance, ARRAY_SIZE(maintenance));
	fdt_w_end(w);
}

static void timer(struct writer *w)
{
	static const uint32_t ppis[] = {PPI_TIMER_SECURE, PPI_TIMER_PHYS,
					PPI_TIMER_VIRT, PPI_TIMER_HYP,
					PPI_TIMER_HYP_VIRT};
	uint32_t cells[3 * ARRAY_SIZE(ppis)];
	/* The last one is for guest hypervisors with VHE. */
	unsigned n = ARRAY_SIZE(ppis) - !w->a->has[ARCH_NESTED];

	for (size_t i = 0; i < n; i++) {
		cells[3 * i] = IRQ_PPI;
		cells[3 * i + 1] = ppis[i];
		cells[3 * i + 2] = fdt_w_ppi_flags(w);
	}
	fdt_w_begin(w, "timer");
	fdt_w_text(w, "compatible", "arm,armv8-timer");
	fdt_w_flag(w, "always-on");
	fdt_w_u32s(w, "interrupts", cells, 3 * n);
	fdt_w_end(w);
}

static void pmu(struct writer *w)
{
	const uint32_t cells[] = {IRQ_PPI, PPI_PMU, fdt_w_ppi_flags(w)};

	fdt_w_begin(w, "pmu");
	fdt_w_text(w, "compatible", "arm,armv8-pmuv3");
	fdt_w_u32s(w, "interrupts", cells, ARRAY_SIZE(cells));
	fdt_w_end(w);
}

static void clock_node(struct writer *w)
{
	fdt_w_begin(w, "apb-pclk");
	fdt_w_text(w, "compatible", "fixed-clock");
	fdt_w_u32(w, "#clock-cells", 0);
	fdt_w_u32(w, "clock-frequency", CLOCK_HZ);
	fdt_w_text(w, "clock-output-names", "clk24mhz");
	fdt_w_u32(w, "phandle", PHANDLE_CLOCK);
	fdt_w_end(w);
}

static void psci(struct writer *w)
{
	static const char compatible[] = "arm,psci-1.0\0arm,psci-0.2";

	fdt_w_begin(w, "psci");
	fdt_w_texts(w, "compatible", compatible, sizeof(compatible));
	/* In a guest with EL2, HVC would call the guest's own hypervisor. */
	fdt_w_text(w, "method", w->a->has[ARCH_NESTED] ? "smc" : "hvc");
	fdt_w_end(w);
}

/* ------------------------------------------------------------------ devices */

static void device(struct writer *w, const char *name, gpa_t gpa)
{
	const uint64_t window[] = {gpa, DEVICE_SIZE};

	fdt_w_begin(w, "%s@%llx", name, (unsigned long long)gpa);
	fdt_w_reg(w, window, ARRAY_SIZE(window));
}

static void rtc(struct writer *w)
{
	static const char compatible[] = "arm,pl031\0arm,primecell";

	device(w, "rtc", RTC_GPA);
	fdt_w_texts(w, "compatible", compatible, sizeof(compatible));
	fdt_w_u32(w, "clocks", PHANDLE_CLOCK);
	fdt_w_text(w, "clock-names", "apb_pclk");
	fdt_w_spi(w, RTC_SPI);
	fdt_w_end(w);
}

static void uart(struct writer *w)
{
	device(w, "uart", SERIAL_GPA);
	fdt_w_text(w, "compatible", "ns16550a");
	fdt_w_u32(w, "clocks", PHANDLE_CLOCK);
	fdt_w_text(w, "clock-names", "apb_pclk");
	fdt_w_spi(w, SERIAL_SPI);
	fdt_w_end(w);
}

static void virtio(struct writer *w, unsigned slot)
{
	device(w, "virtio_mmio", VIRTIO_GPA + slot * DEVICE_SIZE);
	fdt_w_text(w, "compatible", "virtio,mmio");
	fdt_w_flag(w, "dma-coherent");
	fdt_w_spi(w, VIRTIO_SPI + slot);
	fdt_w_end(w);
}

/* A GPIO controller, and a key on its line 0 (Linux's KEY_POWER, 116). */
static void power_key(struct writer *w)
{
	static const char compatible[] = "arm,pl061\0arm,primecell";
	static const uint32_t line[] = {PHANDLE_GPIO, 0, 0};

	device(w, "gpio", GPIO_GPA);
	fdt_w_texts(w, "compatible", compatible, sizeof(compatible));
	fdt_w_u32(w, "clocks", PHANDLE_CLOCK);
	fdt_w_text(w, "clock-names", "apb_pclk");
	fdt_w_flag(w, "gpio-controller");
	fdt_w_u32(w, "#gpio-cells", 2);
	fdt_w_flag(w, "interrupt-controller");
	fdt_w_u32(w, "#interrupt-cells", 2);
	fdt_w_u32(w, "phandle", PHANDLE_GPIO);
	fdt_w_spi(w, GPIO_SPI);
	fdt_w_end(w);
	fdt_w_begin(w, "gpio-keys");
	fdt_w_text(w, "compatible", "gpio-keys");
	fdt_w_begin(w, "power");
	fdt_w_text(w, "label", "Power");
	fdt_w_u32(w, "linux,code", 116);
	fdt_w_u32s(w, "gpios", line, ARRAY_SIZE(line));
	/* The key wakes a guest that suspended itself. */
	fdt_w_flag(w, "wakeup-source");
	fdt_w_end(w);
	fdt_w_end(w);
}

/* VMClock and VMGenID: pages in RAM, each with an interrupt on changes. */
static void time_pages(struct writer *w)
{
	device(w, "ptp", VMCLOCK_GPA);
	fdt_w_text(w, "compatible", "amazon,vmclock");
	fdt_w_spi(w, VMCLOCK_SPI);
	fdt_w_end(w);
	device(w, "rng", VMGENID_GPA);
	fdt_w_text(w, "compatible", "microsoft,vmgenid");
	fdt_w_spi(w, VMGENID_SPI);
	fdt_w_end(w);
}

/* --------------------------------------------------------------- the whole */

static void root(struct writer *w)
{
	fdt_w_begin(w, "%s", "");
	fdt_w_text(w, "compatible", "linux,dummy-virt");
	fdt_w_u32(w, "#address-cells", 2);
	fdt_w_u32(w, "#size-cells", 2);
	fdt_w_u32(w, "interrupt-parent", PHANDLE_GIC);
	fdt_cpus(w);
	memory(w);
	chosen(w);
	hypervisor(w);
	gic(w);
	timer(w);
	if (w->a->has[ARCH_PMU])
		pmu(w);
	clock_node(w);
	psci(w);
	rtc(w);
	if (w->topology->serial)
		uart(w);
	for (unsigned i = 0; i < w->topology->virtio_count; i++)
		virtio(w, i);
	power_key(w);
	time_pages(w);
	fdt_w_end(w);
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

	*fdt = topology->fdt_high ? high_fdt_gpa(topology->mem) : FDT_GPA;
	w.fdt = guest_mem_at(topology->mem, *fdt, size);
	if (!w.fdt)
		return err_set(e, "there is no RAM for the device tree");
	w.cache_count = cache_read_host(a->vcpu_count > 1, w.cache);
	/* Sharing equal property names takes longer than everything else. */
	fdt_w_check(&w, fdt_create_with_flags(w.fdt, (int)size,
					      FDT_CREATE_FLAG_NO_NAME_DEDUP));
	fdt_w_check(&w, fdt_finish_reservemap(w.fdt));
	root(&w);
	fdt_w_check(&w, fdt_finish(w.fdt));
	if (w.error)
		return err_set(e, "cannot write the device tree: %s",
			       fdt_strerror(w.error));
	return 0;
}
