/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads: parking, releasing, ending, in every order.  Also run under
 * ThreadSanitizer.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/machine/mmio_bus.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vcpu.h"

enum { DEVICE = 0x1000, PATIENCE_MS = 10000 };

struct house {
	struct kvm_vm vm;
	struct mmio_bus bus;
	struct vcpu_set set;
	int ended_fd;
	_Atomic uint64_t written;
	_Atomic uint64_t written_before_read;
	struct err e;
};

static uint64_t device_read(void *device, uint64_t offset, unsigned len)
{
	struct house *h = device;

	atomic_store(&h->written_before_read, atomic_load(&h->written));
	return 0x1234 + offset + len;
}

static void device_write(void *device, uint64_t offset, unsigned len,
			 uint64_t value)
{
	struct house *h = device;

	atomic_store(&h->written, value + offset + len);
}

static const struct mmio_ops device_ops = {
	.read = device_read,
	.write = device_write,
};

static int set_up(void **state)
{
	struct house *h = calloc(1, sizeof(*h));

	kvm_fake_reset();
	h->ended_fd = eventfd(0, EFD_CLOEXEC);
	h->vm.kvm_fd = kvm_open("kvm", &h->e);
	assert_int_equal(kvm_vm_create(&h->vm, h->vm.kvm_fd, 0, &h->e), 0);
	assert_int_equal(mmio_bus_add(&h->bus,
				      (struct mmio_window){
					      .base = DEVICE,
					      .size = 0x100,
					      .ops = &device_ops,
					      .device = h,
				      },
				      &h->e),
			 0);
	vcpu_set_init(&h->set, &h->bus, h->ended_fd);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;

	vcpu_set_stop(&h->set);
	vcpu_set_fini(&h->set);
	kvm_vm_destroy(&h->vm);
	close(h->vm.kvm_fd);
	close(h->ended_fd);
	free(h);
	return 0;
}

static void start(struct house *h, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		h->set.count++;
		assert_int_equal(
			kvm_vcpu_create(&h->vm, &h->set.vcpu[i].kvm, i, &h->e),
			0);
	}
	assert_int_equal(vcpu_set_start(&h->set, &h->e), 0);
}

/* True when a vCPU said that the guest is over, and all are at rest. */
static bool wait_for_end(struct house *h)
{
	struct pollfd p = {.fd = h->ended_fd, .events = POLLIN};
	eventfd_t n;

	/* It is written for the log's lines, too. */
	while (vcpu_set_end(&h->set, NULL) == VCPU_END_NONE) {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			return false;
		(void)eventfd_read(h->ended_fd, &n);
	}
	return vcpu_set_park(&h->set, PATIENCE_MS);
}

static void step(unsigned index, enum kvm_exit exit)
{
	kvm_fake_step(index,
		      (struct fake_step){.kind = FAKE_EXIT, .exit = exit});
}

/* ------------------------------------------------------------------ parking */

static void threads_start_parked_and_never_enter_the_guest(void **state)
{
	struct house *h = *state;

	start(h, 4);
	assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(kvm_fake.vcpu[i].entries, 0);
}

static void released_threads_enter_the_guest(void **state)
{
	struct house *h = *state;

	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_true(kvm_fake.vcpu[0].entries > 0);
}

/* Long enough for them to have gone back to sleep, in half of the cases. */
static void ready_threads_wait_for_their_release(void **state)
{
	struct house *h = *state;

	start(h, 4);
	for (unsigned i = 0; i < 200; i++) {
		assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
		for (unsigned k = 0; k < 4; k++)
			kvm_fake.vcpu[k].entries = 0;
		vcpu_set_ready(&h->set);
		usleep(i % 2 ? 2000 : 20);
		for (unsigned k = 0; k < 4; k++)
			assert_int_equal(kvm_fake.vcpu[k].entries, 0);
		vcpu_set_release(&h->set);
		usleep(i % 2 ? 2000 : 0);
	}
}

