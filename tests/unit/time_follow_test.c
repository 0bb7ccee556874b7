/* SPDX-License-Identifier: Apache-2.0 */
/* When VMClock is brought up to date while the guest runs:
 * vmm/vm/time/time_follow.c.  The timer is a test's. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <unistd.h>

#include "core/base/err.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"
#include "vmm/vm/time/time_follow.h"
#include "vmm/vm/time/time_pages.h"

enum { NOW = 1800000000, HALF = 500000000, HZ = 62500000 };
enum { FLAGS = 0x18, SOON = 3 << 1, COUNTER = 0x28 };

static struct world {
	struct event_loop loop;
	struct arch_clock clock;
	struct time_pages pages;
	struct time_follow follow;
	unsigned raised;
	struct err e;
} world;

static _Alignas(8) uint8_t page[VMCLOCK_SIZE], id[VMGENID_SIZE];

/* --------------------------------------------------------- what libc says */

static struct timer {
	int fd, flags, error; /* error: of its next read */
	bool none;            /* it cannot be made */
	struct itimerspec when;
} timer;

int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
	(void)flags;
	assert_int_equal(clock, CLOCK_REALTIME);
	if (timer.none) {
		errno = EMFILE;
		return -1;
	}
	timer.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return timer.fd;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *before);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
			   struct itimerspec *before)
{
	(void)before;
	assert_int_equal(fd, timer.fd);
	timer.flags = flags;
	timer.when = *when;
	return 0;
}

ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	if (fd != timer.fd)
		return __real_read(fd, buf, len);
	errno = timer.error;
	return timer.error ? -1 : 8;
}

static struct timex kernel;

int __wrap_adjtimex(struct timex *t);
int __wrap_adjtimex(struct timex *t)
{
	*t = kernel;
	return TIME_OK;
}

/* --------------------------------------------------------------------- a VM */

static int set_up(void **state)
{
	struct world *w = &world;

	*w = (struct world){0};
	*state = w;
	kvm_fake_reset();
	kvm_fake.tick = 1;
	kvm_fake.hz = HZ;
	timer = (struct timer){.fd = -1};
	kernel = (struct timex){.maxerror = 1000, .tai = 37, .tick = 10000};
	fake_clock_set(NOW, HALF);
	fake_clock_set_tai(37);
	memset(page, 0, sizeof(page));
	assert_ok(loop_init(&w->loop, &w->e), w->e);
	w->clock.hz = HZ;
	time_follow_init(&w->follow, &w->loop, &w->pages, &w->clock);
	vmclock_init(&w->pages.vmclock, page, irq_counter(&w->raised));
	vmgenid_init(&w->pages.vmgenid, id, irq_counter(&w->raised));
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	time_follow_fini(&w->follow);
	loop_fini(&w->loop);
	return 0;
}

static void resume(struct world *w)
{
	struct arch_clock_sample sample;

	arch_clock_sample(&sample);
	time_pages_resume(&w->pages, &w->clock, &sample);
	time_follow_start(&w->follow);
}

static uint64_t get(unsigned offset)
{
	uint64_t value;

	memcpy(&value, page + offset, sizeof(value));
	return value;
}

/* In how many seconds it is due. */
static int64_t due_s(void)
{
	assert_int_equal(timer.when.it_interval.tv_sec, 0);
	assert_int_equal(timer.when.it_value.tv_nsec, HALF);
	return timer.when.it_value.tv_sec - NOW;
}

static int64_t now_s;

/* It is due; the counter and the clock agree. */
static void ring(struct world *w)
{
	int64_t passed = timer.when.it_value.tv_sec - now_s;

	kvm_fake.counter += (uint64_t)passed * HZ;
	now_s += passed;
	fake_clock_set(now_s, HALF);
	w->follow.timer.ready(&w->follow.timer, EPOLLIN);
}

static void it_looks_ever_less_often_down_to_once_a_minute(void **state)
{
	static const int64_t waits[] = {2, 4, 8, 16, 32, 60, 60, 60};
	struct world *w = *state;

	now_s = NOW;
	resume(w);
	assert_int_equal(due_s(), 1);
	assert_int_equal(timer.flags,
			 TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		uint64_t before = get(COUNTER);

		ring(w);
		assert_int_equal(due_s() - (now_s - NOW), waits[i]);
		assert_true(get(COUNTER) > before);
		assert_int_equal(w->raised, i + 1);
	}
}

static void a_change_of_rate_makes_it_look_soon_again(void **state)
{
	struct world *w = *state;

	now_s = NOW;
	resume(w);
	for (unsigned i = 0; i < 6; i++)
		ring(w);
	assert_int_equal(due_s() - (now_s - NOW), 60);
	kernel.freq += 2 << 16;
	ring(w);
	assert_int_equal(due_s() - (now_s - NOW), 1);
}

static void so_does_a_clock_that_was_set(void **state)
{
	struct world *w = *state;
	uint64_t before;

	now_s = NOW;
	resume(w);
	for (unsigned i = 0; i < 6; i++)
		ring(w);
	before = get(COUNTER);
	timer.error = ECANCELED;
	ring(w);
	assert_int_equal(due_s() - (now_s - NOW), 1);
	assert_true(get(COUNTER) > before);
}

/* The loop had seen that it was due before the guest was stopped. */
static void a_guest_that_was_stopped_is_left_alone(void **state)
{
	struct world *w = *state;
	uint64_t before;

	now_s = NOW;
	resume(w);
	time_follow_stop(&w->follow);
	assert_int_equal(timer.when.it_value.tv_sec, 0);
	before = get(COUNTER);
	timer.error = EAGAIN;
	timer.when.it_value.tv_sec = now_s + 1;
	ring(w);
	assert_true(get(COUNTER) == before);
	assert_int_equal(w->raised, 0);
}

static void the_guest_may_see_that_it_is_about_to_be_stopped(void **state)
{
	struct world *w = *state;

	resume(w);
	assert_int_equal(get(FLAGS) & SOON, 0);
	time_pages_announce(&w->pages, true);
	assert_int_equal(get(FLAGS) & SOON, SOON);
	time_pages_announce(&w->pages, false);
	assert_int_equal(get(FLAGS) & SOON, 0);
	time_pages_announce(&w->pages, true);
	resume(w);
	assert_int_equal(get(FLAGS) & SOON, 0);
}

static void without_a_timer_the_guest_runs_all_the_same(void **state)
{
	struct world *w = *state;

	timer.none = true;
	resume(w);
	assert_int_equal(w->follow.timer.fd, -1);
	time_follow_stop(&w->follow);
	timer.none = false;
	resume(w);
	assert_int_equal(w->follow.timer.fd, timer.fd);
	/* And only one. */
	resume(w);
	assert_int_equal(w->follow.timer.fd, timer.fd);
}

#define TIME_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIME_TEST(it_looks_ever_less_often_down_to_once_a_minute),
		TIME_TEST(a_change_of_rate_makes_it_look_soon_again),
		TIME_TEST(so_does_a_clock_that_was_set),
		TIME_TEST(a_guest_that_was_stopped_is_left_alone),
		TIME_TEST(the_guest_may_see_that_it_is_about_to_be_stopped),
		TIME_TEST(without_a_timer_the_guest_runs_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
