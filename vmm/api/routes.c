/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/routes.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/api/handlers.h"
#include "vmm/config/body_table.h"
#include "vmm/instance/instance.h"

/* ----------------------------------------------------------------- counters */

struct calls {
	uint64_t count, fails;
};

/* With the kind of metric: what Firecracker counts, and what it does not. */
#define CALLS_GET(X)                      \
	X(METRIC_COUNTER, instance_info)  \
	X(METRIC_COUNTER, machine_cfg)    \
	X(METRIC_COUNTER, vmm_version)    \
	X(METRIC_COUNTER, mmds)           \
	X(METRIC_COUNTER, hotplug_memory) \
	X(METRIC_EXTRA, balloon)          \
	X(METRIC_EXTRA, vm_config)        \
	X(METRIC_EXTRA, metrics)          \
	X(METRIC_EXTRA, events)           \
	X(METRIC_EXTRA, clock)            \
	X(METRIC_EXTRA, stasis)
#define CALLS_PUT(X)                      \
	X(METRIC_COUNTER, actions)        \
	X(METRIC_COUNTER, boot_source)    \
	X(METRIC_COUNTER, drive)          \
	X(METRIC_COUNTER, logger)         \
	X(METRIC_COUNTER, machine_cfg)    \
	X(METRIC_COUNTER, cpu_cfg)        \
	X(METRIC_COUNTER, metrics)        \
	X(METRIC_COUNTER, network)        \
	X(METRIC_COUNTER, mmds)           \
	X(METRIC_COUNTER, vsock)          \
	X(METRIC_COUNTER, pmem)           \
	X(METRIC_COUNTER, serial)         \
	X(METRIC_COUNTER, hotplug_memory) \
	X(METRIC_EXTRA, entropy)          \
	X(METRIC_EXTRA, balloon)          \
	X(METRIC_EXTRA, snapshot)
#define CALLS_PATCH(X)                    \
	X(METRIC_COUNTER, drive)          \
	X(METRIC_COUNTER, network)        \
	X(METRIC_COUNTER, machine_cfg)    \
	X(METRIC_COUNTER, mmds)           \
	X(METRIC_COUNTER, pmem)           \
	X(METRIC_COUNTER, hotplug_memory) \
	X(METRIC_EXTRA, vm)               \
	X(METRIC_EXTRA, balloon)

/* NOLINTBEGIN(bugprone-macro-parentheses): names of members */
#define MEMBER(kind, name) struct calls name;
static struct {
	struct get_calls {
		CALLS_GET(MEMBER)
	} get;
	struct put_calls {
		CALLS_PUT(MEMBER)
	} put;
	struct patch_calls {
		CALLS_PATCH(MEMBER)
	} patch;
	struct deprecated_calls {
		uint64_t deprecated_http_api_calls;
	} deprecated;
	struct calls other;
} calls;

#define COUNT(kind, type, name) \
	{#name "_count", kind, offsetof(struct type, name.count)},
#define COUNT_GET(kind, name) COUNT(kind, get_calls, name)
#define COUNT_BOTH(kind, type, name)                  \
	COUNT(kind, type, name){#name "_fails", kind, \
				offsetof(struct type, name.fails)},
#define COUNT_PUT(kind, name)   COUNT_BOTH(kind, put_calls, name)
#define COUNT_PATCH(kind, name) COUNT_BOTH(kind, patch_calls, name)

/* NOLINTEND(bugprone-macro-parentheses) */

static const struct metric get_table[] = {CALLS_GET(COUNT_GET)};
static const struct metric put_table[] = {CALLS_PUT(COUNT_PUT)};
static const struct metric patch_table[] = {CALLS_PATCH(COUNT_PATCH)};
static const struct metric deprecated_table[] = {
	METRIC(struct deprecated_calls, deprecated_http_api_calls),
};

static struct metrics_group groups[] = {
	{.name = "get_api_requests",
	 .metric = get_table,
	 .count = ARRAY_SIZE(get_table),
	 .base = &calls.get},
	{.name = "put_api_requests",
	 .metric = put_table,
	 .count = ARRAY_SIZE(put_table),
	 .base = &calls.put},
	{.name = "patch_api_requests",
	 .metric = patch_table,
	 .count = ARRAY_SIZE(patch_table),
	 .base = &calls.patch},
	{.name = "deprecated_api",
	 .metric = deprecated_table,
	 .count = ARRAY_SIZE(deprecated_table),
	 .base = &calls.deprecated},
};

void routes_init(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_add(&groups[i]);
}

void routes_fini(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_remove(&groups[i]);
}

/* ------------------------------------------------------------------- routes */

/*
 * In which state a route is valid.  PRE: before the start.  BOOT: as PRE, and
 * it configures the VM, after which no snapshot can be loaded.  POST: after the
 * start.  POST_LAX: without a body, too.
 */
enum when { ANY, PRE, BOOT, POST, POST_LAX };

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): to be read */
struct route {
	enum http_method method;
	const char *path; /* without the first '/'; '*' stands for an id */
	enum when when;
	api_handler *handler; /* NULL: not supported by this build */
	struct calls *calls;
	const struct body_kind *kind; /* for put_body() */
};

