/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM to save and load, and file systems that this machine has not. */
#pragma once

#include "core/machine/mem.h"
#include "snapshot/memory/memory_file.h"
#include "tests/unit/testing.h"

#define LOW  ((gpa_t)0x80000000)
#define HIGH ((gpa_t)0x8000000000)

enum {
	PIECE = 65536, /* whole pages on every host */
	SIZE_0 = 6 << 20,
	SIZE_1 = 2 << 20,
	SIZE = SIZE_0 + SIZE_1,
	WORDS = SIZE_0 / 4096 / 64,
	PLACES = 8,
};

struct world {
	struct guest_mem mem;
	uint64_t page; /* the host's */
	/* Of the file system: */
	uint64_t block;   /* data comes in these; 0: in pages */
	int64_t eats_at;  /* a page that becomes a hole; -1: none */
	int64_t fails_at; /* writes there fail; -1: none */
	int fails_with;
	unsigned write_ms; /* that each write takes */
	bool can_clone;
	int cloned_from;
	/* Of the host: */
	bool no_pagemap, no_scan; /* Linux before 6.7 cannot scan */
	unsigned scans;
};

extern struct world world;

/* Pages here and there: first and last of regions and chunks. */
extern const uint64_t places[PLACES];

int world_create(void **state);
int world_destroy(void **state);

#define with_ram(test) \
	cmocka_unit_test_setup_teardown(test, world_create, world_destroy)

/* As world.mem is when it is fresh. */
int create_mem(struct guest_mem *m);
/* The host address of what is at @offset in the file. */
uint8_t *ram_of(const struct guest_mem *m, uint64_t offset);
uint8_t *ram(uint64_t offset);
/* A PIECE at each place: @value, @value + 1 ... */
void touch_places(uint8_t value);
/* Pages of the host that take memory. */
unsigned resident(const uint8_t *host, uint64_t len);

/* A file with real holes. */
int sparse_file(void);
uint64_t bytes_taken(int fd);
bool is_data(int fd, uint64_t offset);
uint8_t byte_at(int fd, uint64_t offset);
/* The whole file is what RAM is. */
void assert_file_is_ram(int fd, const struct guest_mem *m);

struct memory_save save_to(int fd);
/* A new file of all RAM. */
int full(struct err *e);

struct dirty {
	uint64_t low[WORDS], high[WORDS];
	const uint64_t *region[2];
};

/* The one there is, emptied. */
struct dirty *no_dirty(void);
void set_dirty(struct dirty *d, uint64_t offset);
