/* SPDX-License-Identifier: Apache-2.0 */
/* An API that serves an instance on a fake KVM, for tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/io/loop.h"
#include "vmm/api/api.h"
#include "vmm/api/http.h"
#include "vmm/instance/instance.h"

struct world {
	struct event_loop loop;
	struct event_source tick;
	unsigned ticks;
	struct instance instance;
	struct api *api;
	char folder[40], kernel[64], socket[64], body[160];
	int status;
	bool ended;
	struct err e;
};

int api_world_set_up(void **state);
int api_world_tear_down(void **state);

#define API_TEST(test)                                          \
	cmocka_unit_test_setup_teardown(test, api_world_set_up, \
					api_world_tear_down)

/* Let the loop do what there is to do. */
void api_world_run(struct world *w);

/* One look at the loop, for as long; how many events there were. */
unsigned api_world_poll(struct world *w, int timeout_ms);

/* One request, without a connection; gives the status. */
unsigned api_world_call(struct world *w, enum http_method method,
			const char *path, const char *body, char *text,
			size_t size);
/* 204 is expected. */
void api_world_do(struct world *w, enum http_method method, const char *path,
		  const char *body);
void api_world_boot(struct world *w);

uint64_t api_world_now_ms(void);
/* One that is connected, and does not block; it asks for something. */
int api_world_client(struct world *w);
void api_world_request(struct world *w, int fd, const char *method,
		       const char *path, const char *body);
/* What has come, at once. */
const char *api_world_heard(int fd);
/* The loop runs until something comes, which has @answer in it. */
void api_world_expect(struct world *w, int fd, const char *answer);
/* The API answers, at once. */
void api_world_expect_state(struct world *w, const char *name);
