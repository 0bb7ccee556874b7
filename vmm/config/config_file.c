/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/config_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/json/json.h"

typedef int (*section_reader)(struct config_file *file,
			      const struct json_t *value, struct err *e);

/* ---------------------------------------------------------------- sections */

static int read_boot_source(struct config_file *file,
			    const struct json_t *value, struct err *e)
{
	struct boot_source body = {0};
	int r = boot_source_read(&body, value, e);

	if (!r)
		r = boot_source_apply(&body, &file->vm, e);
	boot_source_fini(&body);
	return r;
}

static int read_machine(struct config_file *file, const struct json_t *value,
			struct err *e)
{
	struct machine_config body;
	int r;

	machine_config_init(&body, &file->vm);
	r = machine_config_read(&body, value, false, e);
	if (!r)
		r = machine_config_apply(&body, &file->vm, e);
	machine_config_fini(&body);
	return r;
}

/* Given in place, or as the path of a file that has it. */
static int read_cpu(struct config_file *file, const struct json_t *value,
		    struct err *e)
{
	const char *path = json_text(value);
	AUTO_FREE char *text = NULL;
	struct json_t *document = NULL;
	struct cpu_config body;
	size_t len;
	int r;

	if (path) {
		text = io_read_file(path, CONFIG_FILE_MAX, &len, e);
		document = text ? json_parse(text, len, e) : NULL;
		if (!document)
			return err_prefix(e, "%.256s", path);
		value = document;
	}
	r = cpu_config_read(&body, value, e);
	if (!r)
		r = cpu_config_apply(&body, &file->vm, e);
	json_free(document);
	return r;
}

static int read_logger(struct config_file *file, const struct json_t *value,
		       struct err *e)
{
	return logger_config_read(&file->logger, value, e);
}

static int read_metrics(struct config_file *file, const struct json_t *value,
			struct err *e)
{
	return metrics_config_read(&file->metrics, value, e);
}

static int read_drives(struct config_file *file, const struct json_t *value,
		       struct err *e)
{
	int len = json_array_len(value);

	if (len < 0)
		return err_set(e, "expected an array");
	for (int i = 0; i < len; i++) {
		struct drive_config body;
		int r = drive_read(&body, json_array_at(value, (unsigned)i),
				   NULL, e);

		if (!r)
			r = drive_apply(&body, &file->vm, e);
		drive_config_fini(&body);
		if (r)
			return err_prefix(e, "element %d", i);
	}
	return 0;
}

static int read_interfaces(struct config_file *file, const struct json_t *value,
			   struct err *e)
{
	int len = json_array_len(value);

	if (len < 0)
		return err_set(e, "expected an array");
	for (int i = 0; i < len; i++) {
		struct interface_config body;
		int r = interface_read(&body, json_array_at(value, (unsigned)i),
				       NULL, e);

		if (!r)
			r = interface_apply(&body, &file->vm, e);
		interface_config_fini(&body);
		if (r)
			return err_prefix(e, "element %d", i);
	}
	return 0;
}

static int read_entropy(struct config_file *file, const struct json_t *value,
			struct err *e)
{
	if (entropy_read(&file->vm.entropy_limiter, value, e))
		return -1;
	file->vm.entropy = true;
	return 0;
}

static int read_vsock(struct config_file *file, const struct json_t *value,
		      struct err *e)
{
	struct vsock_params body;
	int r = vsock_read(&body, value, e);

	if (!r)
		r = vsock_apply(&body, &file->vm, e);
	vsock_params_fini(&body);
	return r;
}

static int read_balloon(struct config_file *file, const struct json_t *value,
			struct err *e)
{
	struct balloon_config body;

	return balloon_read(&body, value, e)
		       ? -1
		       : balloon_apply(&body, &file->vm, e);
}

/* Devices that are not there yet: a list of none of them is fine. */
static int read_empty_list(struct config_file *file, const struct json_t *value,
			   struct err *e)
{
	int len = json_array_len(value);

	(void)file;
	if (len < 0)
		return err_set(e, "expected an array");
	if (len > 0)
		return err_set(e, "this build has no such device; pass an "
				  "empty list");
	return 0;
}

static int read_unsupported(struct config_file *file,
			    const struct json_t *value, struct err *e)
{
	(void)file;
	(void)value;
	return err_set(e, "this build does not support it; leave it out");
}

/* --------------------------------------------------------------- the whole */

static const struct {
	const char *name;
	section_reader read;
	bool required;
} sections[] = {
	{"boot-source", read_boot_source, true},
	{"machine-config", read_machine, false},
	{"drives", read_drives, true},
	{"network-interfaces", read_interfaces, false},
	{"pmem", read_empty_list, false},
	{"logger", read_logger, false},
	{"balloon", read_balloon, false},
	{"cpu-config", read_cpu, false},
	{"metrics", read_metrics, false},
	{"mmds-config", read_unsupported, false},
	{"vsock", read_vsock, false},
	{"entropy", read_entropy, false},
	{"memory-hotplug", read_unsupported, false},
};

static int read_document(struct config_file *file,
			 const struct json_t *document, struct err *e)
{
	const struct json_t *value[ARRAY_SIZE(sections)] = {0};
	struct json_field fields[ARRAY_SIZE(sections)];

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++)
		fields[i] = (struct json_field){
			.name = sections[i].name,
			.kind = JSON_KIND_ANY,
			.required = sections[i].required,
			.offset = i * sizeof(value[0]),
		};
	if (json_read(document, fields, ARRAY_SIZE(fields), value, e))
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		if (value[i] && sections[i].read(file, value[i], e))
			return err_prefix(e, "%s", sections[i].name);
	}
	return 0;
}

int config_file_parse(struct config_file *file, const char *text, size_t len,
		      struct err *e)
{
	struct json_t *document;
	int r;

	*file = (struct config_file){0};
	vm_config_init(&file->vm);
	document = json_parse(text, len, e);
	if (!document)
		return -1;
	r = read_document(file, document, e);
	json_free(document);
	return r;
}

void config_file_fini(struct config_file *file)
{
	vm_config_fini(&file->vm);
	logger_config_fini(&file->logger);
	metrics_config_fini(&file->metrics);
}
