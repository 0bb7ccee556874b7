/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that is saved and becomes another, on a fake KVM: nothing is lost, what
 * depends on something else comes after it, and what is wrong is refused.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/memory/memory_mark.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

#define CORE(member)                                           \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(member))
#define ID_AA64PFR0 ARM64_SYS_REG(3, 0, 0, 4, 0)
#define TTBR0       ARM64_SYS_REG(3, 0, 2, 0, 0)

static const uint64_t REGISTERS[] = {
	CORE(regs.regs[0]),
	CORE(regs.regs[30]),
	CORE(regs.pc),
	CORE(regs.pstate),
	CORE(spsr[0]),
	TTBR0,
	ID_AA64PFR0,
	KVM_REG_ARM_PSCI_VERSION,
	KVM_REG_ARM_STD_BMAP,
	KVM_REG_ARM_TIMER_CVAL,
	KVM_REG_ARM_TIMER_CTL,
	ARM64_SYS_REG(3, 0, 4, 1, 0), /* SP_EL0 */
	ARM64_SYS_REG(2, 0, 0, 1, 5), /* DBGBCR1_EL1 */
};

static uint64_t value_of(unsigned vcpu, unsigned reg)
{
	return 0x0123456789abcdefull * (reg + 1) + vcpu;
}

/* As a guest would have left them. */
static void fill_registers(void)
{
	for (unsigned v = 0; v < 2; v++) {
		for (unsigned i = 0; i < ARRAY_SIZE(REGISTERS); i++)
			kvm_fake_put_reg(v, REGISTERS[i], value_of(v, i));
	}
	kvm_fake.vcpu[1].mp_state = KVM_MP_STATE_STOPPED;
	kvm_fake.vcpu[0].serror = (struct kvm_serror){
		.pending = true, .has_esr = true, .esr = 0x1234};
}

/* ------------------------------------------------------------- what is kept */

static void registers_are_what_they_were(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	fill_registers();
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	assert_non_null(vm);
	for (unsigned v = 0; v < 2; v++) {
		for (unsigned i = 0; i < ARRAY_SIZE(REGISTERS); i++)
			assert_int_equal(kvm_fake_reg(v, REGISTERS[i]),
					 value_of(v, i));
	}
	vm_destroy(vm);
}

/* The last section must be @tag, and have @len bytes: cut it off. */
static void cut(struct snapshot_world *w, const char *tag, size_t len)
{
	len += 8;
	assert_memory_equal(w->body + w->len - len, tag, 4);
	w->len -= len;
	assert_null(snapshot_world_load(w));
}

static void assert_read_as(struct snapshot_world *w, uint16_t minor)
{
	struct vm *vm;

	w->minor = minor;
	vm = snapshot_world_load(w);
	assert_non_null(vm);
	vm_destroy(vm);
}

/* What 1.1 and 1.2 added are sections at the end: which interfaces are vhost's
 * (there are none here); the alarm, what is on the disk, and the boot; 1.4 more
 * of the clock. */
static void files_of_older_formats_are_still_read(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	snapshot_world_save(w, vm);
	cut(w, "clkc", 10);
	assert_read_as(w, 3);
	assert_read_as(w, 2);
	cut(w, "hbot", 12);
	cut(w, "dsks", (2 + 2 * BLOCK_SAMPLES) * 8);
	cut(w, "alrm", 10);
	assert_read_as(w, 1);
	cut(w, "vhst", 0);
	assert_read_as(w, 0);
}

