/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of drives and entropy, and what several devices share. */
#include "vmm/config/device_bodies.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "devices/virtio/block/block.h"
#include "vmm/config/bodies.h"

/* ------------------------------------------------------------ rate limiters */

int token_bucket_read(struct token_bucket_config *bucket,
		      const struct json_t *json, struct err *e)
{
	static const struct json_field fields[] = {
		{"size", JSON_KIND_U64, true, 0,
		 offsetof(struct token_bucket_config, size)},
		{"refill_time", JSON_KIND_U64, true, 0,
		 offsetof(struct token_bucket_config, refill_time_ms)},
		{"one_time_burst", JSON_KIND_U64, false, 0,
		 offsetof(struct token_bucket_config, one_time_burst)},
	};

	return json ? json_read(json, fields, ARRAY_SIZE(fields), bucket, e)
		    : 0;
}

int limiter_read(struct limiter_patch *body, const char *field,
		 const struct json_t *json, struct err *e)
{
	struct raw {
		const struct json_t *bandwidth, *ops;
	} raw = {0};
	static const struct json_field fields[] = {
		{"bandwidth", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, bandwidth)},
		{"ops", JSON_KIND_ANY, false, 0, offsetof(struct raw, ops)},
	};

	if (!json)
		return 0;
	if (json_read(json, fields, ARRAY_SIZE(fields), &raw, e) ||
	    token_bucket_read(&body->limiter.bandwidth, raw.bandwidth, e) ||
	    token_bucket_read(&body->limiter.ops, raw.ops, e))
		return err_prefix(e, "field `%s`", field);
	body->has_bandwidth = raw.bandwidth;
	body->has_ops = raw.ops;
	return 0;
}

static void print_bucket(const struct token_bucket_config *bucket,
			 struct buf *out)
{
	if (!token_bucket_config_limits(bucket)) {
		buf_text(out, "null");
		return;
	}
	buf_printf(out,
		   bucket->one_time_burst
			   ? "{\"size\":%llu,\"refill_time\":%llu,"
			     "\"one_time_burst\":%llu}"
			   : "{\"size\":%llu,\"refill_time\":%llu,"
			     "\"one_time_burst\":null}",
		   (unsigned long long)bucket->size,
		   (unsigned long long)bucket->refill_time_ms,
		   (unsigned long long)bucket->one_time_burst);
}

void limiter_print(const struct rate_limiter_config *limiter, struct buf *out)
{
	if (!rate_limiter_config_limits(limiter)) {
		buf_text(out, "null");
		return;
	}
	buf_text(out, "{\"bandwidth\":");
	print_bucket(&limiter->bandwidth, out);
	buf_text(out, ",\"ops\":");
	print_bucket(&limiter->ops, out);
	buf_text(out, "}");
}

struct rate_limiter_update limiter_update(const struct limiter_patch *patch)
{
	return (struct rate_limiter_update){
		.bandwidth =
			patch->has_bandwidth ? &patch->limiter.bandwidth : NULL,
		.ops = patch->has_ops ? &patch->limiter.ops : NULL,
	};
}

void limiter_apply(const struct limiter_patch *patch,
		   struct rate_limiter_config *limiter)
{
	if (patch->has_bandwidth)
		limiter->bandwidth = patch->limiter.bandwidth;
	if (patch->has_ops)
		limiter->ops = patch->limiter.ops;
}

const char body_other_id[] =
	"The id from the path does not match the id from the body!";

int body_check_id(const char *body, const char *path, struct err *e)
{
	if (!path)
		return vm_config_check_id(body, e);
	if (!strcmp(body, path))
		return 0;
	return err_set(e, "%s", body_other_id);
}

/* ------------------------------------------------------------------- drives */

struct raw_drive {
	char *id, *path, *partuuid, *cache, *engine, *socket;
	bool root, read_only;
	const struct json_t *limiter;
};

/* @text is one of two @names, or NULL for the first. */
static int choose(bool *second, const char *text, const char *const names[2],
		  const char *field, struct err *e)
{
	unsigned index = 0;

	if (text && json_variant(text, names, 2, &index, e))
		return err_prefix(e, "field `%s`", field);
	*second = index;
	return 0;
}

static int check_drive(struct drive_config *body, const struct raw_drive *raw,
		       const char *id, struct err *e)
{
	static const char *const caches[] = {"Unsafe", "Writeback"};
	static const char *const engines[] = {"Sync", "Async"};
	struct limiter_patch limiter = {0};

	if (body_check_id(raw->id, id, e) ||
	    choose(&body->block.writeback, raw->cache, caches, "cache_type",
		   e) ||
	    choose(&body->block.async, raw->engine, engines, "io_engine", e) ||
	    limiter_read(&limiter, "rate_limiter", raw->limiter, e))
		return -1;
	body->block.limiter = limiter.limiter;
	if (raw->socket)
		return err_set(e, "this build does not support `socket` "
				  "(vhost-user); give `path_on_host`");
	if (!raw->path)
		return err_set(e, "missing field `path_on_host`");
	return 0;
}

