/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/bodies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"

#define FIELD(type, member, kind, required, max) \
	{#member, kind, required, max, offsetof(type, member)}

/* ------------------------------------------------------------- boot-source */

int boot_source_read(struct boot_source *body, const struct json_t *json,
		     struct err *e)
{
	static const struct json_field fields[] = {
		{"kernel_image_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct boot_source, kernel)},
		{"initrd_path", JSON_KIND_STRING, false, 0,
		 offsetof(struct boot_source, initrd)},
		{"boot_args", JSON_KIND_STRING, false, 0,
		 offsetof(struct boot_source, cmdline)},
		FIELD(struct boot_source, kaslr, JSON_KIND_BOOL, false, 0),
		FIELD(struct boot_source, raw, JSON_KIND_BOOL, false, 0),
		FIELD(struct boot_source, load_address, JSON_KIND_U64, false,
		      0),
		FIELD(struct boot_source, entry, JSON_KIND_U64, false, 0),
		FIELD(struct boot_source, fdt_high, JSON_KIND_BOOL, false, 0),
		FIELD(struct boot_source, share_files, JSON_KIND_BOOL, false,
		      0),
	};

	*body = (struct boot_source){
		.kaslr = true,
		.load_address = UINT64_MAX,
		.entry = UINT64_MAX,
	};
	if (json_read(json, fields, ARRAY_SIZE(fields), body, e))
		return -1;
	if (!body->load_address || !body->entry)
		return err_set(e,
			       "field `%s` must be in guest RAM, and 0 is not; "
			       "leave it out for the default",
			       body->entry ? "load_address" : "entry");
	return 0;
}

/* Check that the file can be opened.  @refusal: Firecracker's message. */
static int check_opens(const char *path, const char *refusal, struct err *e)
{
	/* O_NONBLOCK, so that a FIFO does not block us; boot rejects it. */
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return 0;
	return err_set(e, "%s: %s (os error %d): %.256s", refusal,
		       strerror(errno), errno, path);
}

static void replace(char **field, char **with)
{
	free(*field);
	*field = *with;
	*with = NULL;
}

/* An address of struct boot_source as struct vm_config has it. */
static uint64_t given(uint64_t address)
{
	return address == UINT64_MAX ? 0 : address;
}

int boot_source_apply(struct boot_source *body, struct vm_config *config,
		      struct err *e)
{
	struct vm_config probe = {.cmdline = body->cmdline};

	if (check_opens(body->kernel, "The kernel file cannot be opened", e))
		return -1;
	if (body->initrd &&
	    check_opens(body->initrd,
			"The initrd file cannot be opened due to invalid path "
			"or invalid permissions.",
			e))
		return -1;
	if (vm_config_check_cmdline(&probe, e))
		return err_prefix(e, "The kernel command line is invalid");
	replace(&config->kernel, &body->kernel);
	replace(&config->initrd, &body->initrd);
	replace(&config->cmdline, &body->cmdline);
	config->no_kaslr = !body->kaslr;
	config->fdt_high = body->fdt_high;
	config->share_files = body->share_files;
	config->raw = body->raw || body->load_address != UINT64_MAX ||
		      body->entry != UINT64_MAX;
	config->load_address = given(body->load_address);
	config->entry = given(body->entry);
	return 0;
}

void boot_source_fini(struct boot_source *body)
{
	free(body->kernel);
	free(body->initrd);
	free(body->cmdline);
	*body = (struct boot_source){0};
}

static void print_string(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	if (text)
		buf_json_string(out, text);
	else
		buf_text(out, "null");
}

void boot_source_print(const struct vm_config *config, struct buf *out)
{
	buf_text(out, "{\"kernel_image_path\":");
	/* Firecracker prints an empty path if none was given. */
	buf_json_string(out, config->kernel ? config->kernel : "");
	print_string(out, "initrd_path", config->initrd);
	print_string(out, "boot_args", config->cmdline);
	/* Not Firecracker's: printed only if they differ from the default. */
	if (config->no_kaslr)
		buf_text(out, ",\"kaslr\":false");
	if (config->fdt_high)
		buf_text(out, ",\"fdt_high\":true");
	if (config->share_files)
		buf_text(out, ",\"share_files\":true");
	if (config->raw)
		buf_text(out, ",\"raw\":true");
	if (config->load_address)
		buf_printf(out, ",\"load_address\":%llu",
			   (unsigned long long)config->load_address);
	if (config->entry)
		buf_printf(out, ",\"entry\":%llu",
			   (unsigned long long)config->entry);
	buf_text(out, "}");
}

/* ---------------------------------------------------------- machine-config */

void machine_config_init(struct machine_config *body,
			 const struct vm_config *config)
{
	*body = (struct machine_config){
		.vcpu_count = config->vcpu_count,
		.mem_size_mib = config->mem_mib,
		.clock = config->clock,
		.clock_given = config->clock_given,
		.track_dirty_pages = config->track_dirty,
		.nested = config->cpu[ARCH_NESTED] == ARCH_ON,
		.huge_pages = config->huge_pages,
	};
}

int huge_pages_read(enum guest_mem_pages *pages, const char *name,
		    struct err *e)
{
	unsigned index = *pages;

	if (name && json_variant(name, huge_pages_name, GUEST_MEM_PAGES_COUNT,
				 &index, e))
		return err_prefix(e, "huge_pages");
	*pages = (enum guest_mem_pages)index;
	return 0;
}

int machine_config_read(struct machine_config *body, const struct json_t *json,
			bool partial, struct err *e)
{
	const struct json_field fields[] = {
		FIELD(struct machine_config, vcpu_count, JSON_KIND_U64,
		      !partial, UINT8_MAX),
		FIELD(struct machine_config, mem_size_mib, JSON_KIND_U64,
		      !partial, INT32_MAX),
		FIELD(struct machine_config, smt, JSON_KIND_BOOL, false, 0),
		FIELD(struct machine_config, cpu_template, JSON_KIND_STRING,
		      false, 0),
		FIELD(struct machine_config, track_dirty_pages, JSON_KIND_BOOL,
		      false, 0),
		FIELD(struct machine_config, nested, JSON_KIND_BOOL, false, 0),
		{"huge_pages", JSON_KIND_STRING, false, 0,
		 offsetof(struct machine_config, huge_name)},
		{"clock", JSON_KIND_ANY, false, 0,
		 offsetof(struct machine_config, clock_json)},
	};

	if (!partial) {
		body->clock =
			(struct clock_config){.max_jump_ms = CLOCK_MAX_JUMP_MS};
		body->clock_given = false;
		body->track_dirty_pages = false;
		body->nested = false;
		body->huge_pages = GUEST_MEM_PLAIN;
	}
	if (json_read(json, fields, ARRAY_SIZE(fields), body, e) ||
	    huge_pages_read(&body->huge_pages, body->huge_name, e))
		return -1;
	if (!body->clock_json)
		return 0;
	body->clock_given = true;
	return clock_config_read(&body->clock, body->clock_json, e);
}

static int check_machine(const struct machine_config *m, struct err *e)
{
	if (m->vcpu_count < 1 || m->vcpu_count > ARCH_VCPUS_MAX)
		return err_set(
			e, "The number of vCPUs must be greater than 0, less "
			   "than 32 and must be 1 or an even number if SMT is "
			   "enabled.");
	if (!m->mem_size_mib)
		return err_set(e, "The memory size (MiB) is either 0, or not "
				  "a multiple of the configured page size.");
	if (m->smt)
		return err_set(e, "Enabling simultaneous multithreading is not "
				  "supported on aarch64.");
	if (m->cpu_template && strcmp(m->cpu_template, "None") != 0)
		return err_set(e, "this build has no CPU templates; leave "
				  "`cpu_template` out");
	return 0;
}

int machine_config_apply(const struct machine_config *body,
			 struct vm_config *config, struct err *e)
{
	struct vm_config wanted = *config;

	wanted.vcpu_count = (unsigned)body->vcpu_count;
	wanted.mem_mib = body->mem_size_mib;
	wanted.clock = body->clock;
	wanted.clock_given = body->clock_given;
	wanted.track_dirty = body->track_dirty_pages;
	wanted.huge_pages = body->huge_pages;
	wanted.cpu[ARCH_NESTED] = body->nested ? ARCH_ON : ARCH_AUTO;
	if (check_machine(body, e) || vm_config_check_machine(&wanted, e))
		return -1;
	if (wanted.has_balloon && wanted.balloon.amount_mib > wanted.mem_mib)
		return err_set(e, "The memory size (MiB) is smaller than the "
				  "previously set balloon device target size.");
	*config = wanted;
	return 0;
}

void machine_config_fini(struct machine_config *body)
{
	free(body->cpu_template);
	free(body->huge_name);
	body->cpu_template = body->huge_name = NULL;
}

void machine_config_print(const struct vm_config *config, struct buf *out)
{
	buf_printf(out,
		   "{\"vcpu_count\":%u,\"mem_size_mib\":%llu,\"smt\":false,"
		   "\"track_dirty_pages\":%s,\"huge_pages\":\"%s\"",
		   config->vcpu_count, (unsigned long long)config->mem_mib,
		   config->track_dirty ? "true" : "false",
		   huge_pages_name[config->huge_pages]);
	/* Not Firecracker's: printed only if they were given. */
	if (config->cpu[ARCH_NESTED] == ARCH_ON)
		buf_text(out, ",\"nested\":true");
	if (config->clock_given) {
		buf_text(out, ",\"clock\":");
		clock_config_print(&config->clock, out);
	}
	buf_text(out, "}");
}

/* ------------------------------------------- where the VMM itself writes to */

int logger_config_read(struct logger_config *body, const struct json_t *json,
		       struct err *e)
{
	static const struct json_field fields[] = {
		{"log_path", JSON_KIND_STRING, false, 0,
		 offsetof(struct logger_config, path)},
		{"level", JSON_KIND_STRING, false, 0,
		 offsetof(struct logger_config, level)},
		{"show_level", JSON_KIND_BOOL, false, 0,
		 offsetof(struct logger_config, show_level)},
		{"show_log_origin", JSON_KIND_BOOL, false, 0,
		 offsetof(struct logger_config, show_origin)},
		{"module", JSON_KIND_STRING, false, 0,
		 offsetof(struct logger_config, module)},
	};

	return json_read(json, fields, ARRAY_SIZE(fields), body, e);
}

void logger_config_fini(struct logger_config *body)
{
	free(body->path);
	free(body->level);
	free(body->module);
	*body = (struct logger_config){0};
}

int metrics_config_read(struct metrics_config *body, const struct json_t *json,
			struct err *e)
{
	static const struct json_field fields[] = {
		{"metrics_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct metrics_config, path)},
		{"emit_id", JSON_KIND_BOOL, false, 0,
		 offsetof(struct metrics_config, emit_id)},
		{"properties", JSON_KIND_STRINGS, false, 0,
		 offsetof(struct metrics_config, properties)},
		FIELD(struct metrics_config, firecracker_only, JSON_KIND_BOOL,
		      false, 0),
	};

	return json_read(json, fields, ARRAY_SIZE(fields), body, e);
}

void metrics_config_fini(struct metrics_config *body)
{
	free(body->path);
	free(body->properties);
	*body = (struct metrics_config){0};
}

static int serial_on_full_read(bool *waits, const char *text, struct err *e)
{
	*waits = text && !strcmp(text, "wait");
	if (!text || *waits || !strcmp(text, "drop"))
		return 0;
	return err_set(e,
		       "field `on_full`: unknown variant `%.40s`, expected "
		       "`drop` or `wait`",
		       text);
}

int serial_body_read(struct serial_body *body, const struct json_t *json,
		     struct err *e)
{
	struct raw {
		char *path, *on_full;
		const struct json_t *rate_limiter;
	} raw = {0};
	static const struct json_field fields[] = {
		{"serial_out_path", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, path)},
		{"rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, rate_limiter)},
		{"on_full", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, on_full)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	*body = (struct serial_body){.path = raw.path};
	if (!r)
		r = serial_on_full_read(&body->waits, raw.on_full, e);
	free(raw.on_full);
	if (!r && token_bucket_read(&body->limit, raw.rate_limiter, e))
		r = err_prefix(e, "field `rate_limiter`");
	return r;
}

void serial_body_fini(struct serial_body *body)
{
	free(body->path);
	body->path = NULL;
}

/* ----------------------------------------------------------------- requests */

int action_read(enum action *action, const struct json_t *json, struct err *e)
{
	static const char *const names[ACTION_COUNT] = {
		[ACTION_INSTANCE_START] = "InstanceStart",
		[ACTION_FLUSH_METRICS] = "FlushMetrics",
		[ACTION_SEND_CTRL_ALT_DEL] = "SendCtrlAltDel",
		[ACTION_STOP] = "Stop",
	};
	static const struct json_field field = {
		.name = "action_type",
		.kind = JSON_KIND_STRING,
		.required = true,
	};
	AUTO_FREE char *name = NULL;
	unsigned index;

	if (json_read(json, &field, 1, &name, e) ||
	    json_variant(name, names, ACTION_COUNT, &index, e))
		return -1;
	*action = (enum action)index;
	return 0;
}

enum {
	PAUSE_DEFAULT_MS = 30000, /* as long as Firecracker waits */
	PAUSE_MAX_MS = 3600000,
};

int vm_state_read(struct vm_state_body *body, const struct json_t *json,
		  struct err *e)
{
	static const char *const names[] = {"Paused", "Resumed"};
	const uint64_t absent = UINT64_MAX;
	struct raw {
		char *state;
		const struct json_t *clock;
		uint64_t timeout_ms;
	} raw = {.timeout_ms = absent};
	static const struct json_field fields[] = {
		{"state", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, state)},
		{"timeout_ms", JSON_KIND_U64, false, PAUSE_MAX_MS,
		 offsetof(struct raw, timeout_ms)},
		{"clock", JSON_KIND_ANY, false, 0, offsetof(struct raw, clock)},
	};
	unsigned index = 0;
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r)
		r = json_variant(raw.state, names, ARRAY_SIZE(names), &index,
				 e);
	free(raw.state);
	body->resume = index == 1;
	body->has_clock = raw.clock;
	body->timeout_ms = raw.timeout_ms == absent ? PAUSE_DEFAULT_MS
						    : (unsigned)raw.timeout_ms;
	if (!r && body->resume && raw.timeout_ms != absent)
		return err_set(e, "field `timeout_ms` says how long a pause "
				  "may take; leave it out when resuming");
	if (r || !raw.clock)
		return r;
	if (!body->resume)
		return err_set(e, "field `clock` says what a resume does; "
				  "leave it out when pausing");
	return clock_request_read(&body->clock, raw.clock, e);
}
