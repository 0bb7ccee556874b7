/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about devices. */
#include "vmm/api/handlers.h"
#include "vmm/api/routes.h"
#include "vmm/base/err.h"
#include "vmm/bodies.h"
#include "vmm/instance.h"

int put_drive(struct instance *in, const struct api_request *request,
	      struct api_reply *reply, struct err *e)
{
	struct drive_config body;
	int r;

	(void)reply;
	if (drive_read(&body, request->json, request->id, e))
		return bad_body(e);
	r = drive_apply(&body, &in->config, e);
	drive_config_fini(&body);
	return r ? err_prefix(e, "Drive config error") : 0;
}

int patch_drive(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	struct drive_patch body;
	int r;

	(void)reply;
	if (drive_patch_read(&body, request->json, request->id, e))
		return bad_body(e);
	r = instance_patch_drive(in, &body, e);
	drive_patch_fini(&body);
	return r ? err_prefix(e, "Drive config error: Unable to patch the "
				 "block device")
		 : 0;
}

int put_entropy(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	struct rate_limiter_config body;

	(void)reply;
	if (entropy_read(&body, request->json, e))
		return bad_body(e);
	in->config.entropy = true;
	in->config.entropy_limiter = body;
	return 0;
}

int put_interface(struct instance *in, const struct api_request *request,
		  struct api_reply *reply, struct err *e)
{
	struct interface_config body;
	int r;

	(void)reply;
	if (interface_read(&body, request->json, request->id, e))
		return bad_body(e);
	r = interface_apply(&body, &in->config, e);
	interface_config_fini(&body);
	return r ? err_prefix(e, "Network config error") : 0;
}

int patch_interface(struct instance *in, const struct api_request *request,
		    struct api_reply *reply, struct err *e)
{
	struct interface_patch body;
	int r;

	(void)reply;
	if (interface_patch_read(&body, request->json, request->id, e))
		return bad_body(e);
	r = instance_patch_interface(in, &body, e);
	interface_patch_fini(&body);
	return r ? err_prefix(e, "Network config error") : 0;
}