static void ready_threads_can_be_parked_again(void **state)
{
	struct house *h = *state;

	start(h, 4);
	for (unsigned i = 0; i < 3000; i++) {
		vcpu_set_ready(&h->set);
		if (i % 2)
			sched_yield();
		assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
		assert_int_equal(h->set.parked, 4);
	}
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(kvm_fake.vcpu[k].entries, 0);
}

static void no_kick_is_lost_in_thousands_of_pauses(void **state)
{
	struct house *h = *state;

	start(h, 8);
	for (unsigned i = 0; i < 3000; i++) {
		vcpu_set_release(&h->set);
		assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
		assert_int_equal(h->set.parked, 8);
	}
}

/* Guest time stops there: sooner would be back for a guest that read more. */
static void when_the_guest_was_left_is_known(void **state)
{
	struct house *h = *state;

	start(h, 3);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t before = kvm_counter_read();

		vcpu_set_release(&h->set);
		/* In half of the cases they did not get to run. */
		if (i % 2)
			sched_yield();
		assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
		assert_true(vcpu_set_left(&h->set) > before);
		assert_true(vcpu_set_left(&h->set) < kvm_counter_read());
		/* What comes later does not count. */
		before = vcpu_set_left(&h->set);
		kvm_counter_read();
		assert_int_equal(vcpu_set_left(&h->set), before);
	}
}

static void pausing_twice_and_resuming_twice_is_harmless(void **state)
{
	struct house *h = *state;

	start(h, 2);
	vcpu_set_release(&h->set);
	vcpu_set_release(&h->set);
	assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
	assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
	vcpu_set_release(&h->set);
}

static void stopping_works_while_parked(void **state)
{
	struct house *h = *state;

	start(h, 4);
	vcpu_set_stop(&h->set);
	assert_int_equal(h->set.started, 0);
}

static void stopping_works_while_running(void **state)
{
	struct house *h = *state;

	start(h, 4);
	vcpu_set_release(&h->set);
	vcpu_set_stop(&h->set);
	assert_int_equal(h->set.started, 0);
}

/* -------------------------------------------------------------------- exits */

static void a_read_is_answered_by_the_device(void **state)
{
	struct house *h = *state;

	kvm_fake_step(0, (struct fake_step){.kind = FAKE_READ,
					    .gpa = DEVICE + 4,
					    .len = 2});
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(kvm_fake.vcpu[0].answer, 0x1234 + 4 + 2);
}

static void a_read_where_nothing_is_gives_zero(void **state)
{
	struct house *h = *state;

	kvm_fake.vcpu[0].answer = 77;
	kvm_fake_step(0, (struct fake_step){
				 .kind = FAKE_READ, .gpa = 0x9000, .len = 8});
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(kvm_fake.vcpu[0].answer, 0);
}

static void a_write_reaches_the_device(void **state)
{
	struct house *h = *state;

	kvm_fake_step(0, (struct fake_step){.kind = FAKE_WRITE,
					    .gpa = DEVICE + 8,
					    .len = 4,
					    .value = 1000});
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(atomic_load(&h->written), 1000 + 8 + 4);
}

static void write_late(struct house *h, uint64_t value)
{
	assert_int_equal(kvm_vm_tell_late(&h->vm, DEVICE + 8), 0);
	kvm_fake_step(0, (struct fake_step){.kind = FAKE_WRITE,
					    .gpa = DEVICE + 8,
					    .len = 4,
					    .value = value});
}

/* KVM does not end KVM_RUN for it; the guest's order is kept nonetheless. */
static void a_late_write_comes_before_what_follows(void **state)
{
	struct house *h = *state;

	write_late(h, 1000);
	kvm_fake_step(0, (struct fake_step){
				 .kind = FAKE_READ, .gpa = DEVICE, .len = 4});
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(kvm_fake.late_last, 1);
	assert_int_equal(kvm_fake.late_first, 1);
	assert_int_equal(atomic_load(&h->written_before_read), 1000 + 8 + 4);
}

/* Or a snapshot would lack it. */
static void a_parked_guest_has_no_late_writes(void **state)
{
	struct house *h = *state;

	write_late(h, 2000);
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(kvm_fake.late_last, 1);
	assert_int_equal(atomic_load(&h->written), 2000 + 8 + 4);
}

