/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests through io_uring.  The device owns the table of requests; each is
 * either in flight or in the stack of free ones.
 *
 * All functions: under the device's lock; completions are taken on the main
 * thread, or on a vCPU thread that waits for a reset.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "devices/virtio/block/block_internal.h"

/* Bytes that may be submitted in one go. */
enum { PREPARED_MAX = 16 << 20 };

struct block_async {
	struct io_uring ring;
	bool has_ring;
	int event_fd; /* signalled by the kernel: completions */
	struct virtio_source source;
	/*
	 * A large table, but its untouched pages use no memory: the stack of
	 * free requests is separate and hands out the same few first.
	 */
	struct block_request *requests;
	uint64_t prepared; /* bytes prepared since the last submission */
	unsigned free_count;
	bool none_free; /* the ring has requests that wait for one */
	uint8_t free[BLOCK_INFLIGHT_MAX];
};

struct block_request *block_async_get(struct block_async *a)
{
	a->none_free = !a->free_count;
	if (a->none_free)
		return NULL;
	return &a->requests[a->free[--a->free_count]];
}

void block_async_put(struct block_async *a, struct block_request *r)
{
	a->free[a->free_count++] = (uint8_t)(r - a->requests);
}

static void prepare(struct block *b, struct block_request *r)
	REQUIRES(device_lock)
{
	/* Cannot fail: there is an entry for each request in the table. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->async->ring);
	const struct block_step *s = &r->step;

	switch (s->op) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, b->file.fd, r->iov, r->iov_count,
				    s->at);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev2(sqe, b->file.fd, r->iov, r->iov_count,
				      s->at, block_write_flags(b));
		break;
	case BLOCK_ALLOCATE:
		io_uring_prep_fallocate(sqe, b->file.fd, s->mode, s->at,
					s->len);
		break;
	case BLOCK_DATASYNC:
		io_uring_prep_fsync(sqe, b->file.fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
	b->async->prepared += s->len;
}

static void finish(struct block *b, struct block_request *r, unsigned status)
	REQUIRES(device_lock)
{
	block_finish(b, r, status);
	block_async_put(b->async, r);
	b->dev.inflight--;
}

/*
 * Try the page cache first (RWF_NOWAIT): that call is cheaper than io_uring's.
 * Leave the rest, errors included, to io_uring.
 */
static unsigned read_cached(struct block *b, struct block_request *r)
{
	ssize_t n = preadv2(b->file.fd, r->iov, (int)r->iov_count,
			    (off_t)r->step.at, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP)
		b->file.always_waits = true;
	return n > 0 ? block_step_done(b, r, n) : BLOCK_MORE;
}

void block_async_queue(struct block *b, struct block_request *r)
{
	unsigned status = BLOCK_MORE;

	b->dev.inflight++;
	block_step_next(b, r);
	if (r->step.op == BLOCK_READ && !b->file.always_waits) {
		status = read_cached(b, r);
		if (status == BLOCK_MORE)
			block_step_next(b, r);
	}
	if (status == BLOCK_MORE)
		prepare(b, r);
	else
		finish(b, r, status);
}

static void complete(struct block *b, struct block_request *r, int result)
	REQUIRES(device_lock)
{
	unsigned status =
		result == -EAGAIN ? BLOCK_MORE : block_step_done(b, r, result);

	if (status == BLOCK_MORE) {
		block_step_next(b, r);
		prepare(b, r);
	} else {
		finish(b, r, status);
	}
}

/*
 * Finish requests that are done, or prepare their next step.  Stops once
 * PREPARED_MAX bytes wait for submission.
 */
static void reap(struct block *b) REQUIRES(device_lock)
{
	struct block_async *a = b->async;
	struct io_uring *ring = &a->ring;
	struct io_uring_cqe *cqe;

	while (a->prepared < PREPARED_MAX && !io_uring_peek_cqe(ring, &cqe)) {
		struct block_request *r = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(ring, cqe);
		complete(b, r, result);
	}
}

/* Submit the prepared steps.  The kernel may execute them within this call. */
static void push(struct block *b)
{
	struct block_async *a = b->async;
	bool again = a->prepared >= PREPARED_MAX; /* reap() stopped early */

	a->prepared = 0;
	if (io_uring_sq_ready(&a->ring) && io_uring_submit(&a->ring) < 0)
		again = true;
	if (again)
		(void)!eventfd_write(a->event_fd, 1);
}

void block_async_submit(struct block *b)
{
	struct io_uring *ring = &b->async->ring;

	if (!io_uring_sq_ready(ring))
		return;
	/* No eventfd signal for steps that the kernel completes at once. */
	io_uring_cq_eventfd_toggle(ring, false);
	push(b);
	reap(b);
	io_uring_cq_eventfd_toggle(ring, true);
	/* Completions in between were not signalled. */
	reap(b);
	push(b);
	/* Nor will those be that are reaped: none may be left to run the queue
	 * for requests that found none free. */
	if (b->async->none_free && b->async->free_count)
		b->dev.queue[0].starved = true;
}

/*
 * Wait for a completion, at most 1 s.  Returns false if the deadline has
 * passed.
 */
static bool wait_for_event(struct block_async *a, uint64_t deadline_ns)
{
	struct pollfd event = {.fd = a->event_fd, .events = POLLIN};
	uint64_t now = deadline_ns ? clock_now_ns(CLOCK_MONOTONIC) : 0;
	uint64_t ms = (deadline_ns - now) / 1000000;

	if (now >= deadline_ns)
		return false;
	poll(&event, 1, 1 + (int)min_u64(ms, 1000));
	return true;
}

bool block_async_drain(struct block *b, uint64_t deadline_ns)
{
	struct block_async *a = b->async;
	eventfd_t count;

	do {
		/* Clear the event first, so that no later signal is missed. */
		(void)eventfd_read(a->event_fd, &count);
		reap(b);
		push(b);
	} while (b->dev.inflight && wait_for_event(a, deadline_ns));
	return !b->dev.inflight;
}

static void event_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct block *b = block_of(dev);

	/* EPOLLET: it need not be read. */
	reap(b);
	push(b);
	/* Requests may wait in the ring because none in the table was free. */
	virtio_run_queue(dev, 0);
}

