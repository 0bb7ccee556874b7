/* SPDX-License-Identifier: Apache-2.0 */
/* What a pause and a resume wait for: vmm/vm/vm_run.c. */
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_internal.h"

/* KVM refuses to set it while they do. */
static void no_vcpu_runs_before_the_clock_is_set(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	assert_ok(vm_pause(vm, &w->e), w->e);
	kvm_fake.busy = 20;
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	vm_destroy(vm);
}

/* Also before the loop has heard of its end. */
static void a_guest_that_has_ended_is_not_paused(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm;

	kvm_fake_step(0, (struct fake_step){.kind = FAKE_EXIT,
					    .exit = KVM_EXITED_OFF});
	vm = snapshot_world_boot(w);
	while (vcpu_set_end(&vm->vcpus, NULL) == VCPU_END_NONE)
		usleep(500);
	assert_err(vm_pause_within(vm, 1000, &w->e), w->e,
		   "the guest has ended");
	vm_destroy(vm);
}

#define PAUSE_TEST(test)                                             \
	cmocka_unit_test_setup_teardown(test, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAUSE_TEST(no_vcpu_runs_before_the_clock_is_set),
		PAUSE_TEST(a_guest_that_has_ended_is_not_paused),
	};

	return RUN_TESTS("vm_pause", tests);
}
