/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of requests that configure or query devices. */
#include "core/base/err.h"
#include "devices/virtio/balloon/balloon.h"
#include "vmm/api/handlers.h"
#include "vmm/api/routes.h"
#include "vmm/config/bodies.h"
#include "vmm/instance/instance.h"

int patch_drive(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	struct drive_patch body;
	struct err why;
	int r;

	(void)reply;
	if (drive_patch_read(&body, request->json, request->id, e))
		return bad_body(e);
	r = instance_patch_drive(in, &body, &why);
	drive_patch_fini(&body);
	return r ? err_set(e,
			   "Drive config error: Unable to patch the block "
			   "device: %.900s Please verify the request "
			   "arguments.",
			   why.text)
		 : 0;
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

/* ------------------------------------------------------------------ balloon */

int get_balloon(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	(void)request;
	if (!in->config.has_balloon)
		return err_set(e, "Balloon config error: No balloon device "
				  "found.");
	balloon_print(&in->config, &reply->body);
	return 0;
}

int patch_balloon(struct instance *in, const struct api_request *request,
		  struct api_reply *reply, struct err *e)
{
	uint32_t amount_mib;

	(void)reply;
	if (balloon_target_read(&amount_mib, request->json, e))
		return bad_body(e);
	return instance_patch_balloon(in, amount_mib, e)
		       ? err_prefix(e, "Balloon update error")
		       : 0;
}

int get_balloon_stats(struct instance *in, const struct api_request *request,
		      struct api_reply *reply, struct err *e)
{
	struct virtio_device *dev = vm_balloon(in->vm, e);
	struct balloon_stats stats;

	(void)request;
	if (!dev || balloon_stats(dev, &stats, e))
		return err_prefix(e, "Internal VMM error");
	balloon_stats_print(&stats, &reply->body);
	return 0;
}

int patch_balloon_stats(struct instance *in, const struct api_request *request,
			struct api_reply *reply, struct err *e)
{
	uint16_t interval_s;

	(void)reply;
	if (balloon_interval_read(&interval_s, request->json, e))
		return bad_body(e);
	return instance_patch_balloon_stats(in, interval_s, e)
		       ? err_prefix(e, "Balloon update error")
		       : 0;
}

int start_hinting(struct instance *in, const struct api_request *request,
		  struct api_reply *reply, struct err *e)
{
	struct virtio_device *dev;
	bool acknowledge;

	(void)reply;
	if (balloon_hinting_read(&acknowledge, request->json, e))
		return bad_body(e);
	dev = vm_balloon(in->vm, e);
	if (!dev || balloon_hinting_start(dev, acknowledge, e))
		return err_prefix(e, "Balloon update error");
	return 0;
}

int get_hinting(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	struct virtio_device *dev = vm_balloon(in->vm, e);
	struct balloon_hinting_status status;

	(void)request;
	if (!dev || balloon_hinting_status(dev, &status, e))
		return err_prefix(e, "Balloon update error");
	balloon_hinting_print(&status, &reply->body);
	return 0;
}

int stop_hinting(struct instance *in, const struct api_request *request,
		 struct api_reply *reply, struct err *e)
{
	struct virtio_device *dev = vm_balloon(in->vm, e);

	(void)request;
	(void)reply;
	if (!dev || balloon_hinting_stop(dev, e))
		return err_prefix(e, "Balloon update error");
	return 0;
}
