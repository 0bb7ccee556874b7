/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring in memory that changes with every look at it: whatever the device
 * loads, it gets the next bytes of the input, or, as long as a coin says so,
 * what is in memory.  No load may miss the guest's RAM, and no chain may say
 * anything that is not so.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"
#include "core/machine/mem.h"
#include "tests/fuzz/fuzz.h"

enum { RAM = 0x80000000, RAM_SIZE = 1 << 16 };

static struct guest_mem fuzz_ram;
static const uint8_t *input;
static size_t input_left;

static uint64_t next(unsigned len)
{
	uint64_t value = 0;

	if (len > input_left)
		len = (unsigned)input_left;
	memcpy(&value, input, len);
	input += len;
	input_left -= len;
	return value;
}

static uint64_t load(const void *p, unsigned len)
{
	const uint8_t *ram = fuzz_ram.region[0].host;
	uint64_t value = 0;

	must((const uint8_t *)p >= ram);
	must((const uint8_t *)p + len <= ram + RAM_SIZE);
	must((uintptr_t)p % len == 0);
	if (next(1) & 1) {
		memcpy(&value, p, len);
		return value;
	}
	return next(len);
}

#define guest_load(p)             ((__typeof__(*(p)))load((p), sizeof(*(p))))
#define guest_load_acquire(p)     guest_load(p)
#define guest_copy(to, from, len) memcpy((to), (from), (len))

/* With the loads from above.  NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "devices/virtio/virtq.c" /* nogncheck */

static void check(const struct virtq_chain *chain)
{
	uint64_t out = 0, in = 0;
	unsigned count = chain->out_count + chain->in_count;

	must(count <= VIRTQ_CHAIN_MAX);
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *p = chain->iov[i].iov_base;
		size_t len = chain->iov[i].iov_len;

		must(p >= fuzz_ram.region[0].host);
		must(len && len <= RAM_SIZE);
		must(p + len <= fuzz_ram.region[0].host + RAM_SIZE);
		*(i < chain->out_count ? &out : &in) += len;
	}
	must(out == chain->out_len && in == chain->in_len);
}

static void use(const struct virtq_chain *chain)
{
	struct iovec part[VIRTQ_CHAIN_MAX];
	uint8_t buf[64];
	uint64_t at = next(2), len = next(1) % sizeof(buf);
	unsigned n;

	must(virtq_read(chain, at, buf, len) ==
	     (at <= chain->out_len && len <= chain->out_len - at));
	must(virtq_write(chain, at, buf, len) ==
	     (at <= chain->in_len && len <= chain->in_len - at));
	n = virtq_slice(chain->iov, chain->out_count, at, len, part);
	must(n <= chain->out_count);
}

static void program(struct virtq *vq)
{
	virtq_reset(vq);
	vq->size = 1u << next(1) % 10;
	vq->desc_gpa = RAM + (next(2) & ~15u);
	vq->avail_gpa = RAM + (next(2) & ~1u);
	vq->used_gpa = RAM + (next(2) & ~3u);
	vq->next_avail = (uint16_t)next(2);
	vq->next_used = (uint16_t)next(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct guest_mem_region region = {.gpa = RAM, .size = RAM_SIZE};
	static struct virtq_chain chain;
	struct virtq vq;
	struct err e;

	if (!fuzz_ram.region_count)
		must(!guest_mem_create(&fuzz_ram, &region, 1, &e));
	input = data;
	input_left = size;
	memset(fuzz_ram.region[0].host, 0, RAM_SIZE);
	program(&vq);
	if (virtq_start(&vq, &fuzz_ram, next(1) & 1))
		return 0;
	while (input_left && !vq.broken) {
		uint16_t before = vq.next_avail;
		unsigned taken = 0;

		vq.budget = VIRTQ_SIZE_MAX;
		while (input_left && virtq_pop(&vq, &chain)) {
			check(&chain);
			use(&chain);
			virtq_push(&vq, &chain, (uint32_t)next(4));
			taken++;
		}
		must(taken <= VIRTQ_SIZE_MAX);
		must(vq.next_avail == (uint16_t)(before + taken));
		virtq_wants_interrupt(&vq);
	}
	return 0;
}