#define GET   HTTP_METHOD_GET
#define PUT   HTTP_METHOD_PUT
#define PATCH HTTP_METHOD_PATCH
#define DEL   HTTP_METHOD_DELETE

static const struct route routes[] = {
	{GET, "", ANY, get_instance, &calls.get.instance_info, NULL},
	{GET, "version", ANY, get_version, &calls.get.vmm_version, NULL},
	{PUT, "actions", ANY, put_actions, &calls.put.actions, NULL},
	{GET, "balloon", ANY, get_balloon, &calls.get.balloon, NULL},
	{PUT, "balloon", BOOT, put_body, &calls.put.balloon, &body_balloon},
	{PATCH, "balloon", POST, patch_balloon, &calls.patch.balloon, NULL},
	{GET, "balloon/statistics", POST, get_balloon_stats, &calls.get.balloon,
	 NULL},
	{PATCH, "balloon/statistics", POST, patch_balloon_stats,
	 &calls.patch.balloon, NULL},
	{PATCH, "balloon/hinting/start", POST_LAX, start_hinting,
	 &calls.patch.balloon, NULL},
	{GET, "balloon/hinting/status", POST, get_hinting, &calls.get.balloon,
	 NULL},
	{PATCH, "balloon/hinting/stop", POST_LAX, stop_hinting,
	 &calls.patch.balloon, NULL},
	{PUT, "boot-source", BOOT, put_body, &calls.put.boot_source,
	 &body_boot_source},
	{GET, "clock", POST, get_clock, &calls.get.clock, NULL},
	{PUT, "cpu-config", PRE, put_body, &calls.put.cpu_cfg,
	 &body_cpu_config},
	{PUT, "drives/*", BOOT, put_body, &calls.put.drive, &body_drives},
	{PATCH, "drives/*", POST, patch_drive, &calls.patch.drive, NULL},
	{DEL, "drives/*", POST, NULL, &calls.other, NULL},
	{PUT, "entropy", BOOT, put_body, &calls.put.entropy, &body_entropy},
	{GET, "events", ANY, get_events, &calls.get.events, NULL},
	{GET, "hotplug/memory", POST, NULL, &calls.get.hotplug_memory, NULL},
	{PUT, "hotplug/memory", BOOT, NULL, &calls.put.hotplug_memory, NULL},
	{PATCH, "hotplug/memory", POST, NULL, &calls.patch.hotplug_memory,
	 NULL},
	{PUT, "logger", PRE, put_logger, &calls.put.logger, NULL},
	{GET, "machine-config", ANY, get_machine_config, &calls.get.machine_cfg,
	 NULL},
	{PUT, "machine-config", BOOT, put_machine_config,
	 &calls.put.machine_cfg, NULL},
	{PATCH, "machine-config", BOOT, patch_machine_config,
	 &calls.patch.machine_cfg, NULL},
	{GET, "metrics", ANY, get_metrics, &calls.get.metrics, NULL},
	{PUT, "metrics", PRE, put_metrics, &calls.put.metrics, NULL},
	{GET, "mmds", ANY, get_mmds, &calls.get.mmds, NULL},
	{PUT, "mmds", ANY, put_mmds, &calls.put.mmds, NULL},
	{PATCH, "mmds", ANY, patch_mmds, &calls.patch.mmds, NULL},
	{PUT, "mmds/config", BOOT, put_body, &calls.put.mmds, &body_mmds},
	{PUT, "network-interfaces/*", BOOT, put_body, &calls.put.network,
	 &body_interfaces},
	{PATCH, "network-interfaces/*", POST, patch_interface,
	 &calls.patch.network, NULL},
	{DEL, "network-interfaces/*", POST, NULL, &calls.other, NULL},
	{PUT, "pmem/*", BOOT, NULL, &calls.put.pmem, NULL},
	{PATCH, "pmem/*", POST, NULL, &calls.patch.pmem, NULL},
	{DEL, "pmem/*", POST, NULL, &calls.other, NULL},
	{PUT, "serial", PRE, put_serial, &calls.put.serial, NULL},
	{PUT, "snapshot/create", POST, put_snapshot_create, &calls.put.snapshot,
	 NULL},
	{PUT, "snapshot/load", PRE, put_snapshot_load, &calls.put.snapshot,
	 NULL},
	{PATCH, "vm", POST, patch_vm, &calls.patch.vm, NULL},
	{GET, "vm/config", ANY, get_vm_config, &calls.get.vm_config, NULL},
	{GET, "stasis", ANY, get_stasis, &calls.get.stasis, NULL},
	{PUT, "vsock", BOOT, put_body, &calls.put.vsock, &body_vsock},
};