/*
 * seccomp does not see what a ring is asked to do, and it may be asked for
 * nearly every system call: leave only what prepare() asks for.
 */
static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t used[] = {IORING_OP_READV, IORING_OP_WRITEV,
				       IORING_OP_FALLOCATE, IORING_OP_FSYNC};
	struct io_uring_restriction allowed[ARRAY_SIZE(used)] = {0};
	int r;

	for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
		allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
		allowed[i].sqe_op = used[i];
	}
	r = io_uring_register_restrictions(ring, allowed, ARRAY_SIZE(used));
	return r ? r : io_uring_enable_rings(ring);
}

static int set_up(struct block *b, struct block_async *a)
{
	int r = io_uring_queue_init(BLOCK_INFLIGHT_MAX, &a->ring,
				    IORING_SETUP_R_DISABLED);

	if (r)
		return r;
	a->has_ring = true;
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->event_fd < 0)
		return -errno;
	r = io_uring_register_eventfd(&a->ring, a->event_fd);
	if (!r)
		r = restrict_ring(&a->ring);
	if (r)
		return r;
	return virtio_watch(&b->dev, &a->source, a->event_fd, EPOLLIN | EPOLLET,
			    event_ready);
}

int block_async_create(struct block *b)
{
	struct block_async *a = calloc(1, sizeof(*a));
	int r = -ENOMEM;

	if (!a)
		return r;
	b->async = a;
	a->event_fd = -1;
	a->requests = calloc(BLOCK_INFLIGHT_MAX, sizeof(*a->requests));
	if (a->requests)
		r = set_up(b, a);
	if (r) {
		block_async_destroy(b);
		return r;
	}
	for (unsigned i = BLOCK_INFLIGHT_MAX; i; i--) /* first on top */
		block_async_put(a, &a->requests[i - 1]);
	return 0;
}

void block_async_destroy(struct block *b)
{
	struct block_async *a = b->async;

	if (!a)
		return;
	virtio_unwatch(&b->dev, &a->source);
	if (a->has_ring)
		io_uring_queue_exit(&a->ring);
	util_close(&a->event_fd);
	free(a->requests);
	free(a);
	b->async = NULL;
}
