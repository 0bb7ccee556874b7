/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/snapshot_bodies.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "vmm/config/bodies.h"
#include "vmm/config/device_bodies.h"

/* ------------------------------------------------------------------- create */

/* File permissions in octal, as for chmod(1): 0001 to 0777. */
static int read_mode(unsigned *mode, const char *text, struct err *e)
{
	size_t len = strlen(text);

	if (len < 3 || len > 4 || strspn(text, "01234567") != len ||
	    strtoul(text, NULL, 8) > 0777 || !strtoul(text, NULL, 8))
		return err_set(
			e,
			"field `mode`: \"%.40s\" is not a mode of files; "
			"give one in octal, such as \"0640\"",
			text);
	*mode = (unsigned)strtoul(text, NULL, 8);
	return 0;
}

enum snapshot_type { TYPE_FULL, TYPE_DIFF, TYPE_STATE };

/* Without a memory file, or with a type that says so, the state alone: then the
 * name of a memory file is a placeholder. */
static int choose_memory(struct snapshot_create *body, unsigned type,
			 struct err *e)
{
	if (type == TYPE_DIFF && !body->memory_path)
		return err_set(e, "missing field `mem_file_path`: a `Diff` has "
				  "the memory that changed");
	body->diff = type == TYPE_DIFF;
	if (type != TYPE_STATE)
		return 0;
	free(body->memory_path);
	body->memory_path = NULL;
	return 0;
}

int snapshot_create_read(struct snapshot_create *body,
			 const struct json_t *json, struct err *e)
{
	static const char *const types[] = {"Full", "Diff", "VmstateOnly"};
	struct raw {
		char *state, *memory, *type, *mode;
		bool sync, details;
	} raw = {.sync = true, .details = true};
	static const struct json_field fields[] = {
		{"snapshot_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, state)},
		{"mem_file_path", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, memory)},
		{"snapshot_type", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, type)},
		{"mode", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, mode)},
		{"sync_snapshot_files", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw, sync)},
		{"host_details", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw, details)},
	};
	unsigned type = 0;
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r && raw.type)
		r = json_variant(raw.type, types, ARRAY_SIZE(types), &type, e);
	*body = (struct snapshot_create){
		.state_path = raw.state,
		.memory_path = raw.memory,
		.sync = raw.sync,
		.no_host_details = !raw.details,
	};
	if (!r)
		r = choose_memory(body, type, e);
	if (!r && raw.mode)
		r = read_mode(&body->mode, raw.mode, e);
	free(raw.mode);
	free(raw.type);
	return r;
}

void snapshot_create_fini(struct snapshot_create *body)
{
	free(body->state_path);
	free(body->memory_path);
	*body = (struct snapshot_create){0};
}

/* --------------------------------------------------------------------- load */

static int read_backend(struct snapshot_load *body, const struct json_t *json,
			struct err *e)
{
	static const char *const types[] = {
		[MEMORY_FILE] = "File",
		[MEMORY_EAGER] = "Eager",
		[MEMORY_UFFD] = "Uffd",
	};
	struct raw {
		char *path, *type;
	} raw = {0};
	static const struct json_field fields[] = {
		{"backend_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, path)},
		{"backend_type", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, type)},
	};
	unsigned type = 0;
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r)
		r = json_variant(raw.type, types, ARRAY_SIZE(types), &type, e);
	body->backend = (enum memory_backend)type;
	body->memory_path = raw.path;
	free(raw.type);
	return r ? err_prefix(e, "field `mem_backend`") : 0;
}

typedef int override_read_fn(struct host_override *o, const struct json_t *json,
			     struct err *e);