static size_t token_len(const char *path)
{
	return strcspn(path, "/");
}

/* The next token, or the end; a trailing '/' is skipped. */
static const char *next_token(const char *path)
{
	path += token_len(path);
	return *path ? path + 1 : path;
}

/* True if all of @path matches; read_id() rejects a missing id. */
static bool matches(const char *pattern, const char *path)
{
	do {
		size_t n = token_len(pattern);

		if (*pattern != '*' &&
		    (n != token_len(path) || strncmp(pattern, path, n) != 0))
			return false;
		pattern = next_token(pattern);
		path = next_token(path);
	} while (*pattern);
	return !*path;
}

static bool has_route(const struct body_kind *kind)
{
	for (unsigned i = 0; i < ARRAY_SIZE(routes); i++) {
		if (routes[i].kind == kind)
			return true;
	}
	return false;
}

/* PUT of a part of the VM that no route names, in @out. */
static const struct route *find_part(const char *path, struct route *out)
{
	for (const struct body_part *part = body_parts; body_part_name(part);
	     part++) {
		const struct body_kind *kind = part->kind;

		if (!kind || kind->is_list || has_route(kind) ||
		    !matches(kind->name, path))
			continue;
		*out = (struct route){PUT,      kind->name,   BOOT,
				      put_body, &calls.other, kind};
		return out;
	}
	return NULL;
}

static const struct route *find(enum http_method method, const char *path,
				struct route *part)
{
	for (unsigned i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];

		if (r->method != method || *r->path != *path)
			continue; /* skips most routes cheaply */
		if (matches(r->path, path))
			return r;
	}
	return method == PUT ? find_part(path, part) : NULL;
}

/* ----------------------------------------------------------------- handling */

int route_wrong_state(bool started, struct err *e)
{
	return err_set(e,
		       "The requested operation is not supported %s starting "
		       "the microVM.",
		       started ? "after" : "before");
}

int route_while_loading(struct err *e)
{
	return err_set(e, "a snapshot is being loaded, whose memory the page "
			  "server has not served yet; wait for it, or stop");
}

static int check_state(const struct route *route, const struct instance *in,
		       struct err *e)
{
	bool started = in->state != INSTANCE_NOT_STARTED;

	if (in->load && route->when != ANY)
		return route_while_loading(e);
	if (route->when == ANY || (route->when >= POST) == started)
		return 0;
	return route_wrong_state(started, e);
}

/* Copy the id in the path, if the route has one, to @out. */
static int read_id(const struct route *route, const char *path, char *out,
		   struct err *e)
{
	const char *star = strchr(route->path, '*');
	const char *id = next_token(path);
	size_t len = token_len(id);

	if (!star)
		return 0;
	if (!len)
		return err_set(e, "The ID cannot be empty.");
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)id[i]) && id[i] != '_')
			return err_set(e, "API Resource IDs can only contain "
					  "alphanumeric characters and "
					  "underscores.");
	}
	if (len > VM_ID_MAX)
		return err_set(e, "the ID is longer than %d characters",
			       VM_ID_MAX);
	memcpy(out, id, len);
	return 0;
}

static int check_body(const struct route *route, enum http_method method,
		      const char *body, struct err *e)
{
	if (method == GET && body)
		return err_set(e, "GET request cannot have a body.");
	if ((method == PUT || method == PATCH) && !body &&
	    !(route && route->when == POST_LAX))
		return err_set(e, "Empty %s request.",
			       http_method_name[method]);
	return 0;
}

static int not_in_this_build(const struct route *route, struct err *e)
{
	return err_set(e,
		       "The requested operation is not supported: this build "
		       "does not support %s /%s",
		       http_method_name[route->method], route->path);
}

