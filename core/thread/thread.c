/* SPDX-License-Identifier: Apache-2.0 */
#include "core/thread/thread.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/rseq.h>
#include <unistd.h>

#include "core/thread/lock.h"

enum { STACK_SIZE = 256 * 1024 };

static _Thread_local char own_name[16];

pid_t thread_process(void)
{
	static _Atomic pid_t process;

	if (!process)
		process = getpid();
	return process;
}

void thread_set_name(const char *name)
{
	snprintf(own_name, sizeof(own_name), "%s", name);
	pthread_setname_np(pthread_self(), own_name);
}

const char *thread_name(void)
{
	/* Asked for once only: later a filter may not permit it. */
	if (!own_name[0])
		pthread_getname_np(pthread_self(), own_name, sizeof(own_name));
	return own_name;
}

int thread_cpu(void)
{
	const char *self = __builtin_thread_pointer();
	const struct rseq *shared = (const void *)(self + __rseq_offset);

	/* The kernel keeps this up to date. */
	return __rseq_size ? (int)*(const volatile uint32_t *)&shared->cpu_id
			   : -1;
}

/* ---------------------------------------------------------------- starting */

struct request {
	pthread_t *thread;
	void *(*run)(void *);
	void *context;
	int result;
};

/* A thread that starts threads. */
static struct {
	struct starter_lock lock;
	pthread_cond_t changed;
	void (*enter)(void);
	/* NULL: none, or done */
	GUARDED_BY(starter_lock) struct request *request;
	bool exists;
} starter = {
	.lock = LOCK_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

static int start(struct request *r)
{
	pthread_attr_t attr;
	sigset_t most, old;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&most);
	/* Blocked, a forbidden system call would end the process silently. */
	sigdelset(&most, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &most, &old);
	error = pthread_create(r->thread, &attr, r->run, r->context);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

static void *starter_thread(void *arg)
{
	thread_set_name("starter");
	starter.enter();
	starter_lock_take(&starter.lock);
	for (;;) {
		while (!starter.request)
			pthread_cond_wait(&starter.changed,
					  &starter.lock.mutex);
		starter.request->result = start(starter.request);
		starter.request = NULL;
		pthread_cond_broadcast(&starter.changed);
	}
	return arg;
}

int thread_starter(void (*enter)(void))
{
	pthread_t thread;
	int error;

	starter.enter = enter;
	error = thread_start(&thread, starter_thread, NULL);
	if (!error)
		pthread_detach(thread);
	starter.exists = !error;
	return error;
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *context)
{
	struct request r = {thread, run, context, 0};

	if (!starter.exists)
		return start(&r);
	starter_lock_take(&starter.lock);
	starter.request = &r;
	pthread_cond_broadcast(&starter.changed);
	while (starter.request)
		pthread_cond_wait(&starter.changed, &starter.lock.mutex);
	starter_lock_release(&starter.lock);
	return r.result;
}

bool thread_join(pthread_t thread, unsigned ms)
{
	while (pthread_tryjoin_np(thread, NULL)) {
		if (!ms--) {
			pthread_detach(thread);
			return false;
		}
		poll(NULL, 0, 1);
	}
	return true;
}
