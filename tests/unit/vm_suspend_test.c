/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that suspend themselves: vmm/vm/vm_suspend.c, arch/suspend.h.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sched.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_internal.h"

#define CORE(name)                                             \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(name))
#define SCTLR ARM64_SYS_REG(3, 0, 1, 0, 0)

enum { ENTRY = 0x80200000, CONTEXT = 77 };
enum { DENIED = -3, INVALID_ADDRESS = -9 };

struct seen {
	struct event_loop *loop;
	unsigned paused, woken, ended;
	int result;
};

static void on_paused(void *context, int result, const struct err *e)
{
	struct seen *seen = context;

	(void)e;
	seen->paused++;
	seen->result = result;
	loop_stop(seen->loop);
}

static void on_woken(void *context)
{
	struct seen *seen = context;

	seen->woken++;
	loop_stop(seen->loop);
}

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	struct seen *seen = context;

	assert_int_equal(end, VM_END_ERROR);
	assert_contains(reason, "suspend");
	seen->ended++;
	loop_stop(seen->loop);
}

/* A VM of two vCPUs, of which the first asks to be woken at @entry; the other
 * is in @state. */
static struct vm *boot(struct snapshot_world *w, struct seen *seen,
		       uint64_t entry, uint32_t state)
{
	struct vm *vm;

	*seen = (struct seen){.loop = &w->loop};
	w->host.paused = on_paused;
	w->host.woken = on_woken;
	w->host.ended = on_ended;
	w->host.context = seen;
	w->loop.stopped = false;
	kvm_fake_step(0, (struct fake_step){.kind = FAKE_STUCK,
					    .exit = KVM_EXITED_SUSPEND});
	vm = snapshot_world_boot(w);
	kvm_fake_await_stuck();
	while (!kvm_fake_entries(1))
		sched_yield();
	kvm_fake_put_reg(0, CORE(regs.regs[1]), entry);
	kvm_fake_put_reg(0, CORE(regs.regs[2]), CONTEXT);
	kvm_fake_put_reg(0, CORE(regs.pstate), PSR_MODE_EL1t);
	kvm_fake_put_reg(0, SCTLR, 0x30d0d805 | 1 << 25);
	kvm_fake.vcpu[1].mp_state = state;
	return vm;
}

static void run(struct snapshot_world *w)
{
	w->loop.stopped = false;
	assert_ok(loop_run(&w->loop, &w->e), w->e);
}

static struct vm *fall_asleep(struct snapshot_world *w, struct seen *seen)
{
	struct vm *vm = boot(w, seen, ENTRY, KVM_MP_STATE_STOPPED);

	kvm_fake_let_go();
	run(w);
	assert_int_equal(seen->paused, 1);
	assert_int_equal(seen->result, 0);
	assert_true(vm_is_suspended(vm));
	return vm;
}

static void turn(struct snapshot_world *w)
{
	struct epoll_event event;

	if (epoll_wait(w->loop.epoll_fd, &event, 1, 10) == 1)
		((struct event_source *)event.data.ptr)
			->ready(event.data.ptr, event.events);
}

/* The vCPUs begin, and the guest's request is there for the main thread. */
static void await_request(struct vm *vm)
{
	kvm_fake_let_go();
	while (!vcpu_set_has_asked(&vm->vcpus))
		sched_yield();
}

/* The request has been seen to, and vCPU 0 runs on. */
static void run_until_denied(struct snapshot_world *w, struct vm *vm)
{
	const unsigned before = kvm_fake_entries(0);

	await_request(vm);
	while (vcpu_set_has_asked(&vm->vcpus) ||
	       kvm_fake_entries(0) <= before + 1)
		turn(w);
}

static int64_t answer(void)
{
	return (int64_t)kvm_fake_reg(0, CORE(regs.regs[0]));
}

/* ------------------------------------------------------------------- asleep */

