/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests through io_uring.  The table of requests belongs to the device; a
 * request is in flight, or in the list of free ones.  All of it under the
 * device's lock, which also makes it right that a reset on a vCPU thread waits
 * for completions: nobody else takes any meanwhile.
 */
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio/block_internal.h"
#include "vmm/base/util.h"

struct block_async {
	struct io_uring ring;
	bool has_ring;
	int event_fd; /* the kernel's: something is done */
	struct virtio_source source;
	/*
	 * Large, but memory only as far as it is used: free ones are kept
	 * beside it, as a stack.
	 */
	struct block_request *requests;
	unsigned free_count;
	uint8_t free[BLOCK_INFLIGHT_MAX];
};

static struct block *block_of(struct virtio_device *dev)
{
	return container_of(dev, struct block, dev);
}

struct block_request *block_async_get(struct block_async *a)
{
	if (!a->free_count)
		return NULL;
	return &a->requests[a->free[--a->free_count]];
}

void block_async_put(struct block_async *a, struct block_request *r)
{
	a->free[a->free_count++] = (uint8_t)(r - a->requests);
}

static void prepare(struct block *b, struct block_request *r)
{
	/* There is an entry for each request that can be in flight. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->async->ring);

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		block_request_rest(r);
		io_uring_prep_readv(sqe, b->file.fd, r->iov, r->iov_count,
				    r->offset + r->done);
		break;
	case VIRTIO_BLK_T_OUT:
		block_request_rest(r);
		io_uring_prep_writev2(sqe, b->file.fd, r->iov, r->iov_count,
				      r->offset + r->done,
				      block_write_flags(b));
		break;
	default:
		io_uring_prep_fsync(sqe, b->file.fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
}

static void finish(struct block *b, struct block_request *r, unsigned status)
{
	block_finish(b, r, status);
	block_async_put(b->async, r);
	b->dev.inflight--;
}

/*
 * What is in the page cache is had at once, by the cheaper call.  Whatever is
 * not, for whatever reason, is the ring's to read, or to fail at.
 */
static bool read_cached(struct block *b, struct block_request *r)
{
	ssize_t n;

	block_request_rest(r);
	n = preadv2(b->file.fd, r->iov, (int)r->iov_count, (off_t)r->offset,
		    RWF_NOWAIT);
	if (n > 0)
		r->done = (uint64_t)n;
	else if (n < 0 && errno == EOPNOTSUPP)
		b->file.always_waits = true;
	return r->done == r->len;
}

void block_async_queue(struct block *b, struct block_request *r)
{
	b->dev.inflight++;
	if (r->type == VIRTIO_BLK_T_IN && !b->file.always_waits &&
	    read_cached(b, r))
		finish(b, r, VIRTIO_BLK_S_OK);
	else
		prepare(b, r);
}

static void complete(struct block *b, struct block_request *r, int result)
{
	if (result == -EINTR || result == -EAGAIN) {
		prepare(b, r);
	} else if (result < 0) {
		finish(b, r, block_failed(b, -result));
	} else if (r->type == VIRTIO_BLK_T_FLUSH) {
		finish(b, r, VIRTIO_BLK_S_OK);
	} else if (!result && r->len) {
		/* The file became shorter. */
		finish(b, r, block_failed(b, ENODATA));
	} else {
		r->done += (uint64_t)result;
		if (r->done < r->len)
			prepare(b, r);
		else
			finish(b, r, VIRTIO_BLK_S_OK);
	}
}

static void reap(struct block *b)
{
	struct io_uring *ring = &b->async->ring;
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(ring, &cqe)) {
		struct block_request *r = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(ring, cqe);
		complete(b, r, result);
	}
}

/* Completions may have put what was cut short into the queue again. */
static void push(struct block *b)
{
	struct block_async *a = b->async;

	if (io_uring_sq_ready(&a->ring) && io_uring_submit(&a->ring) < 0)
		(void)!eventfd_write(a->event_fd, 1); /* try again */
}

void block_async_submit(struct block *b)
{
	struct io_uring *ring = &b->async->ring;

	if (!io_uring_sq_ready(ring))
		return;
	/* Much is done at once: no event for that. */
	io_uring_cq_eventfd_toggle(ring, false);
	push(b);
	reap(b);
	io_uring_cq_eventfd_toggle(ring, true);
	/* What was done in between got none. */
	reap(b);
	push(b);
}

void block_async_drain(struct block *b)
{
	while (b->dev.inflight) {
		io_uring_submit_and_wait(&b->async->ring, 1);
		reap(b);
	}
}

static void event_ready(struct virtio_device *dev)
{
	struct block *b = block_of(dev);

	/* Watched for edges: it need not be read. */
	reap(b);
	push(b);
	/* There may have been no request free for what waits. */
	virtio_run_queue(dev, 0);
}

static int set_up(struct block *b, struct block_async *a)
{
	int r = io_uring_queue_init(BLOCK_INFLIGHT_MAX, &a->ring, 0);

	if (r)
		return r;
	a->has_ring = true;
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->event_fd < 0)
		return -errno;
	r = io_uring_register_eventfd(&a->ring, a->event_fd);
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
	for (unsigned i = BLOCK_INFLIGHT_MAX; i; i--) /* the first on top */
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
