/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/uring_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/util.h"

struct uring_fake uring_fake;

/* What a kernel would share with the ring's owner. */
struct shared {
	unsigned sq_head, sq_flags, cq_head, cq_tail, cq_flags;
	int event_fd;
	struct io_uring_sqe sqes[URING_FAKE_MAX];
	struct io_uring_cqe cqes[2 * URING_FAKE_MAX];
};

static struct waiting {
	struct io_uring *ring;
	struct io_uring_sqe sqe;
} waiting[URING_FAKE_MAX];

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring,
			       unsigned flags);
void __wrap_io_uring_queue_exit(struct io_uring *ring);
int __wrap_io_uring_register_eventfd(struct io_uring *ring, int fd);
int __wrap_io_uring_register_restrictions(struct io_uring *ring,
					  struct io_uring_restriction *allowed,
					  unsigned count);
int __wrap_io_uring_enable_rings(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe,
			      unsigned submit, unsigned wait, sigset_t *mask);

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "uring_fake: %s\n", what);
	abort();
}

void uring_fake_reset(void)
{
	uring_fake = (struct uring_fake){0};
}

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring,
			       unsigned flags)
{
	struct shared *s;

	if (uring_fake.refuse_init)
		return -uring_fake.refuse_init;
	check(!(flags & ~IORING_SETUP_R_DISABLED) && entries &&
		      !(entries & (entries - 1)) && entries <= URING_FAKE_MAX,
	      "not a ring that is faked");
	s = calloc(1, sizeof(*s));
	check(s, "no memory");
	s->event_fd = -1;
	*ring = (struct io_uring){.ring_fd = -1, .enter_ring_fd = -1};
	ring->sq.khead = &s->sq_head;
	ring->sq.kflags = &s->sq_flags;
	ring->sq.sqes = s->sqes;
	ring->sq.ring_entries = entries;
	ring->sq.ring_mask = entries - 1;
	ring->sq.ring_ptr = s;
	ring->cq.khead = &s->cq_head;
	ring->cq.ktail = &s->cq_tail;
	ring->cq.kflags = &s->cq_flags;
	ring->cq.cqes = s->cqes;
	ring->cq.ring_entries = 2 * entries;
	ring->cq.ring_mask = 2 * entries - 1;
	return 0;
}

static void forget(unsigned i)
{
	uring_fake.waiting--;
	memmove(&waiting[i], &waiting[i + 1],
		(uring_fake.waiting - i) * sizeof(waiting[0]));
}

void __wrap_io_uring_queue_exit(struct io_uring *ring)
{
	for (unsigned i = uring_fake.waiting; i--;) {
		if (waiting[i].ring == ring)
			forget(i);
	}
	free(ring->sq.ring_ptr);
}

int __wrap_io_uring_register_restrictions(struct io_uring *ring,
					  struct io_uring_restriction *allowed,
					  unsigned count)
{
	(void)ring;
	(void)allowed;
	(void)count;
	return 0;
}

int __wrap_io_uring_enable_rings(struct io_uring *ring)
{
	(void)ring;
	return 0;
}

int __wrap_io_uring_register_eventfd(struct io_uring *ring, int fd)
{
	((struct shared *)ring->sq.ring_ptr)->event_fd = fd;
	return 0;
}

/* The iovecs of a step, cut to so many bytes. */
static int cut(struct iovec *iov, const struct io_uring_sqe *sqe, size_t max)
{
	unsigned n = 0;

	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the ring's, too */
	memcpy(iov, (const void *)(uintptr_t)sqe->addr,
	       sqe->len * sizeof(*iov));
	while (n < sqe->len && max) {
		iov[n].iov_len = min_u64(iov[n].iov_len, max);
		max -= iov[n++].iov_len;
	}
	return (int)n;
}

static int result_of(ssize_t n)
{
	return n < 0 ? -errno : (int)n;
}

static int execute(const struct io_uring_sqe *sqe, size_t max)
{
	struct iovec iov[1024];
	off_t at = (off_t)sqe->off;

	switch (sqe->opcode) {
	case IORING_OP_READV:
		return result_of(preadv(sqe->fd, iov, cut(iov, sqe, max), at));
	case IORING_OP_WRITEV:
		return result_of(pwritev2(sqe->fd, iov, cut(iov, sqe, max), at,
					  (int)sqe->rw_flags));
	case IORING_OP_FALLOCATE:
		return result_of(fallocate(sqe->fd, (int)sqe->len, at,
					   (off_t)sqe->addr));
	case IORING_OP_FSYNC:
		return result_of(fdatasync(sqe->fd));
	default:
		check(false, "an operation that is not faked");
		return 0;
	}
}

void uring_fake_complete(unsigned i, int result, bool shortened)
{
	struct waiting w;
	struct shared *s;

	check(i < uring_fake.waiting, "there is no such step");
	w = waiting[i];
	s = w.ring->sq.ring_ptr;
	forget(i);
	if (result == URING_FAKE_DO)
		result = execute(&w.sqe, shortened ? 512 : SIZE_MAX);
	check(s->cq_tail - s->cq_head < w.ring->cq.ring_entries,
	      "more completions than fit");
	s->cqes[s->cq_tail & w.ring->cq.ring_mask] = (struct io_uring_cqe){
		.user_data = w.sqe.user_data, .res = result};
	s->cq_tail++;
	if (s->event_fd >= 0 && !(s->cq_flags & IORING_CQ_EVENTFD_DISABLED))
		check(!eventfd_write(s->event_fd, 1), "no eventfd");
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	struct shared *s = ring->sq.ring_ptr;
	int n = 0;

	if (uring_fake.refuse_submit)
		return -uring_fake.refuse_submit;
	for (; ring->sq.sqe_head != ring->sq.sqe_tail; n++) {
		check(uring_fake.waiting < URING_FAKE_MAX, "too many steps");
		waiting[uring_fake.waiting++] = (struct waiting){
			ring,
			s->sqes[ring->sq.sqe_head++ & ring->sq.ring_mask]};
		s->sq_head = ring->sq.sqe_head;
		if (!uring_fake.hold)
			uring_fake_complete(uring_fake.waiting - 1,
					    URING_FAKE_DO, false);
	}
	return n;
}

/* Called when there is no completion. */
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe,
			      unsigned submit, unsigned wait, sigset_t *mask)
{
	(void)ring;
	(void)submit;
	(void)mask;
	check(!wait, "a wait for ever");
	*cqe = NULL;
	return -EAGAIN;
}