void body_take(char **to, char **from)
{
	*to = *from;
	*from = NULL;
}

int drive_read(struct drive_config *body, const struct json_t *json,
	       const char *id, struct err *e)
{
	static const struct json_field fields[] = {
		{"drive_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw_drive, id)},
		{"is_root_device", JSON_KIND_BOOL, true, 0,
		 offsetof(struct raw_drive, root)},
		{"path_on_host", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_drive, path)},
		{"is_read_only", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw_drive, read_only)},
		{"partuuid", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_drive, partuuid)},
		{"cache_type", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_drive, cache)},
		{"rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw_drive, limiter)},
		{"io_engine", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_drive, engine)},
		{"socket", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_drive, socket)},
	};
	struct raw_drive raw = {0};
	int r;

	*body = (struct drive_config){0};
	r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);
	if (!r)
		r = check_drive(body, &raw, id, e);
	body->root = raw.root;
	body->block.read_only = raw.read_only;
	body_take(&body->block.id, &raw.id);
	body_take(&body->block.path, &raw.path);
	body_take(&body->partuuid, &raw.partuuid);
	free(raw.cache);
	free(raw.engine);
	free(raw.socket);
	if (r)
		drive_config_fini(body);
	return r;
}

int drive_apply(struct drive_config *body, struct vm_config *config,
		struct err *e)
{
	if (body->partuuid && strlen(body->partuuid) > 64)
		return err_set(e, "`partuuid` is longer than 64 characters");
	if (block_check(&body->block, e))
		return err_prefix(e, "Unable to create the virtio block "
				     "device");
	return vm_config_put_drive(config, body, e);
}

void body_print_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	if (text)
		buf_json_string(out, text);
	else
		buf_text(out, "null");
}

void drives_print(const struct vm_config *config, struct buf *out)
{
	buf_text(out, "[");
	for (unsigned i = 0; i < config->drive_count; i++) {
		const struct drive_config *d = &config->drive[i];

		buf_text(out, i ? ",{\"drive_id\":" : "{\"drive_id\":");
		buf_json_string(out, d->block.id);
		body_print_text(out, "partuuid", d->partuuid);
		buf_printf(out,
			   ",\"is_root_device\":%s,\"cache_type\":\"%s\","
			   "\"is_read_only\":%s",
			   d->root ? "true" : "false",
			   d->block.writeback ? "Writeback" : "Unsafe",
			   d->block.read_only ? "true" : "false");
		body_print_text(out, "path_on_host", d->block.path);
		buf_text(out, ",\"rate_limiter\":");
		limiter_print(&d->block.limiter, out);
		buf_printf(out, ",\"io_engine\":\"%s\",\"socket\":null}",
			   d->block.async ? "Async" : "Sync");
	}
	buf_text(out, "]");
}

int drive_patch_read(struct drive_patch *body, const struct json_t *json,
		     const char *id, struct err *e)
{
	struct raw {
		char *id, *path;
		const struct json_t *limiter;
	} raw = {0};
	static const struct json_field fields[] = {
		{"drive_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, id)},
		{"path_on_host", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, path)},
		{"rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, limiter)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	*body = (struct drive_patch){
		.id = raw.id,
		.path = raw.path,
		.has_limits = raw.limiter,
	};
	if (!r)
		r = body_check_id(body->id, id, e);
	if (!r)
		r = limiter_read(&body->limits, "rate_limiter", raw.limiter, e);
	if (r)
		drive_patch_fini(body);
	return r;
}

void drive_patch_fini(struct drive_patch *body)
{
	free(body->id);
	free(body->path);
	*body = (struct drive_patch){0};
}

/* ------------------------------------------------------------------ entropy */

int entropy_read(struct rng_config *body, const struct json_t *json,
		 struct err *e)
{
	const struct json_t *limiter = NULL;
	struct limiter_patch limits = {0};
	static const struct json_field field = {
		.name = "rate_limiter",
		.kind = JSON_KIND_ANY,
	};

	*body = (struct rng_config){0};
	if (json_read(json, &field, 1, (void *)&limiter, e) ||
	    limiter_read(&limits, field.name, limiter, e))
		return -1;
	body->limiter = limits.limiter;
	return 0;
}

int entropy_apply(const struct rng_config *body, struct vm_config *config,
		  struct err *e)
{
	(void)e;
	config->has_entropy = true;
	config->entropy = *body;
	return 0;
}

void entropy_print(const struct vm_config *config, struct buf *out)
{
	if (!config->has_entropy) {
		buf_text(out, "null");
		return;
	}
	buf_text(out, "{\"rate_limiter\":");
	limiter_print(&config->entropy.limiter, out);
	buf_text(out, "}");
}
