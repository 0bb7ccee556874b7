/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a snapshot is from this boot of this host, where nobody can read the
 * kernel's boot id: arch/aarch64/clock_record.c. */
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "arch/arch.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

enum { NOW = 1800000000 }; /* seconds since 1970 */

#define BOOTED (1799999000123456789ll) /* ns since 1970 */

static struct host {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct clock_config config;
	struct arch_clock clock;
	struct arch_clock_record record;
	struct err e;
} host;

/* The linker's --wrap leads all calls here. */
int __wrap_adjtimex(struct timex *t);
int __wrap_adjtimex(struct timex *t)
{
	*t = (struct timex){.maxerror = 1000, .tai = 37, .tick = 10000};
	return TIME_OK;
}

static void create(struct host *h)
{
	h->clock = (struct arch_clock){0};
	h->config.max_jump_ms = CLOCK_MAX_JUMP_MS;
	h->vm.kvm_fd = kvm_open("kvm", &h->e);
	assert_ok(kvm_vm_create(&h->vm, h->vm.kvm_fd, 0, &h->e), h->e);
	assert_ok(kvm_vcpu_create(&h->vm, &h->vcpu, 0, &h->e), h->e);
	assert_ok(arch_clock_pin(&h->clock, &h->vm, &h->config, &h->e), h->e);
}

static void destroy(struct host *h)
{
	kvm_vcpu_destroy(&h->vcpu);
	kvm_vm_destroy(&h->vm);
	close(h->vm.kvm_fd);
}

/* What is recorded of a guest that ran for a while, and stopped. */
static int set_up(void **state)
{
	const struct clock_request boot = {.policy = CLOCK_FROZEN};
	struct host *h = &host;

	host = (struct host){0};
	*state = h;
	kvm_fake_reset();
	fake_clock_set(NOW, 0);
	fake_clock_set_boot(BOOTED);
	fake_clock_set_tai(37);
	create(h);
	assert_ok(arch_clock_start(&h->clock, &h->vm, &h->vcpu, &boot, &h->e),
		  h->e);
	kvm_fake.counter += 5ull * kvm_fake.hz;
	assert_ok(
		arch_clock_stop(&h->clock, &h->vcpu, kvm_counter_read(), &h->e),
		h->e);
	assert_ok(arch_clock_record(&h->clock, &h->record, &h->e), h->e);
	destroy(h);
	return 0;
}

/* Another process, when the host's counter is at @counter.  Is it the boot? */
static bool load(struct host *h, uint64_t counter)
{
	kvm_fake_reset();
	kvm_fake.counter = counter;
	create(h);
	assert_ok(arch_clock_restore(&h->clock, &h->record, &h->e), h->e);
	destroy(h);
	return !h->clock.estimated;
}

/* Saved where no boot id can be read, and loaded @ms later; as on one boot? */
static bool is_same_boot(struct host *h, uint64_t counter, int64_t ms)
{
	bool same;

	h->record.boot_id[0] = '\0';
	fake_clock_set(NOW, 0);
	fake_clock_advance_ms(ms);
	same = load(h, counter);
	if (same)
		assert_int_equal(h->clock.host_stopped, h->record.host_stopped);
	return same;
}

static void without_a_boot_id_the_clocks_tell(void **state)
{
	struct host *h = *state;
	const uint64_t then = h->record.sample.host;
	const uint64_t second = kvm_fake.hz;

	assert_int_equal(h->record.boot.ns, BOOTED);
	assert_true(is_same_boot(h, then + 60 * second, 60000));
	/* NTP may slew it meanwhile, by half a thousandth. */
	assert_true(is_same_boot(h, then + 60 * second, 60030));
	/* Nothing else is that exact: the counter of another host, which is at
	 * something else; or one that went back. */
	assert_false(is_same_boot(h, then + 61 * second, 60000));
	assert_false(is_same_boot(h, then + 59 * second, 60000));
	assert_false(is_same_boot(h, then - 60 * second, 60000));
	assert_false(is_same_boot(h, then - second, -1000));
	/* A boot at another moment: a host beside it, say, with a counter that
	 * would do; or a clock that was set. */
	fake_clock_set_boot(BOOTED + 1000);
	assert_false(is_same_boot(h, then + 60 * second, 60000));
	fake_clock_set_boot(BOOTED - 1000);
	assert_false(is_same_boot(h, then + 60 * second, 60000));
	/* As exact as the readings were. */
	h->record.boot.width_ns = 4000;
	assert_true(is_same_boot(h, then + 60 * second, 60000));
	fake_clock_set_boot(BOOTED - 3000);
	assert_false(is_same_boot(h, then + 60 * second, 60000));
	/* A file of format 1.1 does not say. */
	fake_clock_set_boot(BOOTED);
	h->record.boot.ns = 0;
	assert_false(is_same_boot(h, then + 60 * second, 60000));
}

/* Where both are known, nothing else counts. */
static void a_boot_id_decides(void **state)
{
	struct host *h = *state;

	if (!h->record.boot_id[0])
		skip();
	h->record.boot_id[0] ^= 1;
	assert_false(load(h, h->record.sample.host));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_boot_id_the_clocks_tell,
				       set_up),
		cmocka_unit_test_setup(a_boot_id_decides, set_up),
	};

	return RUN_TESTS("clock_boot", tests);
}
