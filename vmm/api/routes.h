/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a reply: looks up the operation, checks, calls it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "vmm/api/http.h"
#include "vmm/instance/instance.h"

struct err;

struct api_reply {
	unsigned status; /* of a refusal: 400 unless set */
	struct buf body; /* JSON; may be empty */
	/* The deprecated field that the request uses, as in "... field is";
	 * NULL: it uses none. */
	const char *deprecated;
	bool stream;             /* the body is a stream of events */
	bool deferred;           /* answered later, by routes_complete() ... */
	enum instance_task task; /* ... when this task has ended */
	bool wants_clock;        /* a load whose answer reports the clock */
	uint64_t began_us;       /* CLOCK_MONOTONIC */
};

/* Register and unregister the metrics that count calls. */
void routes_init(void);
void routes_fini(void);

/*
 * Execute a request.  @body is @len bytes followed by a NUL, or NULL.  Fills
 * @reply, which is zeroed; unless .deferred is set, .status and .body are the
 * answer.  The caller frees the body with buf_free().
 */
void routes_handle(struct instance *instance, enum http_method method,
		   const char *path, const char *body, size_t len,
		   struct api_reply *reply);

/*
 * Fill the deferred @reply now that its task has ended: @result is 0, or -1
 * with the reason in @e.  The caller frees the body with buf_free().
 */
void routes_complete(const struct instance *in, int result, const struct err *e,
		     struct api_reply *reply);

/* Set @e for an operation that is not valid in this state: @started says
 * whether the VM has been started.  Returns -1. */
int route_wrong_state(bool started, struct err *e);
/* Set @e for an operation that is not valid while a load is in progress.
 * Returns -1. */
int route_while_loading(struct err *e);
