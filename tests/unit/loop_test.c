/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: core/io/loop.c. */
#include <errno.h>
#include <sys/eventfd.h>

#include "core/base/util.h"
#include "core/io/loop.h"
#include "tests/unit/testing.h"

enum { SOURCES = 3 };

static struct event_loop loop;
static struct probe {
	struct event_source source;
	int fd;
	unsigned calls;
	uint32_t events;
	void (*then)(struct probe *probe);
} probe[SOURCES];

static void on_ready(struct event_source *source, uint32_t events)
{
	struct probe *p = container_of(source, struct probe, source);

	p->calls++;
	p->events = events;
	if (p->then)
		p->then(p);
}

static int open_all(void **state)
{
	struct err e;

	(void)state;
	for (unsigned i = 0; i < SOURCES; i++)
		probe[i] = (struct probe){
			.source = {.fd = -1, .ready = on_ready},
			.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
	return loop_init(&loop, &e);
}

static int close_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SOURCES; i++)
		close(probe[i].fd);
	loop_fini(&loop);
	return 0;
}

static void add(unsigned i)
{
	assert_int_equal(
		loop_add(&loop, &probe[i].source, probe[i].fd, EPOLLIN), 0);
}

static void stop(struct probe *p)
{
	(void)p;
	loop_stop(&loop);
}

static void drain_and_stop(struct probe *p)
{
	testing_take_event(p->fd);
	loop_stop(&loop);
}

static void run(void)
{
	struct err e;

	assert_ok(loop_run(&loop, &e), e);
}

static void ready_source_is_called(void **state)
{
	(void)state;
	add(0);
	probe[0].then = drain_and_stop;
	eventfd_write(probe[0].fd, 1);
	run();
	assert_int_equal(probe[0].calls, 1);
	assert_int_equal(probe[0].events, EPOLLIN);
}

static void idle_source_is_not_called(void **state)
{
	(void)state;
	add(0);
	add(1);
	probe[1].then = stop;
	eventfd_write(probe[1].fd, 1);
	run();
	assert_int_equal(probe[0].calls, 0);
}

static void remove_other(struct probe *p)
{
	loop_remove(&loop, &probe[p == &probe[0]].source);
	p->then = stop; /* still ready: called again */
}

/* Both are ready in one batch; the first called removes the other. */
static void source_removed_in_a_batch_is_not_called(void **state)
{
	(void)state;
	add(0);
	add(1);
	probe[0].then = probe[1].then = remove_other;
	eventfd_write(probe[0].fd, 1);
	eventfd_write(probe[1].fd, 1);
	run();
	assert_true(!probe[0].calls || !probe[1].calls);
	assert_int_equal(probe[0].calls + probe[1].calls, 2);
}

static void remove_self(struct probe *p)
{
	loop_remove(&loop, &p->source);
	eventfd_write(probe[1].fd, 1);
}

static void source_may_remove_itself(void **state)
{
	(void)state;
	add(0);
	add(1);
	probe[0].then = remove_self;
	probe[1].then = stop;
	eventfd_write(probe[0].fd, 1);
	run();
	assert_int_equal(probe[0].calls, 1);
	assert_int_equal(probe[0].source.fd, -1);
}

static void add_other(struct probe *p)
{
	loop_remove(&loop, &p->source);
	add(1);
}

static void source_may_add_another(void **state)
{
	(void)state;
	add(0);
	probe[0].then = add_other;
	probe[1].then = stop;
	eventfd_write(probe[0].fd, 1);
	eventfd_write(probe[1].fd, 1);
	run();
	assert_int_equal(probe[1].calls, 1);
}

static void removed_source_can_come_back(void **state)
{
	(void)state;
	add(0);
	loop_remove(&loop, &probe[0].source);
	add(0);
	probe[0].then = stop;
	eventfd_write(probe[0].fd, 1);
	run();
	assert_int_equal(probe[0].calls, 1);
}

static void remove_twice_is_fine(void **state)
{
	(void)state;
	add(0);
	loop_remove(&loop, &probe[0].source);
	loop_remove(&loop, &probe[0].source);
	assert_int_equal(probe[0].source.fd, -1);
}

static void file_is_not_watchable(void **state)
{
	AUTO_CLOSE int fd = testing_file("x", 1);

	(void)state;
	assert_int_equal(loop_add(&loop, &probe[0].source, fd, EPOLLIN),
			 -EPERM);
	assert_int_equal(probe[0].source.fd, -1);
}

static void closed_descriptor_is_refused(void **state)
{
	(void)state;
	assert_int_equal(loop_add(&loop, &probe[0].source, -1, EPOLLIN),
			 -EBADF);
}

static void same_descriptor_twice_is_refused(void **state)
{
	(void)state;
	add(0);
	assert_int_equal(
		loop_add(&loop, &probe[1].source, probe[0].fd, EPOLLIN),
		-EEXIST);
	assert_int_equal(probe[1].source.fd, -1);
}

static void modify_changes_what_is_watched(void **state)
{
	(void)state;
	add(0);
	assert_int_equal(loop_modify(&loop, &probe[0].source, EPOLLOUT), 0);
	probe[0].then = stop;
	run();
	assert_int_equal(probe[0].events, EPOLLOUT);
}

/* Whoever stops the loop is the last one called. */
static void stop_holds_in_a_batch(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SOURCES; i++) {
		add(i);
		probe[i].then = stop;
		eventfd_write(probe[i].fd, 1);
	}
	run();
	assert_int_equal(probe[0].calls + probe[1].calls + probe[2].calls, 1);
}

static void stopped_loop_returns_at_once(void **state)
{
	(void)state;
	loop_stop(&loop);
	run();
}

static void run_without_epoll_fails(void **state)
{
	struct event_loop none = {.epoll_fd = -1};
	struct err e;

	(void)state;
	assert_err(loop_run(&none, &e), e, "waiting for events failed");
}

static void init_and_fini_leave_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();
	struct event_loop l;
	struct err e;

	(void)state;
	assert_ok(loop_init(&l, &e), e);
	loop_fini(&l);
	loop_fini(&l);
	assert_int_equal(testing_count_fds(), before);
}

#define WITH_LOOP(test) \
	cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LOOP(ready_source_is_called),
		WITH_LOOP(idle_source_is_not_called),
		WITH_LOOP(source_removed_in_a_batch_is_not_called),
		WITH_LOOP(source_may_remove_itself),
		WITH_LOOP(source_may_add_another),
		WITH_LOOP(removed_source_can_come_back),
		WITH_LOOP(remove_twice_is_fine),
		WITH_LOOP(file_is_not_watchable),
		WITH_LOOP(closed_descriptor_is_refused),
		WITH_LOOP(same_descriptor_twice_is_refused),
		WITH_LOOP(modify_changes_what_is_watched),
		WITH_LOOP(stop_holds_in_a_batch),
		WITH_LOOP(stopped_loop_returns_at_once),
		cmocka_unit_test(run_without_epoll_fails),
		cmocka_unit_test(init_and_fini_leave_no_descriptor),
	};

	return RUN_TESTS("loop", tests);
}
