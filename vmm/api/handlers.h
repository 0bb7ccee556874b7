/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request handlers, one per operation.  Each returns 0, with JSON in
 * reply->body if the operation returns any, or -1 with the fault message in *e.
 * After -1, nothing has changed.  Main thread.
 */
#pragma once

#include "vmm/config/config.h"

struct api_reply;
struct body_kind;
struct err;
struct instance;
struct json_t;

struct api_request {
	const struct json_t *json; /* NULL: no body */
	const char *path;
	const struct body_kind *kind; /* for put_body() */
	char id[VM_ID_MAX + 1]; /* from the path; "": the route has none */
};

typedef int api_handler(struct instance *in, const struct api_request *request,
			struct api_reply *reply, struct err *e);

api_handler get_instance, get_version, get_stasis, get_machine_config,
	get_vm_config, get_metrics, get_events, get_clock;
api_handler put_actions, put_body, put_logger, put_machine_config, put_metrics,
	put_serial;
api_handler patch_drive, patch_interface, patch_machine_config, patch_vm;
api_handler get_mmds, put_mmds, patch_mmds;
api_handler put_snapshot_create, put_snapshot_load;
api_handler get_balloon, patch_balloon, get_balloon_stats, patch_balloon_stats,
	start_hinting, get_hinting, stop_hinting;

/* Fill @reply after a load has succeeded: the clock's report, if wanted. */
void reply_loaded(const struct instance *in, struct api_reply *reply);

/*
 * Prefix *e, the reason why a body is not valid, with Firecracker's wording.
 * Returns -1.  The id in the body differing from that in the path gets no
 * prefix, because Firecracker reports that without one.
 */
int bad_body(struct err *e);
