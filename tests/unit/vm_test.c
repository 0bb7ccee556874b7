/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM as a whole, on a fake KVM: built, booted, paused, ended; and every
 * call to KVM failing once in turn, which must leave nothing behind.
 */
#include <dirent.h>
#include <errno.h>
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/rng/rng.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_internal.h"

struct world {
	struct event_loop loop;
	struct vm_config config;
	struct vm_host host;
	struct err e;
	char kernel[32];
	enum vm_end end;
	bool ended;
	char reason[400];
};

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	struct world *w = context;

	w->ended = true;
	w->end = end;
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
	loop_stop(&w->loop);
}

static void write_kernel(char *path)
{
	uint8_t image[4096] = {0};
	int fd;

	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	strcpy(path, "/tmp/vm_test.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, image, sizeof(image)), sizeof(image));
	close(fd);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	kvm_fake_reset();
	write_kernel(w->kernel);
	vm_config_init(&w->config);
	w->config.vcpu_count = 2;
	w->config.mem_mib = 64;
	assert_int_equal(vm_config_set(&w->config.kernel, w->kernel, &w->e), 0);
	assert_int_equal(
		vm_config_set(&w->config.cmdline, "console=ttyS0", &w->e), 0);
	assert_int_equal(loop_init(&w->loop, &w->e), 0);
	w->host = (struct vm_host){
		.kvm_path = "kvm",
		.loop = &w->loop,
		.serial_out = -1,
		.serial_room = -1,
		.ended = on_ended,
		.context = w,
	};
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->kernel);
	vm_config_fini(&w->config);
	loop_fini(&w->loop);
	free(w);
	return 0;
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct vm *create_and_boot(struct world *w)
{
	struct vm *vm = vm_create(&w->config, &w->host, &w->e);

	assert_non_null(vm);
	assert_int_equal(vm_boot(vm, &w->config, &w->e), 0);
	return vm;
}

static void step(unsigned vcpu, enum kvm_exit exit, int error)
{
	kvm_fake_step(vcpu, (struct fake_step){.kind = FAKE_EXIT,
					       .exit = exit,
					       .error = error});
}

static unsigned threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned confined_with, confined_times;

/* From now on no file can be opened: take the kernel away. */
static void on_confine(void *context, const struct vm_config *config)
{
	struct world *w = context;

	confined_with = threads();
	confined_times++;
	assert_ptr_equal(config, &w->config);
	assert_int_equal(unlink(w->kernel), 0);
}

static void the_process_is_confined_before_it_has_vcpu_threads(void **state)
{
	struct world *w = *state;
	unsigned before = threads();
	struct vm *vm;

	confined_times = 0;
	w->host.confine = on_confine;
	vm = vm_create(&w->config, &w->host, &w->e);
	assert_non_null(vm);
	assert_int_equal(confined_times, 0);
	assert_int_equal(vm_boot(vm, &w->config, &w->e), 0);
	assert_int_equal(confined_times, 1);
	assert_int_equal(confined_with, before);
	/* ThreadSanitizer starts one, too. */
	assert_true(threads() >= before + 2);
	vm_destroy(vm);
}

static void boot_gives_vcpu_0_its_entry_and_device_tree(void **state)
{
	const uint64_t core =
		KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE;
	struct vm *vm = create_and_boot(*state);

	assert_int_equal(kvm_fake_reg(0, core | KVM_REG_ARM_CORE_REG(regs.pc)),
			 0x80200000);
	assert_int_equal(
		kvm_fake_reg(0, core | KVM_REG_ARM_CORE_REG(regs.regs[0])),
		0x80100000);
	assert_int_equal(
		kvm_fake_reg(0, core | KVM_REG_ARM_CORE_REG(regs.pstate)),
		0x3c5);
	vm_destroy(vm);
}

static void ram_is_what_was_asked_for(void **state)
{
	struct vm *vm = create_and_boot(*state);

	assert_int_equal(kvm_fake.slots, 1);
	assert_int_equal(kvm_fake.slot[0].gpa, 0x80000000);
	assert_int_equal(kvm_fake.slot[0].size, 64 << 20);
	vm_destroy(vm);
}

static void without_a_console_there_is_no_serial_port(void **state)
{
	struct world *w = *state;
	struct vm *vm;

	assert_int_equal(vm_config_set(&w->config.cmdline, "quiet", &w->e), 0);
	vm = create_and_boot(w);
	assert_int_equal(kvm_fake.irqfds, 0);
	/* What is typed goes nowhere, without holding up who types. */
	assert_int_equal(vm_serial_receive(vm, (const uint8_t *)"x", 1), 1);
	vm_destroy(vm);
}

static void the_guest_powering_off_is_told_once(void **state)
{
	struct world *w = *state;
	struct vm *vm;

	step(0, KVM_EXITED_OFF, 0);
	step(1, KVM_EXITED_OFF, 0);
	vm = create_and_boot(w);
	assert_int_equal(loop_run(&w->loop, &w->e), 0);
	assert_true(w->ended);
	assert_int_equal(w->end, VM_END_OFF);
	vm_destroy(vm);
}

static void a_vcpu_that_cannot_go_on_is_told_with_its_reason(void **state)
{
	struct world *w = *state;
	struct vm *vm;

	step(1, KVM_EXITED_ERROR, EFAULT);
	vm = create_and_boot(w);
	assert_int_equal(loop_run(&w->loop, &w->e), 0);
	assert_int_equal(w->end, VM_END_ERROR);
	assert_non_null(strstr(w->reason, "vCPU 1 cannot go on"));
	vm_destroy(vm);
}

static void pause_holds_the_guests_counter(void **state)
{
	struct world *w = *state;
	struct vm *vm = create_and_boot(w);
	uint64_t before;

	assert_int_equal(vm_pause(vm, &w->e), 0);
	before = kvm_counter_read() - kvm_fake.offset;
	kvm_fake.counter += 1ull << 36;
	assert_int_equal(vm_resume(vm, NULL, &w->e), 0);
	/* It stopped a little before we looked. */
	assert_in_range(kvm_counter_read() - kvm_fake.offset - before +
				100 * kvm_fake.tick,
			1, 200 * kvm_fake.tick);
	vm_destroy(vm);
}

static uint64_t now_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000000;
}

