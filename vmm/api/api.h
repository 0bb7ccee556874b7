/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API: Firecracker's REST API on a Unix socket, with extensions.
 * docs/api.yaml specifies it.  Main thread only.
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
	const char *socket_path; /* to create; unused with .listen_fd */
	int listen_fd;   /* a listening socket; owned by the API; -1: none */
	int ready_fd;    /* gets a byte once connections are accepted;
			    owned by the API; -1: none */
	size_t body_max; /* largest request body in bytes */

	/* The jailer's start times in us, from its options; 0: not given. */
	uint64_t start_us, start_cpu_us, parent_cpu_us;
};

enum {
	API_BODY_MAX_DEFAULT = 51200, /* Firecracker's */
};

/* Report the API's metrics from now on, or no more, whether it is served or
 * not: readers of metrics expect them.  api_start() and api_stop() do it, too.
 */
void api_metrics_add(void);
void api_metrics_remove(void);

/* Start serving.  NULL and @e after a failure; api_stop() undoes it. */
struct api *api_start(const struct api_config *config, struct err *e);

/*
 * Send what answers the sockets take without waiting, close all connections and
 * remove the socket.  @api may be NULL.
 */
void api_stop(struct api *api);
