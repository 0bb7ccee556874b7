/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a machine: made of what was asked for, and wired to it. */
#include <errno.h>
#include <sys/eventfd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng/rng.h"
#include "devices/virtio/vsock/vsock.h"
#include "vmm/config/bodies.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm_internal.h"

static int attach(struct vm *vm, gpa_t base, const struct mmio_ops *ops,
		  void *device, struct err *e)
{
	struct mmio_window window = {
		.base = base,
		.size = arch_layout.device_size,
		.ops = ops,
		.device = device,
	};

	return mmio_bus_add(&vm->bus, window, e);
}

/* An eventfd that interrupts the guest when it is written. */
static int wire_irq(struct vm *vm, unsigned irq, int *fd, struct err *e)
{
	int r;

	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd < 0)
		return err_errno(e, "cannot create an eventfd");
	r = kvm_vm_irqfd(&vm->kvm, *fd, irq);
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "cannot wire interrupt %u", irq);
}

static void pulse_irq(void *kvm, unsigned irq)
{
	kvm_vm_irq_pulse(kvm, irq);
}

static struct irq_line irq_line(struct vm *vm, unsigned irq)
{
	return (struct irq_line){
		.pulse = pulse_irq, .context = &vm->kvm, .irq = irq};
}

static int attach_rtc(struct vm *vm, struct err *e)
{
	rtc_init(&vm->rtc, vm->host.loop, irq_line(vm, arch_layout.rtc_irq),
		 vm->told_fd);
	return attach(vm, arch_layout.rtc, &rtc_mmio_ops, &vm->rtc, e);
}

static int attach_gpio(struct vm *vm, struct err *e)
{
	vm->gpio = gpio_create(vm->host.loop,
			       irq_line(vm, arch_layout.gpio_irq), e);
	if (!vm->gpio)
		return -1;
	return attach(vm, arch_layout.gpio, &gpio_mmio_ops, vm->gpio, e);
}

static int attach_time_pages(struct vm *vm, const struct vm_config *config,
			     struct err *e)
{
	vm->time_pages.smear = config->clock.smear;
	return time_pages_init(&vm->time_pages, &vm->mem,
			       irq_line(vm, arch_layout.vmclock_irq),
			       irq_line(vm, arch_layout.vmgenid_irq), e);
}

static int attach_serial(struct vm *vm, struct err *e)
{
	struct serial_config config = {
		.loop = vm->host.loop,
		.out_fd = vm->host.serial_out,
		.room_fd = vm->host.serial_room,
		.limit = vm->host.serial_limit,
		.patience_ms = vm->host.serial_patience_ms,
	};

	if (wire_irq(vm, arch_layout.serial_irq, &vm->serial_irq_fd, e))
		return -1;
	config.irq_fd = vm->serial_irq_fd;
	vm->serial = serial_create(&config, e);
	if (!vm->serial)
		return -1;
	return attach(vm, arch_layout.serial, &serial_mmio_ops, vm->serial, e);
}

/* ----------------------------------------------------------- virtio devices */

/* @dev may be NULL: it could not be created, and @e says why. */
static int add(struct vm *vm, const char *id, struct virtio_device *dev,
	       struct err *e)
{
	return dev ? virtio_slots_add(&vm->virtio, dev, id, e) : -1;
}

static int attach_balloon(struct vm *vm, const struct vm_config *config,
			  struct err *e)
{
	struct virtio_slot slot;

	if (!config->has_balloon)
		return 0;
	if (virtio_slots_next(&vm->virtio, &slot, e))
		return -1;
	return add(vm, "balloon", balloon_create(&slot, &config->balloon, e),
		   e);
}

static int attach_drive(struct vm *vm, const struct drive_config *drive,
			struct err *e)
{
	struct virtio_slot slot;

	if (virtio_slots_next(&vm->virtio, &slot, e) ||
	    add(vm, drive->block.id, block_create(&slot, &drive->block, e), e))
		return err_prefix(e, "drive %s", drive->block.id);
	return 0;
}

static int attach_drives(struct vm *vm, const struct vm_config *config,
			 struct err *e)
{
	for (unsigned i = 0; i < config->drive_count; i++) {
		if (attach_drive(vm, &config->drive[i], e))
			return -1;
	}
	return 0;
}

static int use_vhost(struct virtio_device *dev,
		     const struct interface_config *interface, struct err *e)
{
	/* The API would not have taken it; a snapshot's file may say so. */
	if (rate_limiter_config_limits(&interface->net.rx_limiter) ||
	    rate_limiter_config_limits(&interface->net.tx_limiter))
		return err_set(e,
			       "network interface %s has rate limits, which "
			       "vhost has not",
			       interface->net.id);
	if (interface->mmds)
		return err_set(e,
			       "network interface %s has a metadata service, "
			       "with which vhost is not possible",
			       interface->net.id);
	if (net_use_vhost(dev, e))
		return err_prefix(e, "network interface %s", interface->net.id);
	return 0;
}

int vm_use_vhost(struct vm *vm, const struct vm_config *config, struct err *e)
{
	for (unsigned i = 0; i < config->interface_count; i++) {
		const struct interface_config *interface =
			&config->interface[i];

		/* The kernel would wait for pages while we wait for it. */
		if (interface->vhost && vm_is_paged(vm))
			log_warn("network interface %s: without vhost, because "
				 "RAM comes from a page server",
				 interface->net.id);
		else if (interface->vhost &&
			 use_vhost(virtio_slots_find(&vm->virtio, &net_kind,
						     interface->net.id),
				   interface, e))
			return -1;
	}
	return 0;
}

