/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API: Firecracker's REST API on a Unix socket, and ours on top.
 * docs/api.yaml describes it.  All of it is the main thread's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct api;
struct err;
struct event_loop;
struct instance;

struct api_config {
	struct event_loop *loop;
	struct instance *instance;
	const char *socket_path; /* made here; must not exist */
	int listen_fd;   /* or this: listens already, ours from now on */
	int ready_fd;    /* gets a byte when connections are accepted;
			    ours from now on; -1: none */
	size_t body_max; /* bytes */

	/* When the jailer started, as it says; 0: it did not. */
	uint64_t start_us, start_cpu_us, parent_cpu_us;
};

enum {
	API_BODY_MAX_DEFAULT = 51200, /* Firecracker's */
};

/* Returns NULL after a failure; nothing is left of it then. */
struct api *api_start(const struct api_config *config, struct err *e);

/* Answers what was asked, and removes the socket; NULL is fine. */
void api_stop(struct api *api);
