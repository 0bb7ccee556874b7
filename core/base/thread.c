/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/thread.h"

#include <signal.h>
#include <time.h>

enum { STACK_SIZE = 256 * 1024 };

int thread_start(pthread_t *thread, void *(*run)(void *), void *context)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, &attr, run, context);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

bool thread_join(pthread_t thread, unsigned ms)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	while (pthread_tryjoin_np(thread, NULL)) {
		if (!ms--) {
			pthread_detach(thread);
			return false;
		}
		nanosleep(&moment, NULL);
	}
	return true;
}