static void what_vcpus_were_doing_is_kept(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	fill_registers();
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	assert_int_equal(kvm_fake.vcpu[0].mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(kvm_fake.vcpu[1].mp_state, KVM_MP_STATE_STOPPED);
	assert_true(kvm_fake.vcpu[0].serror.pending);
	assert_true(kvm_fake.vcpu[0].serror.has_esr);
	assert_int_equal(kvm_fake.vcpu[0].serror.esr, 0x1234);
	assert_false(kvm_fake.vcpu[1].serror.pending);
	vm_destroy(vm);
}

/* Only it has a group of that number. */
static int gic_fd(void)
{
	for (unsigned i = 0; i < kvm_fake.attr_count; i++) {
		if (kvm_fake.attr[i].group == KVM_DEV_ARM_VGIC_GRP_CTRL)
			return kvm_fake.attr[i].fd;
	}
	return -1;
}

static bool is_gic_register(const struct fake_attr *a)
{
	return a->fd == gic_fd() &&
	       (a->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS ||
		a->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS ||
		a->group == KVM_DEV_ARM_VGIC_GRP_CPU_REGS ||
		a->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ||
		a->group == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO);
}

/* The fake's are all different, so that a mix-up shows. */
static unsigned check_gic(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < kvm_fake.attr_count; i++) {
		const struct fake_attr *a = &kvm_fake.attr[i];

		if (!is_gic_register(a))
			continue;
		assert_int_equal((uint32_t)a->value, snapshot_world_gic(a));
		for (unsigned k = 0; k < i; k++)
			assert_false(is_gic_register(&kvm_fake.attr[k]) &&
				     a->group == kvm_fake.attr[k].group &&
				     a->attr == kvm_fake.attr[k].attr);
		count++;
	}
	return count;
}

static void the_interrupt_controller_is_what_it_was(void **state)
{
	struct snapshot_world *w = *state;

	for (int v2 = 0; v2 < 2; v2++) {
		struct vm *vm;

		kvm_fake_reset();
		kvm_fake.no_gic_v3 = v2;
		vm = snapshot_world_boot(w);
		snapshot_world_save(w, vm);
		w->no_gic_v3 = v2;
		vm = snapshot_world_load(w);
		assert_non_null(vm);
		assert_true(check_gic() > 80);
		vm_destroy(vm);
	}
}

/* Registers of devices that keep what is written to them. */
static const struct {
	gpa_t gpa;
	unsigned len;
	uint32_t value;
} device_register[] = {
	{0x40001004, 4, 0x12345678}, /* RTCMR */
	{0x40001010, 4, 1},          /* RTCIMSC */
	{0x40002007, 1, 0xa5},       /* the serial port's SCR */
	{0x40002003, 1, 0x1b},       /* its LCR */
};

static void add_step(int kind, unsigned reg)
{
	kvm_fake_step(0, (struct fake_step){
				 .kind = kind,
				 .gpa = device_register[reg].gpa,
				 .len = device_register[reg].len,
				 .value = device_register[reg].value,
			 });
}

/* Until vCPU 0 has made so many accesses, and its last is answered. */
static void wait_for_steps(unsigned count)
{
	for (unsigned ms = 0; ms < 5000; ms++) {
		if (__atomic_load_n(&kvm_fake.vcpu[0].entries,
				    __ATOMIC_RELAXED) > count)
			return;
		usleep(1000);
	}
	fail_msg("the guest is stuck");
}

static void devices_are_what_they_were(void **state)
{
	struct snapshot_world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(device_register); i++) {
		struct vm *vm;

		kvm_fake_reset();
		add_step(FAKE_WRITE, i);
		vm = snapshot_world_boot(w);
		wait_for_steps(1);
		snapshot_world_save(w, vm);
		vm = snapshot_world_load(w);
		assert_non_null(vm);
		add_step(FAKE_READ, i);
		assert_ok(vm_resume(vm, NULL, &w->e), w->e);
		wait_for_steps(1);
		assert_ok(vm_pause(vm, &w->e), w->e);
		assert_int_equal(kvm_fake.vcpu[0].answer,
				 device_register[i].value);
		vm_destroy(vm);
	}
}

/* Sections that are drawn or measured anew. */
static bool is_always_new(uint32_t tag)
{
	return tag == SNAP_TAG('s', 'n', 'i', 'd') ||
	       tag == SNAP_TAG('t', 'i', 'm', 'e') ||
	       tag == SNAP_TAG('h', 'b', 'o', 't');
}

