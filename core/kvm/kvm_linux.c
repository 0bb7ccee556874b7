/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/kvm/kvm.h"

static int call(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

/* ------------------------------------------------------------- the system */

static int open_failed(const char *path, struct err *e)
{
	switch (errno) {
	case ENOENT:
		return err_set(
			e,
			"%s does not exist: this machine offers no KVM. "
			"Use a bare-metal arm64 host, or one with nested "
			"virtualisation, and load the kvm module",
			path);
	case ENODEV:
	case ENXIO:
		return err_set(e,
			       "%s is there, but KVM is not: the kernel was "
			       "not started at EL2 (see dmesg | grep kvm); "
			       "use a host whose firmware does that",
			       path);
	case EACCES:
	case EPERM:
		return err_set(
			e,
			"no permission to open %s: add this user to its "
			"group (usually: usermod -aG kvm $USER, then log "
			"in again)",
			path);
	default:
		return err_errno(e, "cannot open %s", path);
	}
}

int kvm_open(const char *path, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0)
		return open_failed(path, e);
	version = call(fd, KVM_GET_API_VERSION, NULL);
	if (version < 0)
		return err_set(e, "%s is not KVM's device", path);
	if (version != KVM_API_VERSION)
		return err_set(e, "%s speaks KVM API version %d, not %d", path,
			       version, KVM_API_VERSION);
	return take_fd(&fd);
}

int kvm_check(int fd, unsigned cap)
{
	int r = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return r < 0 ? 0 : r;
}

uint32_t kvm_counter_hz(void)
{
#ifdef __aarch64__
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return (uint32_t)hz;
#else
	return 0;
#endif
}

uint64_t kvm_counter_read(void)
{
#ifdef __aarch64__
	uint64_t count;

	/* The barriers keep the read in program order, before and after. */
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb"
			 : "=r"(count)
			 :
			 : "memory");
	return count;
#else
	return 0;
#endif
}

/* -------------------------------------------------------------------- VMs */

/*
 * Offset of the coalesced-MMIO ring in a vCPU's mapped area; 0: there is none.
 * A KVM without the ring has no room for it (KVM_GET_VCPU_MMAP_SIZE).
 */
static size_t late_ring_at(const struct kvm_vm *vm)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t at = KVM_COALESCED_MMIO_PAGE_OFFSET * page;

	return at < vm->run_size ? at : 0;
}

int kvm_vm_create(struct kvm_vm *vm, int kvm_fd, unsigned ipa_bits,
		  struct err *e)
{
	int size;

