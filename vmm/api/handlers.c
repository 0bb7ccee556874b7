/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/handlers.h"

#include <string.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/base/version.h"
#include "core/json/json.h"
#include "snapshot/state_file.h"
#include "vmm/api/routes.h"
#include "vmm/config/bodies.h"
#include "vmm/config/body_table.h"
#include "vmm/instance/instance.h"

int bad_body(struct err *e)
{
	/* An id mismatch has Firecracker's wording already: no prefix. */
	if (!strcmp(e->text, body_other_id))
		return -1;
	err_prefix(e, "An error occurred when deserializing the json body of a "
		      "request");
	return e->text[strlen(e->text) - 1] == '.' ? -1 : err_suffix(e, ".");
}

/* ----------------------------------------------------------------- reading */

int get_instance(struct instance *in, const struct api_request *request,
		 struct api_reply *reply, struct err *e)
{
	(void)request;
	(void)e;
	buf_text(&reply->body, "{\"id\":");
	buf_json_string(&reply->body, in->id);
	buf_printf(&reply->body,
		   ",\"state\":\"%s\",\"vmm_version\":\"" FIRECRACKER_VERSION
		   "\",\"app_name\":\"Firecracker\"}",
		   instance_state_name(in));
	return 0;
}

int get_version(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	(void)in;
	(void)request;
	(void)e;
	buf_text(&reply->body,
		 "{\"firecracker_version\":\"" FIRECRACKER_VERSION "\"}");
	return 0;
}

/* What Firecracker's own answers have no place for; validators of those accept
 * no further fields. */
int get_stasis(struct instance *in, const struct api_request *request,
	       struct api_reply *reply, struct err *e)
{
	(void)in;
	(void)request;
	(void)e;
	buf_printf(&reply->body,
		   "{\"version\":\"" STASIS_VERSION
		   "\",\"snapshot_version\":\"%u.%u.0\","
		   "\"transport\":\"mmio\"}",
		   STATE_FILE_MAJOR, STATE_FILE_MINOR);
	return 0;
}

int get_machine_config(struct instance *in, const struct api_request *request,
		       struct api_reply *reply, struct err *e)
{
	(void)request;
	(void)e;
	machine_config_print(&in->config, &reply->body);
	return 0;
}

int get_vm_config(struct instance *in, const struct api_request *request,
		  struct api_reply *reply, struct err *e)
{
	(void)request;
	(void)e;
	bodies_print(&in->config, &reply->body);
	return 0;
}

int get_metrics(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	(void)in;
	(void)request;
	(void)e;
	buf_printf(&reply->body, "{\"utc_timestamp_ms\":%llu,",
		   (unsigned long long)clock_now_ns(CLOCK_REALTIME) / 1000000);
	metrics_print_totals(&reply->body);
	buf_text(&reply->body, "}");
	return 0;
}

int get_clock(struct instance *in, const struct api_request *request,
	      struct api_reply *reply, struct err *e)
{
	struct clock_threads threads;

	(void)request;
	(void)e;
	threads.count = vm_vcpu_threads(in->vm, threads.id);
	clock_status_print(vm_clock(in->vm), in->state >= INSTANCE_PAUSED,
			   vm_vmclock(in->vm), &threads, &reply->body);
	return 0;
}

int get_events(struct instance *in, const struct api_request *request,
	       struct api_reply *reply, struct err *e)
{
	(void)in;
	(void)request;
	(void)e;
	reply->stream = true;
	return 0;
}

/* ------------------------------------------------------------- before boot */

/* PUT of any part of the VM that vmm/config/body_table.h lists. */
int put_body(struct instance *in, const struct api_request *request,
	     struct api_reply *reply, struct err *e)
{
	const struct body_kind *kind = request->kind;
	bool deprecated = false;
	int r = body_put(kind, &in->config, request->json,
			 kind->is_list ? request->id : NULL, &deprecated, e);

