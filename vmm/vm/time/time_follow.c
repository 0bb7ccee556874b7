/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/time/time_follow.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/vm/time/time_pages.h"

enum { FIRST_S = 1, LONGEST_S = 60 };

/* Look again after wait_s seconds, or when the clock is set.  False if that is
 * not possible. */
static bool arm(struct time_follow *f)
{
	const uint64_t due =
		clock_now_ns(CLOCK_REALTIME) + f->wait_s * NS_PER_S;
	const struct itimerspec when = {
		.it_value = {(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)},
	};

	/* ECANCELED: the clock was set just now; the timer is armed. */
	return !timerfd_settime(f->timer.fd,
				TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
				&when, NULL) ||
	       errno == ECANCELED;
}

static void on_timer(struct event_source *source, uint32_t events)
{
	struct time_follow *f = container_of(source, struct time_follow, timer);
	bool different = false;
	uint64_t expired;

	(void)events;
	/* EAGAIN: the guest was stopped since. */
	if (read(source->fd, &expired, sizeof(expired)) < 0) {
		if (errno != ECANCELED)
			return;
		different = true; /* the clock was set */
	}
	different |= time_pages_refresh(f->pages, f->clock);
	f->wait_s = different ? FIRST_S : f->wait_s * 2;
	if (f->wait_s > LONGEST_S)
		f->wait_s = LONGEST_S;
	arm(f);
}

static bool open_timer(struct time_follow *f)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && !loop_add(f->loop, &f->timer, fd, EPOLLIN))
		return true;
	util_close(&fd);
	return false;
}

void time_follow_init(struct time_follow *f, struct event_loop *loop,
		      struct time_pages *pages, const struct arch_clock *clock)
{
	*f = (struct time_follow){
		.loop = loop,
		.pages = pages,
		.clock = clock,
		.timer = {.fd = -1, .ready = on_timer},
	};
}

void time_follow_fini(struct time_follow *f)
{
	loop_close(f->loop, &f->timer);
}

void time_follow_start(struct time_follow *f)
{
	f->wait_s = FIRST_S;
	if ((f->timer.fd < 0 && !open_timer(f)) || !arm(f))
		log_warn("there is no timer: VMClock does not follow the "
			 "host's clock until the next resume");
}

void time_follow_stop(struct time_follow *f)
{
	const struct itimerspec never = {0};

	if (f->timer.fd >= 0)
		timerfd_settime(f->timer.fd, 0, &never, NULL);
}