/* A request that never ends: neither pause nor end waits for it for long. */
static void a_disk_that_hangs_is_named_and_holds_nothing(void **state)
{
	struct world *w = *state;
	struct drive_config drive = {
		.block.id = strdup("root"),
		.block.path = strdup(w->kernel),
		.block.read_only = true,
		.block.async = true,
	};
	struct virtio_device *dev;
	struct vm *vm;
	uint64_t began;

	assert_ok(vm_config_put_drive(&w->config, &drive, &w->e), w->e);
	vm = create_and_boot(w);
	dev = virtio_slots_find(&vm->virtio, &block_kind, "root");
	if (!block_is_async(dev)) {
		vm_destroy(vm);
		skip();
	}
	dev->inflight = 1;
	began = now_ms();
	assert_err(vm_pause(vm, &w->e), w->e,
		   "drive root: its storage has not answered for 1000 ms; the "
		   "VM runs on");
	assert_in_range(now_ms() - began, 990, 5000);
	assert_false(dev->quiesced);
	dev->inflight = 0;
	assert_ok(vm_pause(vm, &w->e), w->e);
	assert_true(dev->quiesced);
	assert_int_equal(vm_resume(vm, NULL, &w->e), 0);
	dev->inflight = 1;
	began = now_ms();
	vm_destroy(vm);
	assert_in_range(now_ms() - began, 490, 990);
}

/* The guest's driver of a device in a VM that runs. */
static void start_driver(struct driver *d, struct world *w, struct vm *vm,
			 const struct virtio_kind *kind)
{
	*d = (struct driver){
		.mem = vm->mem,
		.loop = w->loop,
		.dev = virtio_slots_find(&vm->virtio, kind, NULL),
		.free = DRIVER_DATA,
	};
	d->irq_fd = d->dev->slot.irq_fd;
	driver_start(d, 0, 16);
}

