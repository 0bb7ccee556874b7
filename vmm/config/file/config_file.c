/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/file/config_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/json/json.h"
#include "vmm/config/body_table.h"

typedef int (*section_reader)(struct config_file *file,
			      const struct json_t *value, struct err *e);

/* ---------------------------------------------------------------- sections */

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

/* Devices that this build does not support: accept an empty list. */
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

/* ------------------------------------------------- those of body_table.h */

static int put(struct config_file *file, const struct body_kind *kind,
	       const struct json_t *value, struct err *e)
{
	bool deprecated;

	return body_put(kind, &file->vm, value, NULL, &deprecated, e);
}

static int put_list(struct config_file *file, const struct body_kind *kind,
		    const struct json_t *value, struct err *e)
{
	int len = json_array_len(value);

	if (len < 0)
		return err_set(e, "expected an array");
	for (int i = 0; i < len; i++) {
		if (put(file, kind, json_array_at(value, (unsigned)i), e))
			return err_prefix(e, "element %d", i);
	}
	return 0;
}

/* The section is the path of a file that has the object. */
static int put_file(struct config_file *file, const struct body_kind *kind,
		    const char *path, struct err *e)
{
	size_t len;
	AUTO_FREE char *text = io_read_file(path, CONFIG_FILE_MAX, &len, e);
	struct json_t *document = text ? json_parse(text, len, e) : NULL;
	int r;

	if (!document)
		return err_prefix(e, "%.256s", path);
	r = put(file, kind, document, e);
	json_free(document);
	return r;
}

static int put_section(struct config_file *file, const struct body_kind *kind,
		       const struct json_t *value, struct err *e)
{
	const char *path = kind->is_path_allowed ? json_text(value) : NULL;

	if (path)
		return put_file(file, kind, path, e);
	return kind->is_list ? put_list(file, kind, value, e)
			     : put(file, kind, value, e);
}

/* --------------------------------------------------------------- the whole */

/* The sections that are no bodies of body_table.h. */
static const struct {
	const char *name;
	section_reader read;
} readers[] = {
	{"machine-config", read_machine},
	{"pmem", read_empty_list},
	{"logger", read_logger},
	{"metrics", read_metrics},
	{"memory-hotplug", read_unsupported},
};

static int read_other(struct config_file *file, const char *name,
		      const struct json_t *value, struct err *e)
{
	unsigned i = 0;

	while (strcmp(readers[i].name, name) != 0)
		i++;
	return readers[i].read(file, value, e);
}

static int read_section(struct config_file *file, const struct body_part *part,
			const struct json_t *value, struct err *e)
{
	if (part->kind ? put_section(file, part->kind, value, e)
		       : read_other(file, part->name, value, e))
		return err_prefix(e, "%s", body_part_name(part));
	return 0;
}

static int read_document(struct config_file *file,
			 const struct json_t *document, struct err *e)
{
	const struct json_t *value[BODY_PARTS_MAX] = {0};
	struct json_field fields[BODY_PARTS_MAX];
	const struct body_part *part = body_parts;
	unsigned count = 0;

	for (; body_part_name(part); part++, count++)
		fields[count] = (struct json_field){
			.name = body_part_name(part),
			.kind = JSON_KIND_ANY,
			.required = part->kind && part->kind->is_required,
			.offset = count * sizeof(value[0]),
		};
	if (json_read_known(document, fields, count, value, e))
		return -1;
	for (unsigned i = 0; i < count; i++) {
		if (value[i] && read_section(file, &body_parts[i], value[i], e))
			return -1;
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