	*vm = (struct kvm_vm){.kvm_fd = kvm_fd, .fd = -1};
	size = call(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (size < (int)sizeof(struct kvm_run))
		return err_set(e, "KVM gives no usable vCPU area");
	vm->run_size = (size_t)size;
	do {
		vm->fd = ioctl(kvm_fd, KVM_CREATE_VM,
			       KVM_VM_TYPE_ARM_IPA_SIZE(ipa_bits));
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_errno(e,
				 "KVM cannot create a VM with %u-bit addresses",
				 ipa_bits ? ipa_bits : 40);
	return 0;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	util_close(&vm->fd);
}

int kvm_vm_enable(struct kvm_vm *vm, unsigned cap)
{
	struct kvm_enable_cap arg = {.cap = cap};

	return call(vm->fd, KVM_ENABLE_CAP, &arg);
}

int kvm_vm_set_memory(struct kvm_vm *vm, unsigned slot, gpa_t gpa,
		      uint64_t size, void *host, bool log, struct err *e)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return err_errno(e, "KVM refuses %llu MiB of RAM at 0x%llx",
				 (unsigned long long)(size >> 20),
				 (unsigned long long)gpa);
	return 0;
}

int kvm_vm_irqfd(struct kvm_vm *vm, int eventfd, unsigned gsi)
{
	struct kvm_irqfd arg = {.fd = (uint32_t)eventfd, .gsi = gsi};

	return call(vm->fd, KVM_IRQFD, &arg);
}

enum { FIRST_SPI = 32 }; /* INTID of SPI 0 */

void kvm_vm_irq_pulse(struct kvm_vm *vm, unsigned spi)
{
	struct kvm_irq_level level = {
		.irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT |
		       (spi + FIRST_SPI),
	};

	/* It fails only without a GIC, and every running VM has one. */
	level.level = 1;
	(void)call(vm->fd, KVM_IRQ_LINE, &level);
	level.level = 0;
	(void)call(vm->fd, KVM_IRQ_LINE, &level);
}

int kvm_vm_ioeventfd(struct kvm_vm *vm, int eventfd, gpa_t gpa, uint32_t value)
{
	struct kvm_ioeventfd arg = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = eventfd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return call(vm->fd, KVM_IOEVENTFD, &arg);
}

int kvm_vm_tell_late(struct kvm_vm *vm, gpa_t gpa)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = gpa, .size = 4};

	if (!late_ring_at(vm))
		return -ENOTSUP;
	return call(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

int kvm_vm_set_counter_offset(struct kvm_vm *vm, uint64_t offset)
{
	struct kvm_arm_counter_offset arg = {.counter_offset = offset};

	return call(vm->fd, KVM_ARM_SET_COUNTER_OFFSET, &arg);
}

int kvm_vm_preferred_target(struct kvm_vm *vm, struct kvm_vcpu_init *init)
{
	return call(vm->fd, KVM_ARM_PREFERRED_TARGET, init);
}

int kvm_vm_create_device(struct kvm_vm *vm, unsigned type, bool test)
{
	struct kvm_create_device arg = {
		.type = type,
		.flags = test ? KVM_CREATE_DEVICE_TEST : 0,
	};
	int r = call(vm->fd, KVM_CREATE_DEVICE, &arg);

	if (r < 0 || test)
		return r;
	return (int)arg.fd;
}

static int attr_call(int fd, unsigned long request, unsigned group,
		     uint64_t attr, const void *value)
{
	struct kvm_device_attr arg = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return call(fd, request, &arg);
}

int kvm_set_attr(int fd, unsigned group, uint64_t attr, const void *value)
{
	return attr_call(fd, KVM_SET_DEVICE_ATTR, group, attr, value);
}

/* ------------------------------------------------------------------ vCPUs */

static int create_vcpu_failed(struct kvm_vm *vm, unsigned index, struct err *e)
{
	int error = errno, max = kvm_check(vm->fd, KVM_CAP_MAX_VCPUS);

	/* The maximum is eight with GICv2. */
	if (error == EINVAL && max > 0 && index >= (unsigned)max)
		return err_set(e,
			       "this host's KVM gives a VM at most %d vCPUs; "
			       "use fewer",
			       max);
	errno = error;
	return err_errno(e, "KVM cannot create vCPU %u", index);
}

int kvm_vcpu_create(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned index,
		    struct err *e)
{
	*vcpu = (struct kvm_vcpu){
		.fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index),
		.index = index,
		.run_size = vm->run_size,
	};
	if (vcpu->fd < 0)
		return create_vcpu_failed(vm, index, e);
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return err_errno(e, "cannot map the area of vCPU %u", index);
	}
	if (late_ring_at(vm))
		vcpu->late = (void *)((uint8_t *)vcpu->run + late_ring_at(vm));
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	vcpu->run = NULL;
	util_close(&vcpu->fd);
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vcpu_init *init)
{
	struct kvm_vcpu_init arg = *init;

	return call(vcpu->fd, KVM_ARM_VCPU_INIT, &arg);
}

int kvm_vcpu_finalize(struct kvm_vcpu *vcpu, int feature)
{
	return call(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature);
}

int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value)
{
	struct kvm_one_reg arg = {.id = id, .addr = (uintptr_t)value};

	return call(vcpu->fd, KVM_GET_ONE_REG, &arg);
}

int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value)
{
	struct kvm_one_reg arg = {.id = id, .addr = (uintptr_t)value};

	return call(vcpu->fd, KVM_SET_ONE_REG, &arg);
}