	if (deprecated)
		reply->deprecated = kind->deprecation;
	if (r == BODY_UNREADABLE)
		return bad_body(e);
	return r ? err_prefix(e, "%s", kind->refusal) : 0;
}

static int set_machine_config(struct instance *in, const struct json_t *json,
			      bool partial, struct api_reply *reply,
			      struct err *e)
{
	struct machine_config body;
	int r;

	machine_config_init(&body, &in->config);
	if (machine_config_read(&body, json, partial, e)) {
		r = bad_body(e);
	} else {
		r = machine_config_apply(&body, &in->config, e);
		if (r)
			err_prefix(e, "Machine config error");
	}
	if (body.cpu_template)
		reply->deprecated = "cpu_template field is";
	machine_config_fini(&body);
	return r;
}

int put_machine_config(struct instance *in, const struct api_request *request,
		       struct api_reply *reply, struct err *e)
{
	return set_machine_config(in, request->json, false, reply, e);
}

int patch_machine_config(struct instance *in, const struct api_request *request,
			 struct api_reply *reply, struct err *e)
{
	if (json_is_empty(request->json))
		return err_set(e, "Empty PATCH request.");
	return set_machine_config(in, request->json, true, reply, e);
}

int put_logger(struct instance *in, const struct api_request *request,
	       struct api_reply *reply, struct err *e)
{
	struct logger_config body = {0};
	int r;

	(void)reply;
	if (logger_config_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		r = instance_set_logger(in, &body, e);
		if (r)
			err_prefix(e, "Logger error");
	}
	logger_config_fini(&body);
	return r;
}

int put_metrics(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	struct metrics_config body = {0};
	int r;

	(void)reply;
	if (metrics_config_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		r = instance_set_metrics(in, &body, e);
		if (r)
			err_prefix(e, "Metrics error");
	}
	metrics_config_fini(&body);
	return r;
}

int put_serial(struct instance *in, const struct api_request *request,
	       struct api_reply *reply, struct err *e)
{
	struct serial_body body = {0};
	int r;

	(void)reply;
	if (serial_body_read(&body, request->json, e)) {
		r = bad_body(e);
	} else {
		r = instance_set_serial(in, &body, e);
		if (r)
			err_prefix(e, "Serial config error");
	}
	serial_body_fini(&body);
	return r;
}

/* ----------------------------------------------------------------- actions */

static int start(struct instance *in, struct err *e)
{
	if (!in->config.kernel)
		return err_set(e, "Start microvm error: Cannot start microvm "
				  "without kernel configuration.");
	return instance_start(in, e) ? err_prefix(e, "Start microvm error") : 0;
}

int put_actions(struct instance *in, const struct api_request *request,
		struct api_reply *reply, struct err *e)
{
	bool started = in->state != INSTANCE_NOT_STARTED;
	enum action action;

	(void)reply;
	if (action_read(&action, request->json, e))
		return bad_body(e);
	if (action == ACTION_STOP) {
		instance_stop(in);
		return 0;
	}
	if (in->load)
		return route_while_loading(e);
	if ((action == ACTION_INSTANCE_START) == started)
		return route_wrong_state(started, e);
	switch (action) {
	case ACTION_INSTANCE_START:
		return start(in, e);
	case ACTION_FLUSH_METRICS:
		return instance_flush_metrics(in, e)
			       ? err_prefix(e, "Internal VMM error")
			       : 0;
	default:
		vm_press_power(in->vm);
		return 0;
	}
}

int patch_vm(struct instance *in, const struct api_request *request,
	     struct api_reply *reply, struct err *e)
{
	struct vm_state_body body;
	int r;

	if (vm_state_read(&body, request->json, e))
		return bad_body(e);
	r = body.resume ? instance_resume(
				  in, body.has_clock ? &body.clock : NULL, e)
			: instance_pause(in, body.timeout_ms, e);
	if (r < 0)
		return err_prefix(e, "Internal VMM error");
	reply->deferred = r == INSTANCE_LATER;
	reply->task = INSTANCE_PAUSES;
	return 0;
}
