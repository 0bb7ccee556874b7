/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_balloon_guest.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"

enum { PAGE = 4096 };

struct balloon_guest g;

int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);

int __wrap_madvise(void *at, size_t len, int advice)
{
	if (advice != MADV_DONTNEED || (uint8_t *)at < g.d.mem.region[0].host)
		return __real_madvise(at, len, advice);
	if (g.watch)
		g.watch();
	if (g.refuse) {
		errno = ENOMEM;
		return -1;
	}
	g.calls++;
	g.bytes += len;
	return __real_madvise(at, len, advice);
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *new,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new,
			   struct itimerspec *old);

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new,
			   struct itimerspec *old)
{
	struct itimerspec sooner = {
		.it_value.tv_sec = new->it_value.tv_sec / 1000,
		.it_value.tv_nsec = new->it_value.tv_sec % 1000 * 1000000,
	};

	g.armed_s = (unsigned)new->it_value.tv_sec;
	return __real_timerfd_settime(fd, flags, &sooner, old);
}

long __real_sysconf(int name);
long __wrap_sysconf(int name);

long __wrap_sysconf(int name)
{
	if (name == _SC_PAGESIZE && g.host_page)
		return (long)g.host_page;
	return __real_sysconf(name);
}

int balloon_begin(void **state)
{
	(void)state;
	g = (struct balloon_guest){.config = {0}};
	driver_begin(&g.d);
	/* Or residence would be counted in huge pages. */
	guest_mem_expect_little(&g.d.mem, DRIVER_RAM, DRIVER_RAM_SIZE);
	return 0;
}

int balloon_end(void **state)
{
	(void)state;
	driver_end(&g.d);
	return 0;
}

void balloon_new(void)
{
	struct virtio_slot slot = driver_slot(&g.d);
	struct err e;

	g.d.dev = balloon_create(&slot, &g.config, &e);
	if (!g.d.dev)
		fail_msg("%s", e.text);
}

void balloon_up_with(uint64_t features)
{
	if (!g.d.dev)
		balloon_new();
	driver_start(&g.d, features, BALLOON_RING);
}

void balloon_up(void)
{
	if (!g.d.dev)
		balloon_new();
	balloon_up_with(g.d.dev->offered);
}

gpa_t balloon_filled(uint64_t len)
{
	gpa_t gpa = align_up(driver_alloc(&g.d, len + 2 * 65536), 65536);

	memset(driver_at(&g.d, gpa), 0x55, len);
	return gpa;
}

unsigned balloon_resident(gpa_t gpa, uint64_t len)
{
	uint64_t page = (uint64_t)__real_sysconf(_SC_PAGESIZE);
	AUTO_FREE unsigned char *vec = malloc(len / page);
	unsigned count = 0;

	assert_int_equal(mincore(driver_at(&g.d, gpa), len, vec), 0);
	for (uint64_t i = 0; i < len / page; i++)
		count += (vec[i] & 1) * (unsigned)(page / PAGE);
	return count;
}

void balloon_check_bytes(gpa_t gpa, uint64_t len, uint8_t byte)
{
	const uint8_t *p = driver_at(&g.d, gpa);

	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(p[i], byte);
}

void balloon_send(unsigned queue, const void *data, uint32_t len)
{
	struct driver_buffer buffer = {driver_alloc(&g.d, len + 1), len, false};

	memcpy(driver_at(&g.d, buffer.gpa), data, len);
	driver_add(&g.d, queue, &buffer, 1);
	driver_kick(&g.d, queue);
	driver_run(&g.d);
}

static void check_answer(unsigned queue)
{
	uint32_t len = 1;

	assert_true(driver_used(&g.d, queue, NULL, &len));
	assert_int_equal(len, 0);
}

void balloon_pages(unsigned queue, const uint32_t *pfn, unsigned count)
{
	balloon_send(queue, pfn, count * (uint32_t)sizeof(*pfn));
	check_answer(queue);
}

void balloon_range(unsigned queue, gpa_t gpa, unsigned count, int step)
{
	AUTO_FREE uint32_t *pfn = calloc(count, sizeof(*pfn));

	for (unsigned i = 0; i < count; i++)
		pfn[i] = (uint32_t)(gpa / PAGE) + i * (uint32_t)step;
	balloon_pages(queue, pfn, count);
}

void balloon_free_pages(unsigned queue, const struct driver_buffer *buffers,
			unsigned count)
{
	driver_add(&g.d, queue, buffers, count);
	driver_kick(&g.d, queue);
	driver_run(&g.d);
	check_answer(queue);
}

/* ---------------------------------------------------------------- snapshots */

static int restore(void (*change)(uint8_t *data, size_t len), struct err *e)
{
	AUTO_FREE uint8_t *copy = NULL;
	struct snap saved, loaded;
	const void *data;
	size_t len;
	int r;

	virtio_quiesce(g.d.dev, UINT64_MAX);
	snap_save(&saved, 1);
	virtio_state(g.d.dev, &saved);
	assert_ok(snap_finish(&saved, e), *e);
	data = snap_data(&saved, &len);
	copy = malloc(len);
	memcpy(copy, data, len);
	snap_fini(&saved);
	if (change)
		change(copy, len);
	virtio_destroy(g.d.dev);
	balloon_new();
	virtio_quiesce(g.d.dev, UINT64_MAX);
	snap_load(&loaded, copy, len, 1);
	virtio_state(g.d.dev, &loaded);
	r = snap_finish(&loaded, e);
	snap_fini(&loaded);
	return r;
}

void balloon_restore(void (*change)(uint8_t *data, size_t len))
{
	struct err e;

	assert_ok(restore(change, &e), e);
	virtio_resume(g.d.dev);
	driver_run(&g.d);
}

void balloon_restore_fails(void (*change)(uint8_t *data, size_t len),
			   const char *words)
{
	struct err e;

	assert_err(restore(change, &e), e, words);
}
