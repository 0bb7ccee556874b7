/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/handlers.h"
#include "vmm/api/routes.h"
#include "vmm/base/err.h"
#include "vmm/bodies.h"
#include "vmm/instance.h"
#include "vmm/snapshot_bodies.h"

int put_snapshot_create(struct instance *in, const struct api_request *request,
			struct api_reply *reply, struct err *e)
{
	struct snapshot_create body;
	int r;

	if (snapshot_create_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		r = instance_snapshot(in, &body, e);
		if (r)
			err_prefix(e, "Create snapshot error");
		reply->deferred = !r;
		reply->task = INSTANCE_SNAPSHOTS;
	}
	snapshot_create_fini(&body);
	return r;
}

int put_snapshot_load(struct instance *in, const struct api_request *request,
		      struct api_reply *reply, struct err *e)
{
	struct snapshot_load body;
	int r;

	if (snapshot_load_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		reply->deprecated = body.deprecated;
		r = instance_load(in, &body, e);
		if (r)
			err_prefix(e, "Load snapshot error");
		/* Who does not know of it expects no body. */
		else if (body.has_clock)
			clock_restored_print(vm_clock(in->vm), &reply->body);
	}
	snapshot_load_fini(&body);
	return r;
}
