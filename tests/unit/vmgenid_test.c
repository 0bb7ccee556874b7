/* SPDX-License-Identifier: Apache-2.0 */
/* The generation identifier: devices/vmgenid.c. */
#include <string.h>

#include "devices/vmgenid.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"

static void it_differs_each_time_and_is_told_when_asked(void **state)
{
	uint8_t page[VMGENID_SIZE + 1] = {0}, old[VMGENID_SIZE] = {0};
	unsigned raised = 0;
	struct vmgenid id;
	struct err e;

	(void)state;
	vmgenid_init(&id, page, irq_counter(&raised));
	for (unsigned i = 0; i < 3; i++) {
		assert_ok(vmgenid_renew(&id, &e), e);
		assert_memory_not_equal(page, old, sizeof(old));
		memcpy(old, page, sizeof(old));
	}
	assert_int_equal(page[VMGENID_SIZE], 0);
	assert_int_equal(raised, 0);
	vmgenid_notify(&id);
	assert_int_equal(raised, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_differs_each_time_and_is_told_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
