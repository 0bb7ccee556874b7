/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/loop.h"

#include <errno.h>

#include "core/base/err.h"
#include "core/base/util.h"

int loop_init(struct event_loop *loop, struct err *e)
{
	*loop = (struct event_loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	if (loop->epoll_fd < 0)
		return err_errno(e, "cannot create an epoll instance");
	return 0;
}

void loop_fini(struct event_loop *loop)
{
	util_close(&loop->epoll_fd);
}

static int control(struct event_loop *loop, int op, struct event_source *source,
		   uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event) ? -errno : 0;
}

int loop_add(struct event_loop *loop, struct event_source *source, int fd,
	     uint32_t events)
{
	int r;

	source->fd = fd;
	r = control(loop, EPOLL_CTL_ADD, source, events);
	if (r)
		source->fd = -1;
	return r;
}

int loop_modify(struct event_loop *loop, struct event_source *source,
		uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

void loop_remove(struct event_loop *loop, struct event_source *source)
{
	if (source->fd < 0)
		return;
	control(loop, EPOLL_CTL_DEL, source, 0);
	source->fd = -1;
	/* Its owner may be freed before the rest of the batch is dispatched. */
	for (int i = 0; i < loop->batch_count; i++) {
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
	}
}

void loop_close(struct event_loop *loop, struct event_source *source)
{
	int fd = source->fd;

	loop_remove(loop, source);
	util_close(&fd);
}

static void dispatch(struct event_loop *loop)
{
	for (int i = 0; i < loop->batch_count && !loop->stopped; i++) {
		struct event_source *source = loop->batch[i].data.ptr;

		if (source)
			source->ready(source, loop->batch[i].events);
	}
	loop->batch_count = 0;
}

int loop_run(struct event_loop *loop, struct err *e)
{
	while (!loop->stopped) {
		int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, -1);

		if (n < 0 && errno != EINTR)
			return err_errno(e, "waiting for events failed");
		loop->batch_count = n < 0 ? 0 : n;
		dispatch(loop);
	}
	return 0;
}

void loop_stop(struct event_loop *loop)
{
	loop->stopped = true;
}
