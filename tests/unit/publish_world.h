/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots in a folder, and writers that die. */
#pragma once

#include "snapshot/publish.h"
#include "tests/unit/testing.h"

enum { ID_AT = 8192 }; /* of the identity in memory */

/* All permissions with which files were created. */
extern unsigned created_mode;
extern char folder[64], state_path[128], memory_path[128];
extern int fail_at;      /* the call that fails; 0: none */
extern int calls;        /* that touch files, since write_snapshot() began */
extern char trace[4096]; /* which: "rename state.next;..." */

int make_folder(void **state);
int remove_folder(void **state);
void empty_folder(void **state);
bool exists(const char *path);
/* @path.next */
const char *next(const char *path);

#define in_folder(test) \
	cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

/* Snapshots have numbers, of which they are full. */
int fill(struct publish *p, uint8_t number, struct err *e);
int write_snapshot(const char *memory, uint8_t number, bool sync,
		   struct err *e);
/* The one that is found, whole and consistent, or -1. */
int which(const char *memory);
/* In a process that dies before call @at; true if it lived to the end. */
bool killed_at(int at, const char *memory, uint8_t number);