static int call(const struct route *route, struct instance *in,
		const char *path, const char *body, size_t len,
		struct api_reply *reply, struct err *e)
{
	struct api_request request = {.path = path, .kind = route->kind};
	struct json_t *document = NULL;
	int r;

	if (read_id(route, path, request.id, e) || check_state(route, in, e))
		return -1;
	if (body) {
		document = json_parse(body, len, e);
		if (!document)
			return bad_body(e);
	}
	request.json = document;
	r = route->handler ? route->handler(in, &request, reply, e)
			   : not_in_this_build(route, e);
	json_free(document);
	if (!r && route->when == BOOT)
		in->configured = true;
	return r;
}

static void log_request(enum http_method method, const char *path,
			const char *body)
{
	static const char *const names[] = {[GET] = "Get",
					    [PUT] = "Put",
					    [PATCH] = "Patch",
					    [DEL] = "Delete"};

	if (body && strncmp(path + strspn(path, "/"), "mmds", 4) != 0)
		log_info("The API server received a %s request on \"%.256s\" "
			 "with body \"%s\".",
			 names[method], path, body);
	else
		log_info("The API server received a %s request on \"%.256s\".",
			 names[method], path);
}

/* Its words are Firecracker's, whose tests look for them. */
static void log_deprecated(enum http_method method, const char *path,
			   const char *what)
{
	metric_add(&calls.deprecated.deprecated_http_api_calls, 1);
	log_warn("%s /%.256s: %s deprecated.", http_method_name[method], path,
		 what);
}

static uint64_t now_us(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000;
}

static void log_duration(const struct api_reply *reply)
{
	log_debug("Total previous API call duration: %llu us.",
		  (unsigned long long)(now_us() - reply->began_us));
}

static void refuse(struct api_reply *reply, const struct err *e)
{
	buf_free(&reply->body);
	buf_text(&reply->body, "{\"fault_message\":");
	buf_json_string(&reply->body, e->text);
	buf_text(&reply->body, "}");
	if (!reply->status)
		reply->status = 400;
	log_error("Received Error. Status code: %s. Message: %s",
		  reply->status == 400 ? "400 Bad Request"
				       : "413 Payload too large",
		  e->text);
	log_duration(reply);
}

static void succeed(struct api_reply *reply)
{
	reply->status = reply->body.len || reply->stream ? 200 : 204;
	log_info("The request was executed successfully. Status code: %s.",
		 reply->status == 200 ? "200 OK" : "204 No Content");
	log_duration(reply);
}

void routes_handle(struct instance *in, enum http_method method,
		   const char *path, const char *body, size_t len,
		   struct api_reply *reply)
{
	/* Some clients join a base URL and a path with several slashes. */
	const char *tokens = path + strspn(path, "/");
	struct route part;
	const struct route *route = find(method, tokens, &part);
	struct calls *count = route ? route->calls : &calls.other;
	struct err e = {0};
	int r = check_body(route, method, body, &e);

	reply->began_us = now_us();
	log_request(method, path, body);
	metric_add(&count->count, 1);
	if (!r && !route)
		r = err_set(&e,
			    "Invalid request method and/or path: %s %.256s.",
			    http_method_name[method], tokens);
	if (!r && route)
		r = call(route, in, tokens, body, len, reply, &e);
	if (!r && reply->body.failed)
		r = err_set(&e, "There is no memory for the reply.");
	if (r) {
		metric_add(&count->fails, 1);
		refuse(reply, &e);
	} else if (!reply->deferred) {
		succeed(reply);
	}
	if (reply->deprecated)
		log_deprecated(method, tokens, reply->deprecated);
}

void routes_complete(const struct instance *in, int result, const struct err *e,
		     struct api_reply *reply)
{
	static const struct {
		const char *prefix;
		struct calls *calls;
	} tasks[INSTANCE_TASKS] = {
		[INSTANCE_SNAPSHOTS] = {"Create snapshot error",
					&calls.put.snapshot},
		[INSTANCE_PAUSES] = {"Internal VMM error", &calls.patch.vm},
		[INSTANCE_LOADS] = {"Load snapshot error", &calls.put.snapshot},
	};
	const enum instance_task task = reply->task;
	struct err why;

	if (!result) {
		if (task == INSTANCE_LOADS)
			reply_loaded(in, reply);
		succeed(reply);
		return;
	}
	why = *e;
	err_prefix(&why, "%s", tasks[task].prefix);
	metric_add(&tasks[task].calls->fails, 1);
	refuse(reply, &why);
}