static void a_guest_sleeps_with_the_registers_of_its_wake_up(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = fall_asleep(w, &seen);

	assert_int_equal(kvm_fake_reg(0, CORE(regs.pc)), ENTRY);
	assert_int_equal(answer(), CONTEXT);
	assert_int_equal(kvm_fake_reg(0, CORE(regs.pstate)), 0x3c5);
	assert_int_equal(kvm_fake_reg(0, SCTLR), 0x00c50078 | 1 << 25);
	assert_int_equal(kvm_fake.vcpu[0].mp_state, KVM_MP_STATE_SUSPENDED);
	assert_int_equal(kvm_fake.vcpu[1].mp_state, KVM_MP_STATE_STOPPED);
	assert_int_equal(arch_clock_last(&vm->clock)->kind, CLOCK_STOPPED);
	assert_int_equal(arch_clock_last(&vm->clock)->late_ticks, 0);
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_false(vm_is_suspended(vm));
	assert_int_equal(kvm_fake.vcpu[0].mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(kvm_fake.vcpu[1].mp_state, KVM_MP_STATE_STOPPED);
	vm_destroy(vm);
}

/* It expects that. */
static void its_time_may_jump_by_any_length(void **state)
{
	const struct clock_request clock = {.policy = CLOCK_CONTINUOUS};
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = fall_asleep(w, &seen);
	const uint64_t year = 365ull * 24 * 3600 * kvm_fake.hz;

	kvm_fake.counter += year;
	assert_ok(vm_may_resume(vm, &clock, &w->e), w->e);
	assert_ok(vm_resume(vm, &clock, &w->e), w->e);
	assert_true(arch_clock_last(&vm->clock)->jump_ticks >= year);
	/* Awake, it does not any more. */
	assert_ok(vm_pause(vm, &w->e), w->e);
	kvm_fake.counter += year;
	assert_err(vm_resume(vm, &clock, &w->e), w->e, "max_jump_ms");
	vm_destroy(vm);
}

static void it_is_saved_asleep_and_sleeps_when_it_is_loaded(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = fall_asleep(w, &seen);

	snapshot_world_save_paused(w, vm);
	vm_destroy(vm);
	vm = snapshot_world_load(w);
	assert_non_null(vm);
	assert_true(vm_is_suspended(vm));
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_false(vm_is_suspended(vm));
	assert_int_equal(kvm_fake.vcpu[0].mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(kvm_fake.vcpu[1].mp_state, KVM_MP_STATE_STOPPED);
	vm_destroy(vm);
}

static void a_client_that_pauses_it_at_the_same_time_has_it_asleep(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, ENTRY, KVM_MP_STATE_STOPPED);

	await_request(vm);
	assert_ok(vm_pause(vm, &w->e), w->e);
	assert_true(vm_is_suspended(vm));
	assert_int_equal(kvm_fake_reg(0, CORE(regs.pc)), ENTRY);
	vm_destroy(vm);
}

static void what_comes_for_it_is_told(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = fall_asleep(w, &seen);

	/* Not what came before. */
	vm->knocked = true;
	vm_await_wake(vm);
	vm_look_at_knock(vm);
	assert_int_equal(seen.woken, 0);
	vm_serial_receive(vm, (const uint8_t *)"x", 1);
	assert_int_equal(seen.woken, 1);
	/* Once. */
	vm_look_at_knock(vm);
	assert_int_equal(seen.woken, 1);
	vm->rtc.told = true;
	vm_await_wake(vm);
	run(w);
	assert_int_equal(seen.woken, 2);
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	vm_serial_receive(vm, (const uint8_t *)"x", 1);
	assert_int_equal(seen.woken, 2);
	vm_destroy(vm);
}

/* ------------------------------------------------------------------- denied */

static void a_guest_with_another_vcpu_on_is_denied(void **state)
{
	static const uint32_t states[] = {KVM_MP_STATE_RUNNABLE,
					  KVM_MP_STATE_SUSPENDED};
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm;

	for (unsigned i = 0; i < 2; i++) {
		kvm_fake_reset();
		vm = boot(w, &seen, ENTRY, states[i]);
		run_until_denied(w, vm);
		assert_false(vm_is_suspended(vm));
		assert_int_equal(seen.paused, 0);
		assert_int_equal(vm->clock.pauses, 0);
		assert_int_equal(answer(), DENIED);
		vm_destroy(vm);
	}
}

static void nobody_wakes_up_outside_of_ram(void **state)
{
	static const uint64_t nowhere[] = {
		0,          ENTRY + 1,      ENTRY + 2,
		0x40002000, UINT64_MAX - 3, 0x80000000 + MIB(64),
	};
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm;

	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		kvm_fake_reset();
		vm = boot(w, &seen, nowhere[i], KVM_MP_STATE_STOPPED);
		run_until_denied(w, vm);
		assert_false(vm_is_suspended(vm));
		assert_int_equal(answer(), INVALID_ADDRESS);
		assert_int_equal(kvm_fake.vcpu[0].mp_state,
				 KVM_MP_STATE_RUNNABLE);
		vm_destroy(vm);
	}
}

