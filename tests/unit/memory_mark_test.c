/* SPDX-License-Identifier: Apache-2.0 */
/* Which diff goes over which memory: snapshot/memory/memory_mark.c, and what
 * vmm/vm/vm_changes.c and vm_snapshot.c say in it. */
#include <errno.h>
#include <string.h>

#include "arch/arch.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"
#include "snapshot/codec.h"
#include "snapshot/memory/memory_mark.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"

enum { AT = 4096 };

static struct memory_mark mark_of(const char *letters, uint8_t kind)
{
	struct memory_mark mark = {.kind = kind};

	mark.id[15] = (uint8_t)letters[0];
	mark.base[15] = (uint8_t)letters[1];
	mark.run[15] = (uint8_t)letters[2];
	return mark;
}

/* Letters: id, base, run. */
static void a_diff_goes_over_what_it_was_made_for(void **state)
{
	static const struct {
		const char *diff;
		uint8_t kind;
		const char *base;
		const char *refusal;
	} cases[] = {
		{"BA1", MEMORY_SINCE_LAST, "A.0", NULL},
		{"BA1", MEMORY_SINCE_LAST, "A.1", NULL},
		/* Again. */
		{"BA1", MEMORY_SINCE_LAST, "BA1", NULL},
		/* One was left out: what it has is lost. */
		{"CB1", MEMORY_SINCE_LAST, "A.1", "not made for this base"},
		{"CB1", MEMORY_SINCE_LAST, "DB1", "not made for this base"},
		{"BA1", MEMORY_SINCE_LOAD, "A.0", NULL},
		/* It has all that an earlier one has. */
		{"CA1", MEMORY_SINCE_LOAD, "BA1", NULL},
		/* Another clone's. */
		{"CA1", MEMORY_SINCE_LOAD, "BA2", "not made for this base"},
		{"CA1", MEMORY_SINCE_LOAD, "X.2", "not made for this base"},
		{"B.1", MEMORY_WHOLE, "A.1", "use it as it is"},
		{"BA1", 3, "A.1", "use it as it is"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memory_mark diff = mark_of(cases[i].diff, cases[i].kind);
		struct memory_mark base = mark_of(cases[i].base, MEMORY_WHOLE);
		AUTO_CLOSE int fd = testing_file("", 0);
		struct err e = {0};
		int r;

		assert_ok(io_pwrite(fd, &base, sizeof(base), AT), e);
		r = memory_mark_check(&diff, fd, AT, &e);
		if (!!r != !!cases[i].refusal ||
		    (r && !strstr(e.text, cases[i].refusal)))
			fail_msg("case %u: %d, %s", i, r, e.text);
	}
}

static void a_file_without_a_mark_is_no_memory(void **state)
{
	struct memory_mark diff = mark_of("BA1", MEMORY_SINCE_LAST);
	AUTO_CLOSE int fd = testing_file("abc", 3);
	struct err e;

	(void)state;
	assert_err(memory_mark_check(&diff, fd, AT, &e), e, "too short");
	assert_err(memory_mark_check(&diff, -1, AT, &e), e, "cannot read");
}

/* ------------------------------------------------------------- what VMs say */

static bool same(const uint8_t a[16], const uint8_t b[16])
{
	return !memcmp(a, b, 16);
}

/* A diff of paused @vm is written, or not; its mark. */
static struct memory_mark take_diff(struct snapshot_world *w, struct vm *vm,
				    const struct vm_config *config, bool saved)
{
	const void *ram;
	struct vm_changes changes;
	struct memory_mark mark;
	struct snap s;

	assert_ok(vm_save(vm, config, true, &s, &w->e), w->e);
	assert_ok(vm_changes_take(vm, &changes, &w->e), w->e);
	mark = vm_changes_mark(vm, &changes);
	ram = guest_mem_at(vm_memory(vm), arch_layout.snapshot_id,
			   sizeof(mark));
	assert_memory_equal(ram, &mark, sizeof(mark));
	if (saved)
		vm_changes_saved(vm, &changes);
	else
		vm_changes_give_back(vm, &changes);
	vm_changes_fini(&changes);
	snap_fini(&s);
	return mark;
}

/* Snapshots of one pause have one identity. */
static void run_a_moment(struct snapshot_world *w, struct vm *vm)
{
	assert_ok(vm_resume(vm, NULL, &w->e), w->e);
	assert_ok(vm_pause(vm, &w->e), w->e);
}

static void with_a_log_it_goes_over_the_last_that_was_written(void **state)
{
	struct snapshot_world *w = *state;
	struct memory_mark a, b, c, d;
	struct vm *vm;

	w->config.track_dirty = true;
	vm = snapshot_world_boot(w);
	assert_ok(vm_pause(vm, &w->e), w->e);
	a = take_diff(w, vm, &w->config, true);
	assert_int_equal(a.kind, MEMORY_WHOLE); /* nothing was before it */
	run_a_moment(w, vm);
	b = take_diff(w, vm, &w->config, true);
	assert_int_equal(b.kind, MEMORY_SINCE_LAST);
	assert_true(same(b.base, a.id) && !same(b.id, a.id));
	run_a_moment(w, vm);
	c = take_diff(w, vm, &w->config, false);
	assert_true(same(c.base, b.id));
	run_a_moment(w, vm);
	d = take_diff(w, vm, &w->config, true);
	assert_true(same(d.base, b.id) && !same(d.id, c.id));
	assert_true(same(d.run, a.run));
	vm_destroy(vm);
}

static void without_one_it_goes_over_what_was_loaded(void **state)
{
	struct snapshot_world *w = *state;
	struct memory_mark a, b, other;
	struct vm *vm;

	snapshot_world_save(w, snapshot_world_boot(w));
	vm = snapshot_world_load(w);
	if (!vm)
		fail_msg("%s", w->e.text);
	a = take_diff(w, vm, &w->saved->config, true);
	b = take_diff(w, vm, &w->saved->config, true);
	assert_int_equal(b.kind, MEMORY_SINCE_LOAD);
	assert_true(same(a.base, w->saved->id.bytes));
	assert_true(same(b.base, w->saved->id.bytes));
	assert_true(same(a.run, b.run));
	vm_destroy(vm);
	vm = snapshot_world_load(w);
	if (!vm)
		fail_msg("%s", w->e.text);
	other = take_diff(w, vm, &w->saved->config, true);
	assert_true(same(a.base, other.base) && !same(a.run, other.run));
	vm_destroy(vm);
}

static bool no_proc;

int __real_open64(const char *path, int flags, unsigned mode);
int __wrap_open64(const char *path, int flags, unsigned mode);

int __wrap_open64(const char *path, int flags, unsigned mode)
{
	if (!no_proc || strncmp(path, "/proc/", 6) != 0)
		return __real_open64(path, flags, mode);
	errno = ENOENT;
	return -1;
}

/* As who writes it does, of page @page; is it in the next one? */
static bool stays(struct snapshot_world *w, struct vm *vm, unsigned page,
		  bool saved)
{
	struct vm_changes changes;
	bool is_in;

	assert_ok(vm_changes_take(vm, &changes, &w->e), w->e);
	assert_true(changes.known && changes.compare);
	changes.owned[0][page / 64] |= 1ull << page % 64;
	if (saved)
		vm_changes_saved(vm, &changes);
	else
		vm_changes_give_back(vm, &changes);
	vm_changes_fini(&changes);
	assert_ok(vm_changes_take(vm, &changes, &w->e), w->e);
	is_in = changes.bits[0][page / 64] >> page % 64 & 1;
	vm_changes_fini(&changes);
	return is_in;
}

static void without_proc_what_differed_once_is_in_all_that_follow(void **state)
{
	struct snapshot_world *w = *state;
	struct vm_changes changes;
	struct vm *vm;

	snapshot_world_save(w, snapshot_world_boot(w));
	vm = snapshot_world_load(w);
	if (!vm)
		fail_msg("%s", w->e.text);
	no_proc = true;
	assert_ok(vm_changes_take(vm, &changes, &w->e), w->e);
	assert_int_equal(changes.bits[0][0], 0);
	vm_changes_fini(&changes);
	assert_true(stays(w, vm, 7, true));
	assert_true(stays(w, vm, 9, false));
	/* It does not change its mind: the pagemap would see other pages. */
	no_proc = false;
	assert_true(stays(w, vm, 70, true));
	vm_destroy(vm);
}

#define WORLD_TEST(name)                                             \
	cmocka_unit_test_setup_teardown(name, snapshot_world_set_up, \
					snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_diff_goes_over_what_it_was_made_for),
		cmocka_unit_test(a_file_without_a_mark_is_no_memory),
		WORLD_TEST(with_a_log_it_goes_over_the_last_that_was_written),
		WORLD_TEST(without_one_it_goes_over_what_was_loaded),
		WORLD_TEST(
			without_proc_what_differed_once_is_in_all_that_follow),
	};

	return RUN_TESTS("memory_mark", tests);
}
