/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address map, register ids and helpers shared by the files of this
 * folder.  The map is Firecracker's, so that guests built for it fit, plus the
 * GPIO controller:
 *
 *	0x0000_0000 +------------------------------------------+
 *	            | unused                                   |
 *	            |   ^ one GICv3 redistributor per vCPU,    |
 *	            |   | 128 KiB each (or GICv2 CPU interface)|
 *	            | GIC distributor                          |
 *	0x4000_0000 +------------------------------------------+ GIC_TOP
 *	            | boot timer        (windows of 4 KiB each)| BOOT_TIMER_GPA
 *	0x4000_1000 | RTC                                      | RTC_GPA
 *	0x4000_2000 | serial port                              | SERIAL_GPA
 *	0x4000_3000 | virtio-mmio, ARCH_VIRTIO_MAX windows     | VIRTIO_GPA
 *	            +------------------------------------------+
 *	            | unused                                   |
 *	0x6fff_f000 | GPIO: the power key                      | GPIO_GPA
 *	0x7000_0000 +------------------------------------------+
 *	            | unused                                   |
 *	0x8000_0000 +------------------------------------------+ RAM_BASE
 *	            | first region of RAM: see below           |
 *	256 GiB     +------------------------------------------+
 *	            | unused (64-bit windows in Firecracker)   |
 *	512 GiB     +------------------------------------------+ RAM_HIGH_BASE
 *	            | second region: RAM beyond 254 GiB        |
 *	            +------------------------------------------+
 *
 * The first region, with a kernel image (left) or a raw binary (right).
 * RESERVED marks what the device tree leaves out of the memory node:
 *
 *	RAM_BASE  +--------------------+--------------------+
 *	          | unused    RESERVED | unused    RESERVED |
 *	+ 64 KiB  | steal-time records | steal-time records | PVTIME_GPA
 *	+ 128 KiB | VMClock page       | VMClock page       | VMCLOCK_GPA
 *	+ 192 KiB | VM generation ID   | VM generation ID   | VMGENID_GPA
 *	+ 256 KiB | snapshot's mark    | snapshot's mark    | SNAPSHOT_ID_GPA
 *	+ 512 KiB | unused             +--------------------+ RAM_SHARED
 *	          |                    | binary, by default | RAW_GPA
 *	+ 1 MiB   | device tree        |                    | FDT_GPA
 *	+ 2 MiB   +--------------------+                    | RAM_RESERVED
 *	          | kernel             |                    |
 *	          |        ...         |        ...         |
 *	          | initrd             | initrd             |
 *	          |                    +--------------------+ high_fdt_gpa()
 *	          |                    | device tree, 1 MiB |
 *	end       +--------------------+--------------------+
 *
 * The initrd ends within 32 GiB of RAM_BASE.
 */
#pragma once

#include <stdint.h>

#include "core/base/util.h"
#include "core/machine/gpa.h"
#include "core/machine/mem.h"

#define GIC_TOP        ((gpa_t)0x40000000)
#define BOOT_TIMER_GPA ((gpa_t)0x40000000)
#define RTC_GPA        ((gpa_t)0x40001000)
#define SERIAL_GPA     ((gpa_t)0x40002000)
#define GPIO_GPA       ((gpa_t)0x6ffff000)
#define VIRTIO_GPA     ((gpa_t)0x40003000)
#define DEVICE_SIZE    ((uint64_t)0x1000)

#define RAM_BASE      ((gpa_t)0x80000000)
#define RAM_RESERVED  MIB(2)
#define RAM_LOW_MAX   (GIB(256) - RAM_BASE)
#define RAM_HIGH_BASE ((gpa_t)GIB(512))

/* Pages within the reserved RAM, which the VMM and KVM share with the guest. */
#define PVTIME_GPA  (RAM_BASE + 0x10000)
#define PVTIME_SIZE ((uint64_t)64) /* per vCPU */
/* Each in 64 KiB of its own, because guests map them with other attributes. */
#define VMCLOCK_GPA (RAM_BASE + 0x20000)
#define VMGENID_GPA (RAM_BASE + 0x30000)