/* What the driver asks for while the guest is paused is done after it, and
 * nothing is written to its memory meanwhile: by no device. */
static void devices_of_a_paused_guest_are_quiet(void **state)
{
	static const struct virtio_kind *const kinds[] = {&balloon_kind,
							  &rng_kind};
	struct world *w = *state;
	struct driver_buffer buffer = {DRIVER_DATA + 4096, 4, false};
	struct driver d;
	struct vm *vm;

	w->config.has_entropy = true;
	w->config.has_balloon = true;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		buffer.write = kinds[i] == &rng_kind;
		kvm_fake_reset();
		vm = create_and_boot(w);
		start_driver(&d, w, vm, kinds[i]);
		assert_ok(vm_pause(vm, &w->e), w->e);
		driver_add(&d, 0, &buffer, 1);
		driver_kick(&d, 0);
		driver_run(&d);
		assert_false(driver_used(&d, 0, NULL, NULL));
		assert_ok(vm_resume(vm, NULL, &w->e), w->e);
		driver_run(&d);
		assert_true(driver_used(&d, 0, NULL, NULL));
		vm_destroy(vm);
	}
}

/* What the guest reads in its VMClock page. */
static uint64_t vmclock(unsigned offset)
{
	const uint8_t *ram = kvm_fake.slot[0].host;
	uint64_t value;

	memcpy(&value, ram + (arch_layout.vmclock - 0x80000000) + offset,
	       sizeof(value));
	return value;
}

/* They are shared with us, so the guest's allocator must not have them. */
static void the_time_pages_are_in_ram_kept_from_the_guest(void **state)
{
	struct vm *vm = create_and_boot(*state);
	const void *fdt = (uint8_t *)kvm_fake.slot[0].host + (1 << 20);
	const struct {
		const char *node, *driver;
		unsigned irq;
	} pages[] = {
		{"/ptp@80020000", "amazon,vmclock", arch_layout.vmclock_irq},
		{"/rng@80030000", "microsoft,vmgenid", arch_layout.vmgenid_irq},
	};

	assert_true(fdt_path_offset(fdt, "/memory@80200000") > 0);
	for (unsigned i = 0; i < 2; i++) {
		int n = fdt_path_offset(fdt, pages[i].node);
		const fdt64_t *reg = fdt_getprop(fdt, n, "reg", NULL);
		const fdt32_t *irq = fdt_getprop(fdt, n, "interrupts", NULL);

		assert_int_equal(
			fdt_node_check_compatible(fdt, n, pages[i].driver), 0);
		assert_in_range(fdt64_ld(reg), 0x80000000, 0x801fffff);
		assert_int_equal(fdt64_ld(reg + 1), 4096);
		assert_int_equal(fdt32_ld(irq + 1), pages[i].irq);
		assert_int_equal(fdt32_ld(irq + 2), 1); /* an edge */
	}
	vm_destroy(vm);
}

enum { VMCLOCK_DISRUPTION = 0x10, VMCLOCK_COUNTER = 0x28 };

static void a_frozen_pause_is_told_as_a_disruption(void **state)
{
	struct world *w = *state;
	struct vm *vm = create_and_boot(w);

	assert_int_equal(vmclock(VMCLOCK_DISRUPTION), 0);
	for (unsigned n = 1; n <= 3; n++) {
		uint64_t stopped, paired;

		assert_int_equal(vm_pause(vm, &w->e), 0);
		stopped = kvm_counter_read() - kvm_fake.offset;
		kvm_fake.counter += 1ull << 36;
		assert_int_equal(vm_resume(vm, NULL, &w->e), 0);
		assert_int_equal(vmclock(VMCLOCK_DISRUPTION), n);
		assert_int_equal(kvm_fake.pulses[arch_layout.vmclock_irq], n);
		/* Of the new time, and not ahead of it. */
		paired = vmclock(VMCLOCK_COUNTER);
		assert_in_range(stopped + 100 * kvm_fake.tick - paired, 1,
				200 * kvm_fake.tick);
		assert_true((int64_t)(kvm_counter_read() - kvm_fake.offset -
				      paired) > 0);
	}
	vm_destroy(vm);
}

