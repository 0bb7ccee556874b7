/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/boot_timer.h"

#include <stdatomic.h>

#include "core/io/log.h"
#include "snapshot/codec.h"

enum { BOOT_TIMER_DONE = 123 };

static int64_t microseconds_since(clockid_t clock, const struct timespec *then)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (now.tv_sec - then->tv_sec) * 1000000 +
	       (now.tv_nsec - then->tv_nsec) / 1000;
}

void boot_timer_init(struct boot_timer *timer)
{
	timer->done = false;
	clock_gettime(CLOCK_MONOTONIC, &timer->wall);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &timer->cpu);
}

static uint64_t boot_timer_read(void *device, uint64_t offset, unsigned len)
{
	(void)device;
	(void)offset;
	(void)len;
	return 0;
}

static void boot_timer_write(void *device, uint64_t offset, unsigned len,
			     uint64_t value)
{
	static struct log_limit limit;
	struct boot_timer *timer = device;
	long wall, cpu;

	if (offset || len != 1 || value != BOOT_TIMER_DONE) {
		log_guest(&limit, "odd write to the boot timer");
		return;
	}
	if (atomic_exchange(&timer->done, true))
		return;
	wall = microseconds_since(CLOCK_MONOTONIC, &timer->wall);
	cpu = microseconds_since(CLOCK_PROCESS_CPUTIME_ID, &timer->cpu);
	log_info("Guest-boot-time = %6ld us %ld ms, %6ld CPU us %ld CPU ms",
		 wall, wall / 1000, cpu, cpu / 1000);
}

const struct mmio_ops boot_timer_mmio_ops = {
	.read = boot_timer_read,
	.write = boot_timer_write,
};

void boot_timer_state(struct boot_timer *timer, struct snap *s)
{
	bool done = atomic_load(&timer->done);

	snap_begin(s, SNAP_TAG('b', 'o', 'o', 't'));
	snap_bool(s, &done);
	snap_end(s);
	atomic_store(&timer->done, done);
}
