// SPDX-License-Identifier: Apache-2.0
// floor IMAGE: the least a VMM can do on arm64 KVM: a VM with 128 MiB, a GICv3
// and one vCPU that runs IMAGE until it powers off.  What startup is held
// against; not a pattern to copy, for it checks only that it worked.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	RAM_SIZE = 128 << 20,
	IMAGE_SIZE = 64 << 10,
};

static const uint64_t ram_start = 0x80000000;
static const uint64_t image_offset =
	0x200000; // Linux's arm64 boot rule: 2 MiB aligned
static uint64_t gic_dist = 0x08000000;
static uint64_t gic_redist = 0x08010000;
static uint32_t gic_irqs = 64;

static int call(int fd, unsigned long request, void *argument, const char *what)
{
	int result = ioctl(fd, request, argument);

	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void set_gic(int gic, uint32_t group, uint64_t attribute, void *value)
{
	struct kvm_device_attr attr = {
		.group = group, .attr = attribute, .addr = (uintptr_t)value};

	call(gic, KVM_SET_DEVICE_ATTR, &attr, "KVM_SET_DEVICE_ATTR");
}

static void create_gic(int vm)
{
	struct kvm_create_device gic = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};

	call(vm, KVM_CREATE_DEVICE, &gic, "KVM_CREATE_DEVICE");
	int fd = (int)gic.fd;

	set_gic(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST,
		&gic_dist);
	set_gic(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
		&gic_redist);
	set_gic(fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &gic_irqs);
	set_gic(fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT,
		NULL);
}

static void load(int vm, const char *path)
{
	int image = open(path, O_RDONLY);
	char *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (image < 0 || ram == MAP_FAILED ||
	    mmap(ram + image_offset, IMAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED, image, 0) == MAP_FAILED) {
		perror(path);
		exit(1);
	}

	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = ram_start,
		.memory_size = RAM_SIZE,
		.userspace_addr = (uintptr_t)ram,
	};
	call(vm, KVM_SET_USER_MEMORY_REGION, &region,
	     "KVM_SET_USER_MEMORY_REGION");
}

static int create_vcpu(int vm)
{
	int vcpu = call(vm, KVM_CREATE_VCPU, 0, "KVM_CREATE_VCPU");
	struct kvm_vcpu_init init;

	call(vm, KVM_ARM_PREFERRED_TARGET, &init, "KVM_ARM_PREFERRED_TARGET");
	init.features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
	call(vcpu, KVM_ARM_VCPU_INIT, &init, "KVM_ARM_VCPU_INIT");
	return vcpu;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: floor IMAGE\n");
		return 2;
	}

	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = call(kvm, KVM_CREATE_VM, 0, "/dev/kvm: KVM_CREATE_VM");
	load(vm, argv[1]);
	int vcpu = create_vcpu(vm);
	create_gic(vm);

	uint64_t entry = ram_start + image_offset;
	struct kvm_one_reg pc = {
		.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
		      KVM_REG_ARM_CORE_REG(regs.pc),
		.addr = (uintptr_t)&entry,
	};
	call(vcpu, KVM_SET_ONE_REG, &pc, "KVM_SET_ONE_REG");

	size_t size = (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0,
				   "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED) {
		perror("mmap of the vCPU");
		return 1;
	}
	call(vcpu, KVM_RUN, 0, "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_SYSTEM_EVENT) {
		fprintf(stderr, "%s did not power off: exit reason %u\n",
			argv[1], run->exit_reason);
		return 1;
	}
	return 0;
}