static uint32_t word(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

/* So nothing is forgotten that is written at all. */
static void what_was_restored_is_saved_the_same(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	size_t at = 0, len, sections = 0;
	uint8_t *first;

	fill_registers();
	snapshot_world_save(w, vm);
	len = w->len;
	first = malloc(len);
	memcpy(first, w->body, len);
	vm = snapshot_world_load(w);
	snapshot_world_save_again(w, vm);
	assert_int_equal(w->len, len);
	while (at + 8 <= len) {
		const uint32_t tag = word(first + at), n = word(first + at + 4);

		assert_true(n <= len - at - 8);
		if (!is_always_new(tag) &&
		    memcmp(first + at, w->body + at, n + 8) != 0)
			fail_msg("section %.4s changed", (char *)first + at);
		at += n + 8;
		sections++;
	}
	assert_true(sections > 8);
	free(first);
}

/* ---------------------------------------------------------------- the order */

static unsigned when_set(unsigned vcpu, uint64_t id)
{
	const struct fake_vcpu *v = &kvm_fake.vcpu[vcpu];

	for (unsigned i = 0; i < v->reg_count; i++) {
		if (v->regs[i].id == id)
			return v->regs[i].when;
	}
	fail_msg("register 0x%llx was not set", (unsigned long long)id);
	return 0;
}

static void vcpus_are_told_what_they_are_before_their_state(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	fill_registers();
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	for (unsigned v = 0; v < 2; v++) {
		unsigned id = when_set(v, ID_AA64PFR0);

		assert_true(when_set(v, KVM_REG_ARM_PSCI_VERSION) < id);
		assert_true(when_set(v, KVM_REG_ARM_STD_BMAP) < id);
		for (unsigned i = 0; i < ARRAY_SIZE(REGISTERS); i++)
			assert_true(when_set(v, REGISTERS[i]) <
				    kvm_fake.vcpu[v].mp_when);
		assert_true(id < when_set(v, TTBR0));
		assert_true(id < when_set(v, KVM_REG_ARM_TIMER_CVAL));
		assert_true(id < when_set(v, CORE(regs.pc)));
	}
	assert_true(kvm_fake.vcpu[0].serror_when > when_set(0, TTBR0));
	vm_destroy(vm);
}

/* 0: never. */
static unsigned when_attr(unsigned group, uint32_t offset, bool last)
{
	unsigned found = 0;

	for (unsigned i = 0; i < kvm_fake.attr_count; i++) {
		const struct fake_attr *a = &kvm_fake.attr[i];

		if (is_gic_register(a) && a->group == group &&
		    (uint32_t)a->attr == offset && (!found || last))
			found = a->when;
	}
	return found;
}

static void the_interrupt_controller_is_restored_in_its_order(void **state)
{
	enum {
		DIST = KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
		REDIST = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
		LINES = KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO,
	};
	static const struct {
		unsigned group;
		uint32_t before;
		unsigned then_group;
		uint32_t after;
	} pairs[] = {
		{DIST, 0x8, DIST, 0x0},             /* IIDR, CTLR */
		{REDIST, 0x74, REDIST, 0x0},        /* PROPBASER, CTLR */
		{REDIST, 0x78, REDIST, 0x0},        /* PENDBASER, CTLR */
		{REDIST, 0x10c04, REDIST, 0x10200}, /* ICFGR1, ISPENDR0 */
		{REDIST, 0x10c04, LINES, 0},        /* ICFGR1, lines */
		{DIST, 0xc0c, DIST, 0x204},         /* ICFGR, ISPENDR */
		{DIST, 0xc0c, LINES, 32},           /* ICFGR, lines */
		{DIST, 0x6104, DIST, 0x204},        /* IROUTER, ISPENDR */
		{LINES, 32, DIST, 0x204},           /* lines, ISPENDR */
	};
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	fill_registers();
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		assert_in_range(
			when_attr(pairs[i].group, pairs[i].before, true), 1,
			when_attr(pairs[i].then_group, pairs[i].after, false));
	assert_in_range(when_attr(REDIST, 0x10180, false), 1,
			when_attr(REDIST, 0x10100, false));
	/* What a new VM has is not set again: the fake's is what was saved. */
	assert_int_equal(when_attr(DIST, 0x6100, true), 0);
	assert_int_equal(when_attr(DIST, 0x420, true), 0);
	assert_true(when_attr(DIST, 0x424, true));
	/* And after the vCPUs, whose timers raise interrupts. */
	for (unsigned v = 0; v < 2; v++)
		assert_true(kvm_fake.vcpu[v].mp_when <
			    when_attr(DIST, 0x0, false));
	vm_destroy(vm);
}

static void guest_time_is_pinned_first_and_set_last(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	uint64_t stopped;
	unsigned sets;

	fill_registers();
	kvm_fake_put_reg(0, KVM_REG_ARM_TIMER_CNT, 77);
	snapshot_world_save(w, vm);
	stopped = w->stopped;
	vm = snapshot_world_load(w);
	assert_true(kvm_fake.offset_when < kvm_fake.vcpu[0].created_when);
	sets = kvm_fake.offset_sets;
	kvm_fake.counter += 1ull << 40;
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_int_equal(kvm_fake.offset_sets, sets + 1);
	assert_true(kvm_fake.offset_when > kvm_fake.vcpu[1].mp_when);
	/* Counters are never a vCPU's. */
	for (unsigned i = 0; i < kvm_fake.vcpu[0].reg_count; i++)
		assert_true(kvm_fake.vcpu[0].regs[i].id !=
			    KVM_REG_ARM_TIMER_CNT);
	assert_in_range(kvm_counter_read() - kvm_fake.offset - stopped, 1,
			1000 * kvm_fake.tick);
	vm_destroy(vm);
}

static void vector_lengths_are_set_before_the_vcpu_is_complete(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm;

	kvm_fake.caps[KVM_CAP_ARM_SVE] = 1;
	w->sve = true;
	vm = snapshot_world_boot(w);
	fill_registers();
	for (unsigned v = 0; v < 2; v++)
		kvm_fake_put_reg(v, KVM_REG_ARM64_SVE_VLS, 0xf);
	snapshot_world_save(w, vm);
	vm = snapshot_world_load(w);
	assert_non_null(vm);
	for (unsigned v = 0; v < 2; v++) {
		assert_int_equal(kvm_fake_reg(v, KVM_REG_ARM64_SVE_VLS), 0xf);
		assert_true(kvm_fake.vcpu[v].finalized);
		assert_true(when_set(v, KVM_REG_ARM64_SVE_VLS) <
			    kvm_fake.vcpu[v].finalized_when);
	}
	vm_destroy(vm);
}

static struct memory_mark mark_of(const struct snapshot_world *w)
{
	struct memory_mark mark;
	struct err e;

	assert_ok(memory_mark_read(&mark, w->memory_fd, vm_mark_offset(), &e),
		  e);
	return mark;
}

/* So their memory files are equal; once the guest has run, they are not. */
static void snapshots_of_one_pause_have_one_identity(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	struct memory_mark first, second;

	assert_ok(vm_pause(vm, &w->e), w->e);
	snapshot_world_save_paused(w, vm);
	first = mark_of(w);
	snapshot_world_save_paused(w, vm);
	second = mark_of(w);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_ok(vm_pause(vm, &w->e), w->e);
	snapshot_world_save_paused(w, vm);
	second = mark_of(w);
	assert_memory_not_equal(first.id, second.id, sizeof(first.id));
	assert_memory_equal(first.run, second.run, sizeof(first.run));
	vm_destroy(vm);
}

#define WORLD_TEST(name)                                             \
	cmocka_unit_test_setup_teardown(name, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(registers_are_what_they_were),
		WORLD_TEST(files_of_older_formats_are_still_read),
		WORLD_TEST(what_vcpus_were_doing_is_kept),
		WORLD_TEST(the_interrupt_controller_is_what_it_was),
		WORLD_TEST(devices_are_what_they_were),
		WORLD_TEST(what_was_restored_is_saved_the_same),
		WORLD_TEST(vcpus_are_told_what_they_are_before_their_state),
		WORLD_TEST(the_interrupt_controller_is_restored_in_its_order),
		WORLD_TEST(guest_time_is_pinned_first_and_set_last),
		WORLD_TEST(snapshots_of_one_pause_have_one_identity),
		WORLD_TEST(vector_lengths_are_set_before_the_vcpu_is_complete),
	};

	return RUN_TESTS("vm_snapshot", tests);
}
