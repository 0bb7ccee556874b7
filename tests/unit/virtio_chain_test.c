/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a chain: virtq_read(), virtq_write(), virtq_slice(). */
#include <string.h>

#include "devices/virtio/virtq.h"
#include "tests/unit/testing.h"

static void reads_and_writes_cross_buffers(void **state)
{
	char a[3] = "abc", b[1] = "d", c[4] = "efgh", got[9] = "";
	struct virtq_chain chain = {
		.out_count = 4,
		.out_len = 8,
		.iov = {{a, 3}, {b, 0}, {b, 1}, {c, 4}},
	};

	(void)state;
	assert_true(virtq_read(&chain, 0, got, 8));
	assert_string_equal(got, "abcdefgh");
	memset(got, 0, sizeof(got));
	assert_true(virtq_read(&chain, 2, got, 3));
	assert_string_equal(got, "cde");
	assert_false(virtq_read(&chain, 6, got, 3));
	assert_false(virtq_read(&chain, 9, got, 0));
	assert_false(virtq_read(&chain, UINT64_MAX, got, 2));
	chain.in_count = 4;
	chain.in_len = 8;
	chain.out_count = 0;
	assert_true(virtq_write(&chain, 2, "XYZ", 3));
	assert_memory_equal(a, "abX", 3);
	assert_memory_equal(b, "Y", 1);
	assert_memory_equal(c, "Zfgh", 4);
	assert_false(virtq_write(&chain, 7, "no", 2));
}

static void slices_are_cut_exactly(void **state)
{
	char a[10], b[10];
	struct iovec in[] = {{a, 10}, {NULL, 0}, {b, 10}}, out[3];

	(void)state;
	assert_int_equal(virtq_slice(in, 3, 9, 2, out), 2);
	assert_ptr_equal(out[0].iov_base, a + 9);
	assert_int_equal(out[0].iov_len, 1);
	assert_ptr_equal(out[1].iov_base, b);
	assert_int_equal(out[1].iov_len, 1);
	assert_int_equal(virtq_slice(in, 3, 10, 10, out), 1);
	assert_int_equal(virtq_slice(in, 3, 20, 1, out), 0);
	assert_int_equal(virtq_slice(in, 3, 0, 0, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes_cross_buffers),
		cmocka_unit_test(slices_are_cut_exactly),
	};

	return RUN_TESTS("virtio_chain", tests);
}