static int read_drive(struct host_override *o, const struct json_t *json,
		      struct err *e)
{
	static const struct json_field fields[] = {
		{"drive_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct host_override, id)},
		{"path_on_host", JSON_KIND_STRING, true, 0,
		 offsetof(struct host_override, place)},
	};

	return json_read(json, fields, ARRAY_SIZE(fields), o, e);
}

static int read_interface(struct host_override *o, const struct json_t *json,
			  struct err *e)
{
	struct raw {
		char *id, *place;
		const struct json_t *vhost;
	} raw = {0};
	static const struct json_field fields[] = {
		{"iface_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, id)},
		{"host_dev_name", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, place)},
		{"vhost", JSON_KIND_ANY, false, 0, offsetof(struct raw, vhost)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	o->id = raw.id;
	o->place = raw.place;
	o->vhost_chosen = raw.vhost;
	if (!r && raw.vhost && !json_bool(raw.vhost, &o->vhost))
		return err_set(e, "field `vhost`: expected true or false");
	return r;
}

static int read_overrides(struct host_override *list, unsigned *count,
			  unsigned max, const struct json_t *json,
			  override_read_fn *read, struct err *e)
{
	int n = json ? json_array_len(json) : 0;

	if (n < 0)
		return err_set(e, "expected an array");
	if ((unsigned)n > max)
		return err_set(e, "%d overrides are too many; at most %u", n,
			       max);
	for (unsigned i = 0; i < (unsigned)n; i++) {
		/* Count it first, so that it is freed even if read() fails. */
		*count = i + 1;
		if (read(&list[i], json_array_at(json, i), e))
			return err_prefix(e, "element %u", i);
	}
	return 0;
}

struct raw_load {
	char *state, *memory, *huge_pages;
	const struct json_t *backend, *network, *vsock, *drives, *clock,
		*strict, *guest_time;
	bool track, diff, resume, realtime, record;
};

static const struct json_field load_fields[] = {
	{"snapshot_path", JSON_KIND_STRING, true, 0,
	 offsetof(struct raw_load, state)},
	{"mem_file_path", JSON_KIND_STRING, false, 0,
	 offsetof(struct raw_load, memory)},
	{"mem_backend", JSON_KIND_ANY, false, 0,
	 offsetof(struct raw_load, backend)},
	{"track_dirty_pages", JSON_KIND_BOOL, false, 0,
	 offsetof(struct raw_load, track)},
	{"enable_diff_snapshots", JSON_KIND_BOOL, false, 0,
	 offsetof(struct raw_load, diff)},
	{"resume_vm", JSON_KIND_BOOL, false, 0,
	 offsetof(struct raw_load, resume)},
	{"network_overrides", JSON_KIND_ANY, false, 0,
	 offsetof(struct raw_load, network)},
	{"vsock_override", JSON_KIND_ANY, false, 0,
	 offsetof(struct raw_load, vsock)},
	{"drive_overrides", JSON_KIND_ANY, false, 0,
	 offsetof(struct raw_load, drives)},
	{"clock_realtime", JSON_KIND_BOOL, false, 0,
	 offsetof(struct raw_load, realtime)},
	{"clock", JSON_KIND_ANY, false, 0, offsetof(struct raw_load, clock)},
	{"realtime", JSON_KIND_ANY, false, 0,
	 offsetof(struct raw_load, guest_time)},
	{"huge_pages", JSON_KIND_STRING, false, 0,
	 offsetof(struct raw_load, huge_pages)},
	{"record_working_set", JSON_KIND_BOOL, false, 0,
	 offsetof(struct raw_load, record)},
	{"strict", JSON_KIND_ANY, false, 0, offsetof(struct raw_load, strict)},
};

static int read_memory(struct snapshot_load *body, struct raw_load *raw,
		       struct err *e)
{
	if (raw->memory && raw->backend)
		return err_set(e, "too many fields: either `mem_backend` or "
				  "`mem_file_path` exclusively is required");
	if (!raw->memory && !raw->backend)
		return err_set(e, "missing field: either `mem_backend` or "
				  "`mem_file_path` is required");
	if (raw->backend)
		return read_backend(body, raw->backend, e);
	body_take(&body->memory_path, &raw->memory);
	body->deprecated = true;
	return 0;
}

static int read_vsock(struct snapshot_load *body, const struct json_t *json,
		      struct err *e)
{
	static const struct json_field fields[] = {
		{"uds_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct snapshot_load, vsock_path)},
	};

	if (json_read(json, fields, ARRAY_SIZE(fields), body, e))
		return err_prefix(e, "field `vsock_override`");
	return 0;
}

static int read_clock(struct snapshot_load *body, const struct raw_load *raw,
		      struct err *e)
{
	if (raw->clock && raw->realtime)
		return err_set(e, "`clock` and `clock_realtime` say the same; "
				  "give one of them");
	body->has_clock = raw->clock || raw->realtime;
	body->clock = (struct clock_request){.policy = CLOCK_CONTINUOUS};
	body->realtime_chosen = raw->guest_time;
	if (raw->guest_time &&
	    realtime_read(&body->realtime, raw->guest_time, e))
		return -1;
	return raw->clock ? clock_request_read(&body->clock, raw->clock, e) : 0;
}

static int read_huge_pages(struct snapshot_load *body, const char *name,
			   struct err *e)
{
	body->huge_given = name && strcmp(name, "Snapshot") != 0;
	return body->huge_given ? huge_pages_read(&body->huge_pages, name, e)
				: 0;
}

int snapshot_load_check(const struct snapshot_load *body, struct err *e)
{
	if (body->record_working_set && body->backend != MEMORY_FILE)
		return err_set(e,
			       "a working set is recorded of a memory file "
			       "that is mapped: %s; use `File`, or leave "
			       "out `record_working_set`",
			       body->backend == MEMORY_EAGER
				       ? "`Eager` reads all of it"
				       : "of `Uffd`, the page server knows it");
	return 0;
}

static int read_all(struct snapshot_load *body, struct raw_load *raw,
		    struct err *e)
{
	body_take(&body->state_path, &raw->state);
	body->resume = raw->resume;
	body->track_dirty = raw->track || raw->diff;
	body->record_working_set = raw->record;
	body->strict_given = raw->strict;
	if (raw->strict && !json_bool(raw->strict, &body->strict))
		return err_set(e, "field `strict`: expected true or false");
	if (read_memory(body, raw, e) || read_clock(body, raw, e) ||
	    snapshot_load_check(body, e) ||
	    read_huge_pages(body, raw->huge_pages, e))
		return -1;
	if (read_overrides(body->network, &body->network_count,
			   VM_INTERFACES_MAX, raw->network, read_interface, e))
		return err_prefix(e, "field `network_overrides`");
	if (read_overrides(body->drive, &body->drive_count, HOST_OVERRIDES_MAX,
			   raw->drives, read_drive, e))
		return err_prefix(e, "field `drive_overrides`");
	return raw->vsock ? read_vsock(body, raw->vsock, e) : 0;
}

int snapshot_load_read(struct snapshot_load *body, const struct json_t *json,
		       struct err *e)
{
	struct raw_load raw = {0};
	int r;

	*body = (struct snapshot_load){0};
	r = json_read(json, load_fields, ARRAY_SIZE(load_fields), &raw, e);
	if (!r)
		r = read_all(body, &raw, e);
	body->deprecated |= raw.diff;
	free(raw.state);
	free(raw.memory);
	free(raw.huge_pages);
	return r;
}

static void fini_overrides(struct host_override *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		free(list[i].id);
		free(list[i].place);
	}
}

void snapshot_load_fini(struct snapshot_load *body)
{
	free(body->state_path);
	free(body->memory_path);
	free(body->vsock_path);
	fini_overrides(body->network, body->network_count);
	fini_overrides(body->drive, body->drive_count);
	*body = (struct snapshot_load){0};
}

/* ---------------------------------------------------------------- overrides */

static int override_drives(struct snapshot_load *body, struct vm_config *config,
			   struct err *e)
{
	for (unsigned i = 0; i < body->drive_count; i++) {
		struct host_override *o = &body->drive[i];
		struct drive_config *drive = vm_config_drive(config, o->id);

		if (!drive)
			return err_set(e, "the snapshot has no drive \"%.64s\"",
				       o->id);
		free(drive->block.path);
		body_take(&drive->block.path, &o->place);
	}
	return 0;
}

static int override_network(struct snapshot_load *body,
			    struct vm_config *config, struct err *e)
{
	for (unsigned i = 0; i < body->network_count; i++) {
		struct host_override *o = &body->network[i];
		struct interface_config *found = NULL;

		for (unsigned n = 0; n < config->interface_count; n++) {
			if (!strcmp(config->interface[n].net.id, o->id))
				found = &config->interface[n];
		}
		if (!found)
			return err_set(e, "Unknown Network Device.");
		free(found->net.tap);
		body_take(&found->net.tap, &o->place);
		found->vhost_chosen = o->vhost_chosen;
		found->vhost = o->vhost;
	}
	return 0;
}

int snapshot_load_override(struct snapshot_load *body, struct vm_config *config,
			   struct err *e)
{
	if (body->huge_given)
		config->huge_pages = body->huge_pages;
	if (vm_config_check_machine(config, e) ||
	    override_network(body, config, e) ||
	    override_drives(body, config, e))
		return -1;
	config->realtime_chosen = body->realtime_chosen;
	if (body->realtime_chosen)
		config->clock.realtime = body->realtime;
	if (config->huge_pages == GUEST_MEM_2M && body->record_working_set)
		return err_set(e, "a working set is read ahead from a disk, "
				  "and huge pages are in memory already; leave "
				  "out `record_working_set`");
	if (!body->vsock_path)
		return 0;
	if (!config->vsock.uds_path)
		return err_set(e, "Unknown Vsock Device.");
	free(config->vsock.uds_path);
	body_take(&config->vsock.uds_path, &body->vsock_path);
	return 0;
}

bool snapshot_load_overrides_drive(const struct snapshot_load *body,
				   const char *id)
{
	for (unsigned i = 0; i < body->drive_count; i++) {
		if (!strcmp(body->drive[i].id, id))
			return true;
	}
	return false;
}
