/* SPDX-License-Identifier: Apache-2.0 */
/* The public part of the address map, and the placement of RAM. */
#include <linux/kvm.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/kvm/kvm.h"

const struct arch_layout arch_layout = {
	.boot_timer = BOOT_TIMER_GPA,
	.rtc = RTC_GPA,
	.serial = SERIAL_GPA,
	.gpio = GPIO_GPA,
	.device_size = DEVICE_SIZE,
	.virtio = VIRTIO_GPA,
	.virtio_irq = VIRTIO_SPI,
	.serial_irq = SERIAL_SPI,
	.gpio_irq = GPIO_SPI,
	.rtc_irq = RTC_SPI,
	.vmclock = VMCLOCK_GPA,
	.vmgenid = VMGENID_GPA,
	.vmclock_irq = VMCLOCK_SPI,
	.vmgenid_irq = VMGENID_SPI,
	.reserved = RAM_BASE,
	.reserved_size = RAM_RESERVED,
	.snapshot_id = SNAPSHOT_ID_GPA,
	.ram_min = MIB(32),
	.cmdline_max = 2047, /* COMMAND_LINE_SIZE of arm64 Linux is 2048 */
	.console = "ttyS0",
};

const char *const arch_feature_name[ARCH_FEATURE_COUNT] = {
	[ARCH_SVE] = "sve",
	[ARCH_PAUTH] = "pauth",
	[ARCH_PMU] = "pmu",
	[ARCH_NESTED] = "nested",
};

enum { IPA_BITS_DEFAULT = 40, IPA_BITS_MIN = 32 };

static unsigned bits_for(gpa_t end)
{
	unsigned bits = IPA_BITS_MIN;

	while (bits < 63 && end > (1ull << bits))
		bits++;
	return bits;
}

/* The most RAM that has addresses of so many bits. */
static uint64_t ram_max(unsigned bits)
{
	uint64_t end = 1ull << bits;

	if (end > RAM_HIGH_BASE)
		return RAM_LOW_MAX + end - RAM_HIGH_BASE;
	return min_u64(RAM_LOW_MAX, end - RAM_BASE);
}

int arch_ram_regions(int kvm_fd, uint64_t size, struct guest_mem_region *region,
		     unsigned *ipa_bits, struct err *e)
{
	unsigned limit = (unsigned)kvm_check(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
	uint64_t low = min_u64(size, RAM_LOW_MAX), high = size - low;
	unsigned need = bits_for(high ? RAM_HIGH_BASE + high : RAM_BASE + low);

	/* Linux before 4.20 supports only the default width. */
	*ipa_bits = limit ? need : 0;
	if (!limit)
		limit = IPA_BITS_DEFAULT;
	if (need > limit)
		return err_set(e,
			       "%llu MiB of RAM need %u-bit guest addresses, "
			       "but this host's KVM offers %u: at most %llu "
			       "MiB",
			       (unsigned long long)(size >> 20), need, limit,
			       (unsigned long long)(ram_max(limit) >> 20));
	region[0] = (struct guest_mem_region){.gpa = RAM_BASE, .size = low};
	region[1] =
		(struct guest_mem_region){.gpa = RAM_HIGH_BASE, .size = high};
	return high ? 2 : 1;
}
