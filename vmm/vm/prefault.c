/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/prefault.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/lock.h"
#include "core/thread/thread.h"

enum { QUEUE_MAX = 64 };

struct range {
	const uint8_t *host;
	uint64_t len;
};

struct prefault {
	struct event_loop *loop;
	struct event_source source;
	int fd; /* eventfd, written when a range has been touched */
	prefault_arrived *arrived;
	void *context;
	pthread_t thread;

	struct prefault_lock lock;
	pthread_cond_t changed;
	/* The thread is touching the first. */
	GUARDED_BY(prefault_lock) struct range queue[QUEUE_MAX];
	GUARDED_BY(prefault_lock) unsigned count;
	GUARDED_BY(prefault_lock) bool stopped;
};

/* -------------------------------------------------------------- the thread */

/* Wait for a range in the queue; leaves it there.  False when the thread must
 * end. */
static bool next(struct prefault *p, struct range *out)
{
	bool stopped;

	prefault_lock_take(&p->lock);
	while (!p->count && !p->stopped)
		pthread_cond_wait(&p->changed, &p->lock.mutex);
	stopped = p->stopped;
	*out = p->queue[0];
	prefault_lock_release(&p->lock);
	return !stopped;
}

static bool is_stopped(struct prefault *p)
{
	bool stopped;

	prefault_lock_take(&p->lock);
	stopped = p->stopped;
	prefault_lock_release(&p->lock);
	return stopped;
}

/* Read a byte to fault its page in.  The value is not used, and other threads
 * may write it at the same time. */
static void touch(const uint8_t *at)
{
	(void)__atomic_load_n((const volatile uint8_t *)at, __ATOMIC_RELAXED);
}

static void touch_all(struct prefault *p, const struct range *r)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first = (uintptr_t)r->host & (page - 1);

	if (r->len)
		touch(r->host);
	for (uint64_t at = page - first; at < r->len && !is_stopped(p);
	     at += page)
		touch(r->host + at);
}

static void done(struct prefault *p)
{
	prefault_lock_take(&p->lock);
	p->count--;
	for (unsigned i = 0; i < p->count; i++)
		p->queue[i] = p->queue[i + 1];
	prefault_lock_release(&p->lock);
	(void)eventfd_write(p->fd, 1);
}

static void *prefault_thread(void *arg)
{
	struct prefault *p = arg;
	struct range r;

	thread_set_name("prefault");
	seccomp_enter(SECCOMP_PAGES);
	while (next(p, &r)) {
		touch_all(p, &r);
		done(p);
	}
	return NULL;
}

/* --------------------------------------------------------- the main thread */

static void on_arrived(struct event_source *source, uint32_t events)
{
	struct prefault *p = container_of(source, struct prefault, source);
	eventfd_t n;

	(void)events;
	(void)eventfd_read(p->fd, &n);
	p->arrived(p->context);
}

static void prefault_free(struct prefault *p)
{
	loop_remove(p->loop, &p->source);
	util_close(&p->fd);
	pthread_cond_destroy(&p->changed);
	prefault_lock_fini(&p->lock);
	free(p);
}

struct prefault *prefault_start(struct event_loop *loop,
				prefault_arrived *arrived, void *context,
				struct err *e)
{
	struct prefault *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		err_errno(e, "cannot wait for pages of guest RAM");
		return NULL;
	}
	p->loop = loop;
	p->arrived = arrived;
	p->context = context;
	p->source = (struct event_source){.fd = -1, .ready = on_arrived};
	prefault_lock_init(&p->lock);
	pthread_cond_init(&p->changed, NULL);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = p->fd < 0 ? errno : -loop_add(loop, &p->source, p->fd, EPOLLIN);
	if (!r)
		r = thread_start(&p->thread, prefault_thread, p);
	if (!r)
		return p;
	errno = r;
	err_errno(e, "cannot wait for pages of guest RAM");
	prefault_free(p);
	return NULL;
}

static bool is_queued(const struct prefault *p, const void *host, uint64_t len)
	REQUIRES(prefault_lock)
{
	for (unsigned i = 0; i < p->count; i++) {
		if (p->queue[i].host == host && p->queue[i].len == len)
			return true;
	}
	return false;
}

void prefault_ask(struct prefault *p, const void *host, uint64_t len)
{
	prefault_lock_take(&p->lock);
	if (p->count < QUEUE_MAX && !is_queued(p, host, len))
		p->queue[p->count++] = (struct range){host, len};
	pthread_cond_signal(&p->changed);
	prefault_lock_release(&p->lock);
}

void prefault_destroy(struct prefault *p)
{
	if (!p)
		return;
	prefault_lock_take(&p->lock);
	p->stopped = true;
	pthread_cond_signal(&p->changed);
	prefault_lock_release(&p->lock);
	pthread_join(p->thread, NULL);
	prefault_free(p);
}
