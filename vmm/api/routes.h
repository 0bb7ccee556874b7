/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a reply: what there is, when, and what it does. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "vmm/api/http.h"
#include "vmm/instance/instance.h"

struct err;

struct api_reply {
	unsigned status;
	struct buf body; /* JSON; may be empty */
	bool deprecated; /* something in the request is */
	bool stream;     /* events follow, for as long as there are any */
	bool deferred;   /* it comes later, by routes_complete() ... */
	enum instance_task task; /* ... when this is done */
	bool wants_clock; /* and what became of time, if that is a load */
};

/* Count calls, and stop that. */
void routes_init(void);
void routes_fini(void);

/*
 * Do what the request asks.  @body is @len bytes and a NUL, or NULL.
 * buf_free() the reply's body.
 */
void routes_handle(struct instance *instance, enum http_method method,
		   const char *path, const char *body, size_t len,
		   struct api_reply *reply);

/*
 * @reply, which was deferred, is to say that its task has ended: -1 and why it
 * failed, or 0.  buf_free() the reply's body.
 */
void routes_complete(const struct instance *in, int result, const struct err *e,
		     struct api_reply *reply);

/* The refusal of what can be done only before, or after, the VM is started. */
int route_wrong_state(bool started, struct err *e);
/* While a load is waited for. */
int route_while_loading(struct err *e);