static void an_undecoded_access_is_aborted_and_the_guest_goes_on(void **state)
{
	struct house *h = *state;

	step(0, KVM_EXITED_NO_SYNDROME);
	step(0, KVM_EXITED_OFF);
	start(h, 1);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(kvm_fake.vcpu[0].aborts, 1);
	assert_int_equal(vcpu_set_end(&h->set, NULL), VCPU_END_OFF);
}

/* ------------------------------------------------------------------ the end */

static void an_end_parks_the_other_vcpus(void **state)
{
	struct house *h = *state;

	step(2, KVM_EXITED_RESET);
	start(h, 4);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(vcpu_set_end(&h->set, NULL), VCPU_END_RESET);
}

static void an_ended_guest_cannot_be_released(void **state)
{
	struct house *h = *state;

	step(0, KVM_EXITED_OFF);
	start(h, 2);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	vcpu_set_release(&h->set);
	assert_int_equal(h->set.wanted, VCPUS_PARK);
}

static void a_failure_says_which_vcpu_why_and_where(void **state)
{
	struct house *h = *state;
	char reason[VCPU_REASON_MAX];

	kvm_fake_step(1, (struct fake_step){.kind = FAKE_EXIT,
					    .exit = KVM_EXITED_ERROR,
					    .error = EFAULT});
	start(h, 2);
	vcpu_set_release(&h->set);
	assert_true(wait_for_end(h));
	assert_int_equal(vcpu_set_end(&h->set, reason), VCPU_END_ERROR);
	assert_non_null(strstr(reason, "vCPU 1"));
	assert_non_null(strstr(reason, "errno 14"));
	assert_non_null(strstr(reason, "pc 0x"));
}

/* All vCPUs end at once, while the main thread pauses and resumes. */
static void of_many_ends_one_is_told(void **state)
{
	for (unsigned round = 0; round < 500; round++) {
		struct house *h = *state;
		struct pollfd told = {.fd = h->ended_fd, .events = POLLIN};
		eventfd_t count;

		for (unsigned i = 0; i < 4; i++)
			step(i, i % 2 ? KVM_EXITED_OFF : KVM_EXITED_RESET);
		start(h, 4);
		vcpu_set_release(&h->set);
		assert_true(vcpu_set_park(&h->set, PATIENCE_MS));
		vcpu_set_release(&h->set);
		assert_true(poll(&told, 1, PATIENCE_MS) == 1 &&
			    vcpu_set_park(&h->set, PATIENCE_MS));
		assert_int_equal(eventfd_read(h->ended_fd, &count), 0);
		assert_int_equal(count, 1);
		tear_down(state);
		set_up(state);
	}
}

#define HOUSE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOUSE_TEST(threads_start_parked_and_never_enter_the_guest),
		HOUSE_TEST(released_threads_enter_the_guest),
		HOUSE_TEST(ready_threads_wait_for_their_release),
		HOUSE_TEST(ready_threads_can_be_parked_again),
		HOUSE_TEST(no_kick_is_lost_in_thousands_of_pauses),
		HOUSE_TEST(when_the_guest_was_left_is_known),
		HOUSE_TEST(pausing_twice_and_resuming_twice_is_harmless),
		HOUSE_TEST(stopping_works_while_parked),
		HOUSE_TEST(stopping_works_while_running),
		HOUSE_TEST(a_read_is_answered_by_the_device),
		HOUSE_TEST(a_read_where_nothing_is_gives_zero),
		HOUSE_TEST(a_write_reaches_the_device),
		HOUSE_TEST(a_late_write_comes_before_what_follows),
		HOUSE_TEST(a_parked_guest_has_no_late_writes),
		HOUSE_TEST(
			an_undecoded_access_is_aborted_and_the_guest_goes_on),
		HOUSE_TEST(an_end_parks_the_other_vcpus),
		HOUSE_TEST(an_ended_guest_cannot_be_released),
		HOUSE_TEST(a_failure_says_which_vcpu_why_and_where),
		HOUSE_TEST(of_many_ends_one_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
