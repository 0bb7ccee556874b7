/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config_file.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/base/err.h"
#include "vmm/base/json.h"
#include "vmm/base/util.h"

typedef int (*section_reader)(struct config_file *file,
			      const struct json_t *value, struct err *e);

/* ---------------------------------------------------------------- sections */

static int read_boot_source(struct config_file *file,
			    const struct json_t *value, struct err *e)
{
	static const struct json_field fields[] = {
		{"kernel_image_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct vm_config, kernel)},
		{"initrd_path", JSON_KIND_STRING, false, 0,
		 offsetof(struct vm_config, initrd)},
		{"boot_args", JSON_KIND_STRING, false, 0,
		 offsetof(struct vm_config, cmdline)},
	};

	return json_read(value, fields, ARRAY_SIZE(fields), &file->vm, e);
}

struct machine {
	uint64_t vcpu_count, mem_size_mib;
	bool smt, track_dirty_pages;
	char *cpu_template, *huge_pages;
};

static int check_machine(const struct machine *m, struct err *e)
{
	if (m->smt)
		return err_set(e, "Enabling simultaneous multithreading is not "
				  "supported on aarch64.");
	if (m->track_dirty_pages)
		return err_set(e, "this build does not support "
				  "`track_dirty_pages`; leave it out");
	if (m->cpu_template && strcmp(m->cpu_template, "None") != 0)
		return err_set(e, "this build has no CPU templates; leave "
				  "`cpu_template` out");
	if (m->huge_pages && strcmp(m->huge_pages, "None") != 0)
		return err_set(e, "this build does not support huge pages; "
				  "leave `huge_pages` out");
	return 0;
}

static int read_machine(struct config_file *file, const struct json_t *value,
			struct err *e)
{
	static const struct json_field fields[] = {
		{"vcpu_count", JSON_KIND_U64, true, UINT8_MAX,
		 offsetof(struct machine, vcpu_count)},
		{"mem_size_mib", JSON_KIND_U64, true, INT32_MAX,
		 offsetof(struct machine, mem_size_mib)},
		{"smt", JSON_KIND_BOOL, false, 0,
		 offsetof(struct machine, smt)},
		{"cpu_template", JSON_KIND_STRING, false, 0,
		 offsetof(struct machine, cpu_template)},
		{"track_dirty_pages", JSON_KIND_BOOL, false, 0,
		 offsetof(struct machine, track_dirty_pages)},
		{"huge_pages", JSON_KIND_STRING, false, 0,
		 offsetof(struct machine, huge_pages)},
	};
	struct machine m = {0};
	int r = json_read(value, fields, ARRAY_SIZE(fields), &m, e);

	if (!r)
		r = check_machine(&m, e);
	if (!r) {
		file->vm.vcpu_count = (unsigned)m.vcpu_count;
		file->vm.mem_mib = m.mem_size_mib;
	}
	free(m.cpu_template);
	free(m.huge_pages);
	return r;
}

static int read_logger(struct config_file *file, const struct json_t *value,
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

	return json_read(value, fields, ARRAY_SIZE(fields), &file->logger, e);
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
	{"drives", read_empty_list, true},
	{"network-interfaces", read_empty_list, false},
	{"pmem", read_empty_list, false},
	{"logger", read_logger, false},
	{"balloon", read_unsupported, false},
	{"cpu-config", read_unsupported, false},
	{"metrics", read_unsupported, false},
	{"mmds-config", read_unsupported, false},
	{"vsock", read_unsupported, false},
	{"entropy", read_unsupported, false},
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
	free(file->logger.path);
	free(file->logger.level);
	free(file->logger.module);
	file->logger = (struct logger_config){0};
}
