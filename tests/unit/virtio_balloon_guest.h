/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a balloon, for the tests of it.  Programs with this wrap
 * madvise(), timerfd_settime() and sysconf().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/balloon/balloon.h"
#include "tests/unit/virtio_driver.h"

enum { BALLOON_RING = 256 };

/* As Linux numbers the queues; see below for those that move. */
enum { INFLATE, DEFLATE };

struct balloon_guest {
	struct driver d;
	struct balloon_config config;
	uint64_t host_page; /* what sysconf() says; 0: the truth */

	/* Of madvise(). */
	unsigned calls;
	uint64_t bytes;
	bool refuse;
	void (*watch)(void); /* called before each */

	/* Of timerfd_settime(), whose seconds are milliseconds here. */
	unsigned armed_s; /* 0: disarmed */
};

extern struct balloon_guest g;

/* For setup and teardown. */
int balloon_begin(void **state);
int balloon_end(void **state);

/* The device of g.config; with a driver that takes all it offers. */
void balloon_new(void);
void balloon_up(void);
/* With these features only. */
void balloon_up_with(uint64_t features);

/* RAM beyond what tests allocate, all of it written to; whole 64 KiB. */
gpa_t balloon_filled(uint64_t len);
/* Pages of 4 KiB there that take the host's memory. */
unsigned balloon_resident(gpa_t gpa, uint64_t len);
/* All bytes there are @byte. */
void balloon_check_bytes(gpa_t gpa, uint64_t len, uint8_t byte);

/* Send a request of one buffer, without looking for an answer. */
void balloon_send(unsigned queue, const void *data, uint32_t len);
/* Pages by number; the answer came. */
void balloon_pages(unsigned queue, const uint32_t *pfn, unsigned count);
/* @count pages from @gpa on, each @step pages (of 4 KiB) after the last. */
void balloon_range(unsigned queue, gpa_t gpa, unsigned count, int step);
/* One request of writable buffers; the answer came. */
void balloon_free_pages(unsigned queue, const struct driver_buffer *buffers,
			unsigned count);

/* Through a snapshot into a new device; its bytes may be changed. */
void balloon_restore(void (*change)(uint8_t *data, size_t len));
/* The same, and it is refused with these words. */
void balloon_restore_fails(void (*change)(uint8_t *data, size_t len),
			   const char *words);
