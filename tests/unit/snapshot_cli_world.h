/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis snapshot` and `stasis inspect`, run with VMMs that answer as a test
 * says. */
#pragma once

enum { ANSWERS_MAX = 6 };

/* A VMM's answers, one for each connection. */
struct vmm {
	const char *answer[ANSWERS_MAX];
	int listener;
};

extern const char no_content[], failed[], running[], paused[];
extern char folder[64], socket_path[80];
extern char printed[65536], complained[4096];
extern char requests[8192]; /* that were made, one after the other */

int run(int (*command)(int, char **), const char *const *words);
#define RUN(command, ...) run(command, (const char *const[]){__VA_ARGS__, NULL})

/* `stasis snapshot FOLDER/new`, and perhaps options, with such a VMM. */
int snapshot_with(const struct vmm *vmm, const char *const options[3]);
int snapshot(const struct vmm *vmm, const char *option);

int make_folder(void **state);
int remove_folder(void **state);
#define in_folder(test) \
	cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
