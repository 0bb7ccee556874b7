/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of VMs on a fake KVM, and everything that may be wrong with them:
 * it is refused with a reason, and leaves nothing behind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

static void a_call_that_fails_while_saving_leaves_the_vm_whole(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	unsigned before;
	bool done = false;

	assert_ok(vm_pause(vm, &w->e), w->e);
	before = testing_count_fds();
	for (unsigned n = 1; !done; n++) {
		struct snap s;
		int r;

		kvm_fake.fail_at = kvm_fake.calls + n;
		kvm_fake.fail_errno = EIO;
		w->e.text[0] = '\0';
		r = vm_save(vm, &w->config, true, &s, &w->e);
		snap_fini(&s);
		done = kvm_fake.calls < kvm_fake.fail_at;
		if (done)
			assert_ok(r, w->e);
		else
			assert_err(r, w->e, "Input/output error");
		assert_int_equal(testing_count_fds(), before);
		assert_true(n < 2000);
	}
	kvm_fake.fail_at = 0;
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	vm_destroy(vm);
}

static void a_call_that_fails_while_loading_leaves_nothing(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	unsigned before, n = 1;
	bool done = false;

	snapshot_world_save(w, vm);
	before = testing_count_fds();
	for (; !done; n++) {
		w->fail_at = n;
		w->e.text[0] = '\0';
		vm = snapshot_world_load(w);
		done = vm && kvm_fake.calls < n;
		if (!vm)
			assert_true(w->e.text[0]);
		vm_destroy(vm);
		snapshot_world_unload(w);
		assert_int_equal(testing_count_fds(), before);
		assert_true(n < 3000);
	}
	assert_true(n > 200);
}

static void what_was_cut_off_is_refused(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	size_t len;

	snapshot_world_save(w, vm);
	len = w->len;
	for (w->len = 0; w->len < len; w->len += w->len % 16 == 5 ? 11 : 1) {
		w->e.text[0] = '\0';
		assert_null(snapshot_world_load(w));
		assert_true(w->e.text[0]);
		snapshot_world_unload(w);
	}
}

static void bytes_at_the_end_are_refused(void **state)
{
	struct snapshot_world *w = *state;
	uint8_t *longer;

	snapshot_world_save(w, snapshot_world_boot(w));
	longer = calloc(1, w->len + 1);
	memcpy(longer, w->body, w->len++);
	free(w->body);
	w->body = longer;
	assert_null(snapshot_world_load(w));
	assert_true(w->e.text[0]);
}

/* Every byte is wrong in one bit; the fuzzer tries the others. */
static void a_flipped_bit_is_refused_or_harmless(void **state)
{
	struct snapshot_world *w = *state;
	unsigned before, refused = 0;

	snapshot_world_save(w, snapshot_world_boot(w));
	before = testing_count_fds();
	for (size_t i = 0; i < w->len; i++) {
		const uint8_t bit = (uint8_t)(1u << (i * 5 + i / 8) % 8);
		struct vm *vm;

		w->body[i] ^= bit;
		w->e.text[0] = '\0';
		vm = snapshot_world_load(w);
		if (!vm) {
			refused++;
			assert_true(w->e.text[0]);
		}
		vm_destroy(vm);
		snapshot_world_unload(w);
		w->body[i] ^= bit;
		assert_int_equal(testing_count_fds(), before);
	}
	assert_true(refused > w->len / 20);
}

static void memory_of_another_snapshot_is_refused(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);
	uint8_t *other;
	size_t len;

	assert_ok(vm_pause(vm, &w->e), w->e);
	snapshot_world_save_paused(w, vm);
	other = w->body;
	len = w->len;
	w->body = NULL;
	/* Those of one pause belong together: their memory is the same. */
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_ok(vm_pause(vm, &w->e), w->e);
	snapshot_world_save_paused(w, vm);
	vm_destroy(vm);
	free(w->body);
	w->body = other;
	w->len = len;
	assert_null(snapshot_world_load(w));
	assert_contains(w->e.text, "another snapshot");
}

#define WORLD_TEST(name)                                             \
	cmocka_unit_test_setup_teardown(name, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_call_that_fails_while_saving_leaves_the_vm_whole),
		WORLD_TEST(a_call_that_fails_while_loading_leaves_nothing),
		WORLD_TEST(what_was_cut_off_is_refused),
		WORLD_TEST(bytes_at_the_end_are_refused),
		WORLD_TEST(a_flipped_bit_is_refused_or_harmless),
		WORLD_TEST(memory_of_another_snapshot_is_refused),
	};

	return RUN_TESTS("vm_snapshot_damage", tests);
}