#define SNAPSHOT_ID_GPA (RAM_BASE + 0x40000)

#define FDT_GPA      (RAM_BASE + MIB(1))
#define FDT_MAX_SIZE MIB(1)

/* The part of the reserved RAM that the VMM and KVM use; no device tree. */
#define RAM_SHARED KIB(512)

/*
 * Default load address of raw binaries: 512 KiB from the start of RAM is the
 * text offset of the old arm64 boot protocol and where QEMU and kvmtool load
 * them, so kvm-unit-tests expect it.
 */
#define RAW_GPA (RAM_BASE + KIB(512))

/* The device tree at the end of the first region: a raw binary's, or on
 * request. */
static inline gpa_t high_fdt_gpa(const struct guest_mem *mem)
{
	return mem->region[0].gpa + mem->region[0].size - FDT_MAX_SIZE;
}

/* Interrupts: SPI n is INTID 32 + n, PPI n is INTID 16 + n. */
enum {
	GIC_IRQS = 128, /* INTIDs, of which 96 are SPIs */
	SERIAL_SPI = 0,
	VIRTIO_SPI = 1, /* ARCH_VIRTIO_MAX of them */
	GPIO_SPI = 95,  /* from here down, out of virtio's way */
	VMCLOCK_SPI = 94,
	VMGENID_SPI = 93,
	RTC_SPI = 92,

	PPI_TIMER_SECURE = 13,
	PPI_TIMER_PHYS = 14,
	PPI_TIMER_VIRT = 11,
	PPI_TIMER_HYP = 10,
	PPI_TIMER_HYP_VIRT = 12,
	PPI_GIC_MAINTENANCE = 9,
	PPI_PMU = 7,
};

#define GIC_V3_DIST_SIZE   KIB(64)
#define GIC_V3_REDIST_SIZE KIB(128) /* per vCPU */
#define GIC_V2_DIST_SIZE   KIB(4)
#define GIC_V2_CPU_SIZE    KIB(8)

#define GIC_V3_DIST_GPA (GIC_TOP - GIC_V3_DIST_SIZE)
#define GIC_V2_DIST_GPA (GIC_TOP - GIC_V2_DIST_SIZE)
#define GIC_V2_CPU_GPA  (GIC_V2_DIST_GPA - GIC_V2_CPU_SIZE)

static inline gpa_t gic_v3_redist_gpa(unsigned vcpu_count)
{
	return GIC_V3_DIST_GPA - vcpu_count * GIC_V3_REDIST_SIZE;
}

struct err;

#ifndef KVM_CAP_ARM_EL2
#define KVM_CAP_ARM_EL2 240 /* Linux 6.16 */
#endif

/*
 * Test, on a VM of its own, that this host's counter offset behaves as guest
 * time requires.  Returns 0, or -1 and the difference in *e.
 */
int clock_probe(int kvm_fd, unsigned ipa_bits, struct err *e);

/* Can what @a's guest with EL2 gives its own guests be saved?  If not, *e says
 * why. */
struct arch_vm;
int gic_check_el2(const struct arch_vm *a, struct err *e);

/* A cache of a host CPU, as the device tree describes it to the guest. */
enum cache_type { CACHE_NONE, CACHE_INSTRUCTION, CACHE_DATA, CACHE_UNIFIED };

struct cache {
	enum cache_type type;
	unsigned level;                 /* 1 is the closest to the CPU */
	unsigned sharing;               /* number of CPUs that share it */
	unsigned size, line_size, sets; /* size in bytes; 0: not known */
};

enum { CACHES_MAX = 8 };

/*
 * Read the caches of CPU 0 from sysfs into @caches, which has room for
 * CACHES_MAX.  @shared: also how many CPUs share each; else that is 1, which
 * does for a guest with one CPU.  Returns their number, which may be 0.
 */
unsigned cache_read_host(bool shared, struct cache *caches);

/* The same, of another folder than that of this host's CPU 0. */
unsigned cache_read(const char *path, bool shared, struct cache *caches);
