/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the lists of allowed system calls (lists/NAME.inc) are written.  Read on
 * the build machine only (compile.c); the product has what comes out.
 *
 *   CALL(name, "why")                  every call of it
 *   CALL_IF(name, CONDITION, "why")    if CONDITION holds; several entries of
 *                                      one name: if one of them does
 *   FAIL(name, ERRNO, "why")           the call is not made; it fails
 *   SNAP(name, "why")                  as CALL() and CALL_IF(); forbidden to
 *   SNAP_IF(name, CONDITION, "why")    a VMM without snapshots
 *   START(name, "why")                 as CALL(), CALL_IF() and FAIL(); no
 *   START_IF(name, CONDITION, "why")   microVM starts, or ends in order,
 *   START_FAIL(name, ERRNO, "why")     without it, so each filter has it
 *
 * CONDITION is about the call's arguments, counted from 0:
 *
 *   IS32(argument, value)              its lower 32 bits are @value
 *   NONE_OF(argument, bits)            none of @bits is set
 *   BOTH(CONDITION, CONDITION)
 *
 * Who includes the lists defines RULE(name, MEMBER...), an element of his array
 * with the call's name and these members of struct rule.
 *
 * IS32() is for arguments of which the kernel looks at 32 bits only: libc may
 * leave anything above.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RULE_CONDITIONS_MAX = 2 };

struct rule_condition {
	unsigned argument;
	uint64_t mask, value;
	const char *text;
};

struct rule {
	const char *call;
	unsigned count; /* of conditions */
	struct rule_condition condition[RULE_CONDITIONS_MAX];
	int error;          /* 0: allow */
	bool needed, saves; /* START(), SNAP() */
	const char *why;
};

#define IS32(argument, value)                     \
	{argument, UINT32_MAX, (uint32_t)(value), \
	 "argument " #argument " is " #value}
#define NONE_OF(argument, bits) \
	{argument, (uint64_t)(bits), 0, "argument " #argument " has no " #bits}
#define BOTH(first, second) first, second

/* Only the process knows it (placeholder.h). */
#define OWN_PID SECCOMP_OWN_PID
/* SIGRTMIN of glibc: the kernel's 32 and 33 are its own. */
#define KICK_SIGNAL 34

/* With which glibc's pthread_create() calls clone(). */
#define THREAD_FLAGS                                                         \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | \
	 CLONE_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID |                 \
	 CLONE_CHILD_CLEARTID)

#define CONDITIONS(...)                                           \
	.count = sizeof((struct rule_condition[]){__VA_ARGS__}) / \
		 sizeof(struct rule_condition),                   \
	.condition = {__VA_ARGS__}
#define CALL(name, reason) RULE(name, .why = (reason))
#define CALL_IF(name, condition_, reason) \
	RULE(name, .why = (reason), CONDITIONS(condition_))
#define FAIL(name, error_, reason) \
	RULE(name, .error = (error_), .why = (reason))
#define SNAP(name, reason) RULE(name, .why = (reason), .saves = true)
#define SNAP_IF(name, condition_, reason) \
	RULE(name, .why = (reason), .saves = true, CONDITIONS(condition_))
#define START(name, reason) RULE(name, .why = (reason), .needed = true)
#define START_IF(name, condition_, reason) \
	RULE(name, .why = (reason), .needed = true, CONDITIONS(condition_))
#define START_FAIL(name, error_, reason) \
	RULE(name, .error = (error_), .why = (reason), .needed = true)
