/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks, and the rules that the compiler and the tests hold them to.
 *
 * There is a type for each kind of lock, and what a lock of this kind guards
 * says so: GUARDED_BY(device_lock) at a field, REQUIRES(device_lock) at a
 * function.  clang's -Wthread-safety, an error here, then rejects an access
 * without the lock, a lock that is not released on every path, and a second
 * lock of the same kind.  It sees no access through a pointer to a guarded
 * field, and no call through a pointer to a function: so a function that gets
 * such a pointer, or is a hook, has its REQUIRES, too.
 *
 * Why kinds and not objects: in C, clang 19 does not know of which object the
 * lock in a field's GUARDED_BY is.  No thread ever holds two locks of one kind,
 * so that is enough; taking and releasing are matched object by object.
 *
 * Nothing of this is in the product: a lock is a mutex there.
 */
#pragma once

#include <pthread.h>

/* CBMC (tests/proofs) does not know the attributes. */
#ifdef PROOF
#define LOCK_ATTRIBUTE(x)
#else
#define LOCK_ATTRIBUTE(x) __attribute__((x))
#endif

#define GUARDED_BY(kind) LOCK_ATTRIBUTE(guarded_by(kind))
/* Behind a function's parameters: its caller holds the lock; it takes the lock,
 * and returns with it; it releases the caller's. */
#define REQUIRES(kind)       LOCK_ATTRIBUTE(requires_capability(kind))
#define ACQUIRES(lock, kind) LOCK_ATTRIBUTE(acquire_capability(lock, kind))
#define RELEASES(lock, kind) LOCK_ATTRIBUTE(release_capability(lock, kind))
/* For a function that needs no lock although it touches what is guarded: no
 * other thread knows the object yet, or any more, or all vCPUs are parked. */
#define ALONE LOCK_ATTRIBUTE(no_thread_safety_analysis)

#define LOCK_INITIALIZER {PTHREAD_MUTEX_INITIALIZER}

/*
 * The order of locks.  For each kind: which a thread may hold when it takes one
 * of this kind.  The sanitizers' builds check it, so every unit test and every
 * fuzzer does (lock.c); they end with a failed assertion.
 */
enum lock_kinds {
	LATE_LOCK = 1 << 0,
	DEVICE_LOCK = 1 << 1,
	PREFAULT_LOCK = 1 << 2,
	VCPU_LOCK = 1 << 3,
	JOB_LOCK = 1 << 4,
	STARTER_LOCK = 1 << 5,
	LOG_LOCK = 1 << 6,
	LEFTOVER_LOCK = 1 << 7,

	UNDER_LATE = 0,
	UNDER_DEVICE = LATE_LOCK,
	UNDER_PREFAULT = LATE_LOCK | DEVICE_LOCK,
	UNDER_VCPU = 0,
	UNDER_JOB = 0,
	/* Innermost: nothing is taken under these. */
	UNDER_ALL =
		LATE_LOCK | DEVICE_LOCK | PREFAULT_LOCK | VCPU_LOCK | JOB_LOCK,
};

#ifdef LOCK_ORDER_IS_CHECKED
void lock_check_take(enum lock_kinds kind, unsigned under);
void lock_check_release(enum lock_kinds kind);
#else
static inline void lock_check_take(enum lock_kinds kind, unsigned under)
{
	(void)kind;
	(void)under;
}
static inline void lock_check_release(enum lock_kinds kind)
{
	(void)kind;
}
#endif

/* What GUARDED_BY() and REQUIRES() name; declared only, there is no such
 * object. */
struct LOCK_ATTRIBUTE(capability("lock")) lock_kind;

/*
 * struct NAME_lock with NAME_lock_init(), _fini(), _take() and _release().  For
 * pthread_cond_wait() there is its `mutex`.
 */
#define LOCK_KIND(name, number, under)                                   \
	extern struct lock_kind name##_lock;                             \
	struct LOCK_ATTRIBUTE(capability("lock")) name##_lock {          \
		pthread_mutex_t mutex;                                   \
	};                                                               \
	static inline void name##_lock_init(struct name##_lock *lock)    \
	{                                                                \
		pthread_mutex_init(&lock->mutex, NULL);                  \
	}                                                                \
	static inline void name##_lock_fini(struct name##_lock *lock)    \
	{                                                                \
		pthread_mutex_destroy(&lock->mutex);                     \
	}                                                                \
	static inline void name##_lock_take(struct name##_lock *lock)    \
		ACQUIRES(*lock, name##_lock) ALONE                       \
	{                                                                \
		lock_check_take(number, under);                          \
		pthread_mutex_lock(&lock->mutex);                        \
	}                                                                \
	static inline void name##_lock_release(struct name##_lock *lock) \
		RELEASES(*lock, name##_lock) ALONE                       \
	{                                                                \
		lock_check_release(number);                              \
		pthread_mutex_unlock(&lock->mutex);                      \
	}

/* vmm/vm/vcpu.h: who handles KVM's ring of coalesced MMIO writes. */
LOCK_KIND(late, LATE_LOCK, UNDER_LATE)
/* The state of one device. */
LOCK_KIND(device, DEVICE_LOCK, UNDER_DEVICE)
/* vmm/vm/prefault.c: the queue of pages to touch. */
LOCK_KIND(prefault, PREFAULT_LOCK, UNDER_PREFAULT)
/* vmm/vm/vcpu.h: what vCPUs are to do. */
LOCK_KIND(vcpu, VCPU_LOCK, UNDER_VCPU)
/* vmm/instance/snapshot_job.c: whether a snapshot goes on. */
LOCK_KIND(job, JOB_LOCK, UNDER_JOB)
/* core/thread/thread.c: the request to start a thread. */
LOCK_KIND(starter, STARTER_LOCK, UNDER_ALL)
/* core/io/log.c: lines of vCPU threads. */
LOCK_KIND(log, LOG_LOCK, UNDER_ALL)
/* core/io/leftover.c: files that the end of the process removes. */
LOCK_KIND(leftover, LEFTOVER_LOCK, UNDER_ALL)
