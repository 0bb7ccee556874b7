/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that something else than stasis kept from running: vmm/vm/vm_run.c. */
#include <sched.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_internal.h"

enum { AGO = 1000000, LEFT_AGO = 900000 };

struct seen {
	struct event_loop *loop;
	unsigned count;
	struct arch_clock_event stall;
};

static void on_stalled(void *context, const struct arch_clock_event *stall)
{
	struct seen *seen = context;

	seen->count++;
	seen->stall = *stall;
	loop_stop(seen->loop);
}

/* A VM of two vCPUs, of which @stalled leave the guest without a kick. */
static struct vm *boot(struct snapshot_world *w, struct seen *seen, bool frozen,
		       unsigned stalled)
{
	const struct fake_step step = {
		.kind = FAKE_STUCK,
		.exit = KVM_EXITED_INTERRUPTED,
	};
	struct vm *vm;

	*seen = (struct seen){.loop = &w->loop};
	w->config.clock.stalls_are_frozen = frozen;
	w->host.stalled = on_stalled;
	w->host.context = seen;
	w->loop.stopped = false;
	for (unsigned i = 0; i < stalled; i++)
		kvm_fake_step(i, step);
	vm = snapshot_world_boot(w);
	for (unsigned i = 0; i < 2; i++) {
		while (!kvm_fake_entries(i))
			sched_yield();
	}
	kvm_fake_await_stuck();
	return vm;
}

/* AGO ticks pass, of which the guest can have run the first. */
static void stall(unsigned stalled)
{
	for (unsigned i = 0; i < stalled; i++) {
		kvm_fake.vcpu[i].steps[0].unseen = kvm_fake.counter;
		kvm_fake.vcpu[i].steps[0].left =
			kvm_fake.counter + AGO - LEFT_AGO;
	}
	kvm_fake.counter += AGO;
	kvm_fake_let_go();
}

static void run(struct snapshot_world *w)
{
	assert_ok(loop_run(&w->loop, &w->e), w->e);
}

static void a_frozen_stall_is_given_back(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, true, 2);
	uint64_t offset = vm->clock.offset, marker, moved;

	assert_true(kvm_fake.vcpu[0].beats);
	marker = vm->time_pages.vmclock.disruption;
	stall(2);
	run(w);
	moved = kvm_fake.offset - offset;
	assert_in_range(moved, LEFT_AGO, LEFT_AGO + AGO / 10);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.stall.kind, CLOCK_STALLED);
	assert_in_range(seen.stall.unseen_ticks, AGO, AGO + AGO / 10);
	assert_int_equal(seen.stall.error_ticks, AGO - LEFT_AGO);
	assert_int_equal(vm->time_pages.vmclock.disruption, marker + 1);
	assert_int_equal(vm->clock.stalls, 1);
	vm_destroy(vm);
}

static void a_continuous_stall_is_told_and_left(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, false, 1);
	uint64_t offset = vm->clock.offset, marker;
	unsigned sets = kvm_fake.offset_sets;

	assert_false(kvm_fake.vcpu[0].beats);
	marker = vm->time_pages.vmclock.disruption;
	stall(1);
	run(w);
	assert_int_equal(kvm_fake.offset, offset);
	assert_int_equal(kvm_fake.offset_sets, sets);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.stall.error_ticks, seen.stall.unseen_ticks);
	assert_int_equal(vm->time_pages.vmclock.disruption, marker + 1);
	vm_destroy(vm);
}

/* However far: max_jump_ms is for what one can decide. */
static void a_continuous_stall_may_be_long(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm;

	w->config.clock.max_jump_ms = 0;
	vm = boot(w, &seen, false, 2);
	kvm_fake.counter += kvm_fake.hz;
	stall(2);
	run(w);
	assert_int_equal(seen.count, 1);
	vm_destroy(vm);
}

static bool is_running(void)
{
	return kvm_fake_entries(0) > 1 && kvm_fake_entries(1) > 1;
}

/* The others ran, and have seen later counters. */
static void one_vcpu_that_is_short_of_time_is_no_stall(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, true, 1);
	uint64_t offset = vm->clock.offset;
	struct epoll_event event;

	stall(1);
	while (!is_running()) {
		if (epoll_wait(w->loop.epoll_fd, &event, 1, 10) == 1)
			((struct event_source *)event.data.ptr)
				->ready(event.data.ptr, event.events);
	}
	assert_int_equal(seen.count, 0);
	assert_int_equal(kvm_fake.offset, offset);
	vm_destroy(vm);
}

/* A pause that was asked for takes it in. */
static void a_stall_before_a_pause_is_told(void **state)
{
	struct snapshot_world *w = *state;
	struct seen seen;
	struct vm *vm = boot(w, &seen, true, 2);
	uint64_t left = kvm_fake.counter;

	stall(2);
	while (!vcpu_set_has_asked(&vm->vcpus) || vm->vcpus.stalled < 2)
		sched_yield();
	assert_ok(vm_pause(vm, &w->e), w->e);
	assert_int_equal(seen.count, 1);
	assert_in_range(vm->clock.host_stopped, left, left + AGO / 5);
	vm_destroy(vm);
}

#define STALL_TEST(test)                                             \
	cmocka_unit_test_setup_teardown(test, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STALL_TEST(a_frozen_stall_is_given_back),
		STALL_TEST(a_continuous_stall_is_told_and_left),
		STALL_TEST(a_continuous_stall_may_be_long),
		STALL_TEST(one_vcpu_that_is_short_of_time_is_no_stall),
		STALL_TEST(a_stall_before_a_pause_is_told),
	};

	return RUN_TESTS("vm_stall", tests);
}
