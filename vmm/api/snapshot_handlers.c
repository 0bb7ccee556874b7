/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/err.h"
#include "vmm/api/handlers.h"
#include "vmm/api/routes.h"
#include "vmm/config/bodies.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/instance/instance.h"

static int may_snapshot(const struct instance *in, struct err *e)
{
	if (!in->no_snapshots)
		return 0;
	return err_set(e, "the VMM was started with --no-snapshots, so it "
			  "neither takes nor loads any");
}

int put_snapshot_create(struct instance *in, const struct api_request *request,
			struct api_reply *reply, struct err *e)
{
	struct snapshot_create body;
	int r;

	if (snapshot_create_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		r = may_snapshot(in, e) || instance_snapshot(in, &body, e) ? -1
									   : 0;
		if (r)
			err_prefix(e, "Create snapshot error");
		reply->deferred = !r;
		reply->task = INSTANCE_SNAPSHOTS;
	}
	snapshot_create_fini(&body);
	return r;
}

void reply_loaded(const struct instance *in, struct api_reply *reply)
{
	if (reply->wants_clock)
		clock_restored_print(vm_clock(in->vm), &reply->body);
}

int put_snapshot_load(struct instance *in, const struct api_request *request,
		      struct api_reply *reply, struct err *e)
{
	struct snapshot_load body;
	int r;

	if (snapshot_load_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		if (body.deprecated)
			reply->deprecated = "mem_file_path and "
					    "enable_diff_snapshots fields are";
		/* Only clients that send `clock` expect a body. */
		reply->wants_clock = body.has_clock;
		r = may_snapshot(in, e) ? -1 : instance_load(in, &body, e);
		if (r < 0)
			err_prefix(e, "Load snapshot error");
		else if (!r)
			reply_loaded(in, reply);
	}
	snapshot_load_fini(&body);
	reply->deferred = r == INSTANCE_LATER;
	reply->task = INSTANCE_LOADS;
	return r < 0 ? -1 : 0;
}
