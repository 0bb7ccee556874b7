/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host for proofs of devices: locks are free, clocks show any time, timers
 * and the loop succeed or fail, and what is logged is not printed.
 */
#pragma once

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "tests/proofs/proofs.h"

int pthread_mutex_lock(pthread_mutex_t *lock)
{
	(void)lock;
	return 0;
}

int pthread_mutex_unlock(pthread_mutex_t *lock)
{
	(void)lock;
	return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now->tv_sec = nondet_u32();
	now->tv_nsec = nondet_u32() % 1000000000;
	return 0;
}

int eventfd_write(int fd, eventfd_t value)
{
	(void)fd;
	(void)value;
	return nondet_bool() ? -1 : 0;
}

int timerfd_create(clockid_t clock, int flags)
{
	(void)clock;
	(void)flags;
	return nondet_bool() ? -1 : nondet_u8();
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when,
		    struct itimerspec *old)
{
	(void)fd;
	(void)flags;
	(void)old;
	prove(when->it_value.tv_nsec >= 0 &&
		      when->it_value.tv_nsec < 1000000000,
	      "the kernel takes the time of a timer");
	return 0;
}

int close(int fd)
{
	(void)fd;
	return 0;
}

int loop_add(struct event_loop *loop, struct event_source *source, int fd,
	     uint32_t events)
{
	(void)loop;
	(void)events;
	if (nondet_bool())
		return -1;
	source->fd = fd;
	return 0;
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}

void log_write(enum log_level level, const char *file, int line,
	       const char *format, ...)
{
	(void)level;
	(void)file;
	(void)line;
	(void)format;
}

int err_set(struct err *e, const char *format, ...)
{
	(void)e;
	(void)format;
	return -1;
}