static void a_pause_that_counts_is_no_disruption(void **state)
{
	const struct clock_request counts = {.policy = CLOCK_CONTINUOUS};
	struct world *w = *state;
	struct vm *vm = create_and_boot(w);
	uint64_t paired = vmclock(VMCLOCK_COUNTER);

	assert_int_equal(vm_pause(vm, &w->e), 0);
	kvm_fake.counter += kvm_fake.hz;
	assert_int_equal(vm_resume(vm, &counts, &w->e), 0);
	assert_int_equal(vmclock(VMCLOCK_DISRUPTION), 0);
	assert_true(vmclock(VMCLOCK_COUNTER) - paired >= kvm_fake.hz);
	assert_int_equal(kvm_fake.pulses[arch_layout.vmclock_irq], 1);
	vm_destroy(vm);
}

static void a_wrong_clock_keeps_the_guest_paused(void **state)
{
	struct world *w = *state;
	struct vm *vm = create_and_boot(w);
	unsigned entries;

	assert_int_equal(vm_pause(vm, &w->e), 0);
	entries = kvm_fake_entries(0);
	kvm_fake.ignore_offset = true;
	kvm_fake.counter += 1ull << 36;
	assert_int_equal(vm_resume(vm, NULL, &w->e), -1);
	usleep(20000);
	assert_int_equal(kvm_fake_entries(0), entries);
	vm_destroy(vm);
}

static void a_missing_kernel_is_named(void **state)
{
	struct world *w = *state;
	struct vm *vm = vm_create(&w->config, &w->host, &w->e);

	unlink(w->kernel);
	assert_int_equal(vm_boot(vm, &w->config, &w->e), -1);
	assert_non_null(strstr(w->e.text, w->kernel));
	assert_non_null(strstr(w->e.text, "No such file"));
	vm_destroy(vm);
}

/* One more call goes well each time, until all do. */
static void a_failing_call_leaves_nothing_behind(void **state)
{
	struct world *w = *state;
	unsigned before = open_fds();
	bool done = false;

	for (unsigned n = 1; !done; n++) {
		struct vm *vm;

		assert_true(n < 200);
		kvm_fake_reset();
		kvm_fake.fail_at = n;
		kvm_fake.fail_errno = ENOMEM;
		w->e.text[0] = '\0';
		vm = vm_create(&w->config, &w->host, &w->e);
		if (vm && !vm_boot(vm, &w->config, &w->e))
			done = kvm_fake.calls < n;
		else
			assert_true(w->e.text[0]);
		vm_destroy(vm);
		assert_int_equal(open_fds(), before);
	}
}

#define VM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VM_TEST(the_process_is_confined_before_it_has_vcpu_threads),
		VM_TEST(boot_gives_vcpu_0_its_entry_and_device_tree),
		VM_TEST(ram_is_what_was_asked_for),
		VM_TEST(without_a_console_there_is_no_serial_port),
		VM_TEST(the_guest_powering_off_is_told_once),
		VM_TEST(a_vcpu_that_cannot_go_on_is_told_with_its_reason),
		VM_TEST(pause_holds_the_guests_counter),
		VM_TEST(a_disk_that_hangs_is_named_and_holds_nothing),
		VM_TEST(devices_of_a_paused_guest_are_quiet),
		VM_TEST(the_time_pages_are_in_ram_kept_from_the_guest),
		VM_TEST(a_frozen_pause_is_told_as_a_disruption),
		VM_TEST(a_pause_that_counts_is_no_disruption),
		VM_TEST(a_wrong_clock_keeps_the_guest_paused),
		VM_TEST(a_missing_kernel_is_named),
		VM_TEST(a_failing_call_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
