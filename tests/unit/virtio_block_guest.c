/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_block_guest.h"

#include <linux/virtio_blk.h>
#include <string.h>

#include "tests/unit/testing.h"

struct driver d;
struct block_config config;

void disk_create(void)
{
	struct virtio_slot slot = driver_slot(&d);
	struct err e;

	d.dev = block_create(&slot, &config, &e);
	if (!d.dev)
		fail_msg("%s", e.text);
	driver_start(&d, d.dev->offered, DISK_RING);
}

unsigned disk_request(uint32_t type, uint64_t sector, uint32_t len, char *data)
{
	bool in = type == VIRTIO_BLK_T_IN;
	gpa_t header = driver_alloc(&d, 16), at = driver_alloc(&d, len + 1),
	      status = driver_alloc(&d, 1);
	struct virtio_blk_outhdr *h = driver_at(&d, header);
	struct driver_buffer buffers[] = {
		{header, 16, false}, {at, len, in}, {status, 1, true}};

	*h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	if (data && !in)
		memcpy(driver_at(&d, at), data, len);
	driver_add(&d, 0, buffers, 3);
	driver_kick(&d, 0);
	assert_true(driver_wait_used(&d, 0));
	driver_used(&d, 0, NULL, NULL);
	if (data && in)
		memcpy(data, driver_at(&d, at), len);
	return *(uint8_t *)driver_at(&d, status);
}