int kvm_vcpu_inject_abort(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events = {.exception.ext_dabt_pending = 1};

	return call(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

static enum kvm_exit system_event(const struct kvm_vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return KVM_EXITED_OFF;
	case KVM_SYSTEM_EVENT_RESET:
		return KVM_EXITED_RESET;
	case KVM_SYSTEM_EVENT_SUSPEND:
		return KVM_EXITED_SUSPEND;
	default:
		return KVM_EXITED_ERROR;
	}
}

enum kvm_exit kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	vcpu->run_errno = 0;
	while (ioctl(vcpu->fd, KVM_RUN, 0)) {
		if (errno == EINTR)
			return KVM_EXITED_INTERRUPTED;
		if (errno == EAGAIN)
			continue;
		vcpu->run_errno = errno;
		return KVM_EXITED_ERROR;
	}
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_MMIO:
		if (!vcpu->beat)
			vcpu->seen = kvm_counter_read();
		return KVM_EXITED_MMIO;
	case KVM_EXIT_ARM_NISV:
		return KVM_EXITED_NO_SYNDROME;
	case KVM_EXIT_INTR:
		return KVM_EXITED_INTERRUPTED;
	case KVM_EXIT_SYSTEM_EVENT:
		return system_event(vcpu);
	default:
		return KVM_EXITED_ERROR;
	}
}

void kvm_vcpu_mmio(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio)
{
	const struct kvm_run *run = vcpu->run;

	*mmio = (struct kvm_mmio){
		.gpa = run->mmio.phys_addr,
		.len = run->mmio.len,
		.is_write = run->mmio.is_write,
	};
	if (mmio->len > sizeof(mmio->value))
		mmio->len = sizeof(mmio->value);
	if (mmio->is_write)
		memcpy(&mmio->value, run->mmio.data, mmio->len);
}

void kvm_vcpu_mmio_answer(struct kvm_vcpu *vcpu, uint64_t value)
{
	memcpy(vcpu->run->mmio.data, &value, sizeof(value));
}

/* Linux, virt/kvm/coalesced_mmio.c, fills the ring. */
bool kvm_vcpu_late_write(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio)
{
	const struct kvm_coalesced_mmio_ring *ring = vcpu->late;
	const struct kvm_coalesced_mmio *write;

	if (!ring ||
	    ring->first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return false;
	write = &ring->coalesced_mmio[ring->first];
	*mmio = (struct kvm_mmio){
		.gpa = write->phys_addr,
		.len = (unsigned)min_u64(write->len, sizeof(mmio->value)),
		.is_write = true,
	};
	memcpy(&mmio->value, write->data, mmio->len);
	return true;
}

void kvm_vcpu_late_done(struct kvm_vcpu *vcpu)
{
	/* KVM_COALESCED_MMIO_MAX, for this host's page size. */
	const size_t room = (size_t)sysconf(_SC_PAGESIZE) - sizeof(*vcpu->late);
	const uint32_t count =
		(uint32_t)(room / sizeof(struct kvm_coalesced_mmio));

	__atomic_store_n(&vcpu->late->first, (vcpu->late->first + 1) % count,
			 __ATOMIC_RELEASE);
}

gpa_t kvm_vcpu_fault_gpa(const struct kvm_vcpu *vcpu)
{
	return vcpu->run->arm_nisv.fault_ipa;
}

void kvm_vcpu_explain(const struct kvm_vcpu *vcpu, char *text, size_t size)
{
	const struct kvm_run *run = vcpu->run;

	if (vcpu->run_errno == EFAULT)
		snprintf(text, size,
			 "guest memory is not backed (bad address): the host "
			 "is out of memory, or the kernel or initrd file was "
			 "changed or truncated while the guest runs from it");
	else if (vcpu->run_errno)
		snprintf(text, size, "KVM_RUN failed: %s",
			 strerrordesc_np(vcpu->run_errno));
	else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
		snprintf(text, size, "unexpected system event %u",
			 run->system_event.type);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		snprintf(text, size,
			 "KVM cannot enter the guest (reason 0x%llx)",
			 (unsigned long long)
				 run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(text, size, "KVM internal error %u",
			 run->internal.suberror);
	else
		snprintf(text, size, "unexpected KVM exit %u",
			 run->exit_reason);
}
