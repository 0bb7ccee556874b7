/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/boot/boot_checks.h"

#include <string.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "vmm/config/config.h"

void boot_check_cmdline(const char *cmdline)
{
	if (strstr(cmdline, "console=ttyAMA"))
		log_warn("console=ttyAMA0 on the kernel's command line: guests "
			 "have no such console, and are silent there; write "
			 "console=ttyS0");
}

int boot_check_initrd(struct guest_mem *mem, gpa_t gpa, uint64_t size,
		      struct err *e)
{
	const void *head = guest_mem_at(mem, gpa, ARCH_KERNEL_HEAD);

	if (size < ARCH_KERNEL_HEAD || !head || !arch_is_kernel(head))
		return 0;
	return err_set(e, "it is a kernel; pass that as --kernel "
			  "(kernel_image_path), and as the initrd a cpio "
			  "archive, which may be compressed");
}

int boot_check_drivers(struct guest_mem *mem, const struct vm_config *config,
		       const struct arch_kernel *kernel, struct err *e)
{
	/* As each driver is called in the kernel that has it built in. */
	static const char mmio[] = "virtio-mmio", block[] = "virtio_blk";
	uint64_t size = kernel->end - kernel->entry;
	const char *image, *missing;
	bool root = false;

	for (unsigned i = 0; i < config->drive_count; i++)
		root |= config->drive[i].root;
	if (!config->check_drivers || !root || config->initrd || kernel->raw)
		return 0;
	image = guest_mem_at(mem, kernel->entry, size);
	if (!image)
		return 0;
	missing = memmem(image, size, mmio, sizeof(mmio) - 1) ? block : mmio;
	if ((missing == block &&
	     memmem(image, size, block, sizeof(block) - 1)) ||
	    !memmem(image, size, "Linux version ", 14))
		return 0;
	return err_set(e,
		       "%s is not built in, so the kernel cannot mount its "
		       "root disk; give an --initrd that loads the module, "
		       "or a kernel with CONFIG_VIRTIO_MMIO=y and "
		       "CONFIG_VIRTIO_BLK=y",
		       missing);
}
