/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of requests for the document of the metadata service. */
#include "core/base/err.h"
#include "vmm/api/handlers.h"
#include "vmm/api/routes.h"
#include "vmm/instance/instance.h"

int get_mmds(struct instance *in, const struct api_request *request,
	     struct api_reply *reply, struct err *e)
{
	(void)request;
	(void)e;
	mmds_print(&in->mmds, &reply->body);
	return 0;
}

static int finish(int r, struct api_reply *reply, struct err *e)
{
	if (!r)
		return 0;
	if (r != MMDS_TOO_LARGE)
		return err_prefix(e, "MMDS error");
	reply->status = 413;
	return err_prefix(e, "MMDS limit exceeded error");
}

int put_mmds(struct instance *in, const struct api_request *request,
	     struct api_reply *reply, struct err *e)
{
	return finish(mmds_put(&in->mmds, request->json, e), reply, e);
}

int patch_mmds(struct instance *in, const struct api_request *request,
	       struct api_reply *reply, struct err *e)
{
	return finish(mmds_patch(&in->mmds, request->json, e), reply, e);
}