/* Five requests at once stop the vCPUs once, for the first. */
static void soon_after_the_last_time_it_is_denied(void **state)
{
	const struct fake_step again = {.kind = FAKE_EXIT,
					.exit = KVM_EXITED_SUSPEND};
	const unsigned entries = 5 + 1 + 1;
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, ENTRY, KVM_MP_STATE_RUNNABLE);

	for (unsigned i = 0; i < 4; i++)
		kvm_fake_step(0, again);
	kvm_fake_let_go();
	while (kvm_fake_entries(0) < entries)
		turn(w);
	for (unsigned i = 0; i < 5; i++)
		turn(w);
	assert_int_equal(kvm_fake_entries(0), entries);
	assert_int_equal(answer(), DENIED);
	vm_destroy(vm);
}

/* A request that nobody looked at before the vCPU ran on. */
static void a_request_ends_when_its_vcpu_runs_on(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, ENTRY, KVM_MP_STATE_STOPPED);

	await_request(vm);
	assert_true(vcpu_set_park(&vm->vcpus, 1000));
	vcpu_set_release(&vm->vcpus);
	while (vcpu_set_has_asked(&vm->vcpus))
		sched_yield();
	assert_ok(vm_pause(vm, &w->e), w->e);
	assert_false(vm_is_suspended(vm));
	assert_int_equal(answer(), DENIED);
	vm_destroy(vm);
}

static void a_kvm_that_fails_ends_the_guest(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, ENTRY, KVM_MP_STATE_STOPPED);

	await_request(vm);
	/* The state of the other vCPU, three registers, then this. */
	kvm_fake.fail_at = kvm_fake.calls + 5;
	kvm_fake.fail_errno = EIO;
	run(w);
	assert_int_equal(seen.ended, 1);
	assert_false(vm_is_suspended(vm));
	vm_destroy(vm);
}

static void kvm_is_asked_to_offer_it(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	assert_true(kvm_fake.enabled[KVM_CAP_ARM_SYSTEM_SUSPEND]);
	vm_destroy(vm);
}

#define SUSPEND_TEST(test)                                           \
	cmocka_unit_test_setup_teardown(test, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUSPEND_TEST(a_guest_sleeps_with_the_registers_of_its_wake_up),
		SUSPEND_TEST(its_time_may_jump_by_any_length),
		SUSPEND_TEST(it_is_saved_asleep_and_sleeps_when_it_is_loaded),
		SUSPEND_TEST(
			a_client_that_pauses_it_at_the_same_time_has_it_asleep),
		SUSPEND_TEST(what_comes_for_it_is_told),
		SUSPEND_TEST(a_guest_with_another_vcpu_on_is_denied),
		SUSPEND_TEST(nobody_wakes_up_outside_of_ram),
		SUSPEND_TEST(soon_after_the_last_time_it_is_denied),
		SUSPEND_TEST(a_request_ends_when_its_vcpu_runs_on),
		SUSPEND_TEST(a_kvm_that_fails_ends_the_guest),
		SUSPEND_TEST(kvm_is_asked_to_offer_it),
	};

	return RUN_TESTS("vm_suspend", tests);
}
