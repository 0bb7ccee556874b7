/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that somebody made up, read by a state function that the first
 * bytes of the input describe; the rest is what it reads.  What was read
 * without complaint is written again, and must be the same bytes.
 */
#include <string.h>

#include "snapshot/codec.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS = 16 };

static void step(struct snap *s, uint8_t kind, void *value)
{
	static const uint32_t tag = SNAP_TAG('f', 'u', 'z', 'z');

	switch (kind % 8) {
	case 0:
		snap_begin(s, tag);
		break;
	case 1:
		snap_end(s);
		break;
	case 2:
		snap_u16(s, value);
		break;
	case 3:
		snap_u64(s, value);
		break;
	case 4:
		snap_bool(s, value);
		break;
	case 5:
		snap_count(s, value, kind);
		must(*(uint32_t *)value <= kind);
		break;
	case 6:
		snap_string(s, value, 16);
		must(strlen(value) < 16);
		break;
	default:
		snap_bytes(s, value, kind % 33);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Alignas(8) uint8_t value[STEPS][32] = {0};
	struct snap in, out;
	const void *again;
	struct err e;
	size_t len;

	if (size < STEPS)
		return 0;
	snap_load(&in, data + STEPS, size - STEPS, 1);
	for (unsigned i = 0; i < STEPS; i++)
		step(&in, data[i], value[i]);
	if (snap_finish(&in, &e)) {
		must(e.text[0]);
		return 0;
	}
	snap_save(&out, 1);
	for (unsigned i = 0; i < STEPS; i++)
		step(&out, data[i], value[i]);
	must(!snap_finish(&out, &e));
	again = snap_data(&out, &len);
	must(len == size - STEPS &&
	     (!len || !memcmp(again, data + STEPS, len)));
	snap_fini(&out);
	snap_fini(&in);
	return 0;
}