static int attach_interface(struct vm *vm,
			    const struct interface_config *interface,
			    const struct mmds_config *mmds, struct err *e)
{
	struct virtio_slot slot;
	struct virtio_device *dev;

	if (virtio_slots_next(&vm->virtio, &slot, e))
		return err_prefix(e, "network interface %s", interface->net.id);
	dev = net_create(&slot, &interface->net, e);
	if (add(vm, interface->net.id, dev, e) ||
	    (interface->mmds &&
	     net_use_mmds(dev, mmds->address, vm->host.mmds, e)))
		return err_prefix(e, "network interface %s", interface->net.id);
	return 0;
}

static int attach_interfaces(struct vm *vm, const struct vm_config *config,
			     struct err *e)
{
	for (unsigned i = 0; i < config->interface_count; i++) {
		if (attach_interface(vm, &config->interface[i], &config->mmds,
				     e))
			return -1;
	}
	return 0;
}

static int attach_vsock(struct vm *vm, const struct vm_config *config,
			struct err *e)
{
	struct virtio_slot slot;

	if (!config->vsock.uds_path)
		return 0;
	if (virtio_slots_next(&vm->virtio, &slot, e))
		return -1;
	return add(vm, "vsock", vsock_create(&slot, &config->vsock, e), e);
}

static int attach_rng(struct vm *vm, const struct vm_config *config,
		      struct err *e)
{
	struct virtio_slot slot;

	if (!config->has_entropy)
		return 0;
	if (virtio_slots_next(&vm->virtio, &slot, e))
		return -1;
	return add(vm, "rng", rng_create(&slot, &config->entropy, e), e);
}

/*
 * All kinds of virtio devices: a row each, in Firecracker's order, in which the
 * guest finds and names them.
 */
static const struct row {
	const struct virtio_kind *kind;
	/* Those that @config asks for. */
	int (*attach)(struct vm *vm, const struct vm_config *config,
		      struct err *e);
} rows[] = {
	{&balloon_kind, attach_balloon}, {&block_kind, attach_drives},
	{&net_kind, attach_interfaces},  {&vsock_kind, attach_vsock},
	{&rng_kind, attach_rng},
};
_Static_assert(ARRAY_SIZE(rows) <= VM_KINDS_MAX, "raise it");

const struct virtio_kind *vm_device_kind(unsigned i)
{
	return i < ARRAY_SIZE(rows) ? rows[i].kind : NULL;
}

static int attach_virtio(struct vm *vm, const struct vm_config *config,
			 struct err *e)
{
	vm->virtio.kvm = &vm->kvm;
	vm->virtio.bus = &vm->bus;
	vm->virtio.mem = &vm->mem;
	vm->virtio.loop = vm->host.loop;
	vm->virtio.wake_fd = vm->told_fd;
	vm->virtio.knocked = &vm->knocked;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].attach(vm, config, e))
			return -1;
	}
	return 0;
}

int vm_attach_devices(struct vm *vm, const struct vm_config *config,
		      struct err *e)
{
	if (config->boot_timer) {
		boot_timer_init(&vm->boot_timer);
		if (attach(vm, arch_layout.boot_timer, &boot_timer_mmio_ops,
			   &vm->boot_timer, e))
			return -1;
	}
	if (attach_rtc(vm, e) || attach_gpio(vm, e) ||
	    attach_time_pages(vm, config, e))
		return -1;
	if (vm_config_has_serial(config) && attach_serial(vm, e))
		return -1;
	return attach_virtio(vm, config, e);
}

/* ------------------------------------------------- changed while it runs */

int vm_patch_drive(struct vm *vm, const struct drive_patch *patch,
		   struct err *e)
{
	struct virtio_device *dev =
		virtio_slots_find(&vm->virtio, &block_kind, patch->id);
	const struct rate_limiter_update update =
		limiter_update(&patch->limits);

	if (!dev)
		return err_set(e, "there is no drive \"%.64s\"", patch->id);
	if (!patch->path && !patch->has_limits)
		/* Firecracker's words: it takes the change for one of another
		 * kind of disk. */
		return err_set(e, "Running method expected different backend: "
				  "there is nothing to change, give "
				  "`path_on_host` or `rate_limiter`.");
	return block_patch(dev, patch->path, &update, e);
}

int vm_patch_interface(struct vm *vm, const struct interface_patch *patch,
		       struct err *e)
{
	struct virtio_device *dev =
		virtio_slots_find(&vm->virtio, &net_kind, patch->id);
	const struct rate_limiter_update rx = limiter_update(&patch->rx);
	const struct rate_limiter_update tx = limiter_update(&patch->tx);

	if (!dev)
		return err_set(e, "there is no network interface \"%.64s\"",
			       patch->id);
	return net_update_limiters(dev, &rx, &tx, e);
}

struct virtio_device *vm_balloon(const struct vm *vm, struct err *e)
{
	struct virtio_device *dev =
		virtio_slots_find(&vm->virtio, &balloon_kind, NULL);

	if (!dev)
		err_set(e, "No balloon device found.");
	return dev;
}
