/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address map, register ids and helpers shared by the files of this
 * folder.  The map is Firecracker's, so that guests built for it fit:
 *
 *	0x0000_0000 ............. GIC, growing down from 1 GiB:
 *	                          redistributors, distributor
 *	0x4000_0000 BOOT_TIMER .. 4 KiB windows of devices:
 *	0x4000_1000 RTC
 *	0x4000_2000 SERIAL
 *	0x4000_3000 ............. virtio-mmio
 *	0x6fff_f000 GPIO ........ ours: the power key
 *	0x8000_0000 RAM_BASE .... 2 MiB kept from the guest's allocator:
 *	                          pages that we and KVM share with it,
 *	0x8010_0000 FDT ......... and the device tree
 *	0x8020_0000 ............. kernel
 *	0x8008_0000 RAW ......... or a raw binary, where QEMU and kvmtool have
 *	                          it; its device tree ends the first region,
 *	                          and only what is shared is kept from it
 *	      ...                 initrd: the end of the first region
 *	   256 GiB .............. 64-bit device windows
 *	   512 GiB RAM_HIGH ..... what RAM is left
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

/* Within the reserved 2 MiB. */
#define PVTIME_GPA  (RAM_BASE + 0x10000)
#define PVTIME_SIZE ((uint64_t)64) /* per vCPU */
/* In 64 KiB of their own: guests map them with different attributes. */
#define VMCLOCK_GPA (RAM_BASE + 0x20000)
#define VMGENID_GPA (RAM_BASE + 0x30000)

#define SNAPSHOT_ID_GPA (RAM_BASE + 0x40000)

#define FDT_GPA      (RAM_BASE + MIB(1))
#define FDT_MAX_SIZE MIB(1)

/* The part of it that we and KVM use, but for the device tree. */
#define RAM_SHARED KIB(512)

/* Raw binaries, if nobody says otherwise: from RAM's base on it is what the
 * boot protocol of old asked for, and what kvm-unit-tests is loaded at. */
#define RAW_GPA (RAM_BASE + KIB(512))

/* Where their device tree goes; it is the end of the first region. */
static inline gpa_t raw_fdt_gpa(const struct guest_mem *mem)
{
	return mem->region[0].gpa + mem->region[0].size - FDT_MAX_SIZE;
}

/* Interrupts: shared ones (SPI) count from INTID 32, private ones from 16. */
enum {
	GIC_IRQS = 128, /* INTIDs, of which 96 are SPIs */
	SERIAL_SPI = 0,
	VIRTIO_SPI = 1, /* ARCH_VIRTIO_MAX of them */
	GPIO_SPI = 95,  /* the last, out of the way of virtio */
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

/* Try what guest time is built on, where KVM has the counter offset: 0, or -1
 * and what it does otherwise. */
int clock_probe(int kvm_fd, unsigned ipa_bits, struct err *e);

/* The caches of a host CPU, as the guest is told about them. */
enum cache_type { CACHE_NONE, CACHE_INSTRUCTION, CACHE_DATA, CACHE_UNIFIED };

struct cache {
	enum cache_type type;
	unsigned level;                 /* from 1 */
	unsigned sharing;               /* CPUs that share one */
	unsigned size, line_size, sets; /* 0: not known */
};

enum { CACHES_MAX = 8 };

/* Read what Linux knows of CPU 0's caches; gives how many, maybe 0. */
unsigned cache_read_host(struct cache *caches);
