/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis doctor` on hosts whose KVM does not keep its promises. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"

static struct arch_checks checks;

static const struct arch_check *guest_counters(void)
{
	struct err e;
	int fd = kvm_open("kvm", &e);

	checks.count = 0;
	arch_examine_host(fd, &checks);
	close(fd);
	for (unsigned i = 0; i < checks.count; i++) {
		if (!strcmp(checks.check[i].name, "guest counters"))
			return &checks.check[i];
	}
	return NULL;
}

static int set_up(void **state)
{
	(void)state;
	kvm_fake_reset();
	return 0;
}

static void assert_fails(const char *words)
{
	const struct arch_check *c = guest_counters();

	assert_non_null(c);
	assert_int_equal(c->result, ARCH_CHECK_FAIL);
	assert_contains(c->finding, words);
	assert_contains(c->remedy, "6.6");
}

static void a_kernel_that_keeps_its_promises_is_good(void **state)
{
	const struct arch_check *c = guest_counters();

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->finding, "follow it on every vCPU, whatever is "
					"written to them");
	assert_int_equal(c->result, ARCH_CHECK_OK);
}

static void without_the_offset_there_is_nothing_to_try(void **state)
{
	(void)state;
	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 0;
	assert_null(guest_counters());
}

static void an_offset_that_changes_nothing_is_found(void **state)
{
	(void)state;
	kvm_fake.ignore_offset = true;
	assert_fails("is not the host's less an offset of");
}

static void an_offset_that_moves_under_a_running_guest_is_found(void **state)
{
	(void)state;
	kvm_fake.never_busy = true;
	assert_fails("not refused while a vCPU runs");
}

/* Whatever fails, it ends, and says so. */
static void a_call_that_fails_is_told(void **state)
{
	unsigned calls;

	(void)state;
	guest_counters();
	calls = kvm_fake.calls;
	for (unsigned n = calls / 2; n < calls; n++) {
		kvm_fake_reset();
		kvm_fake.fail_at = n;
		kvm_fake.fail_errno = EIO;
		guest_counters();
	}
}

#define PROBE_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest clock_probe[] = {
		PROBE_TEST(a_kernel_that_keeps_its_promises_is_good),
		PROBE_TEST(without_the_offset_there_is_nothing_to_try),
		PROBE_TEST(an_offset_that_changes_nothing_is_found),
		PROBE_TEST(an_offset_that_moves_under_a_running_guest_is_found),
		PROBE_TEST(a_call_that_fails_is_told),
	};

	return cmocka_run_group_tests(clock_probe, NULL, NULL);
}
