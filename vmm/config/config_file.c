/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/config_file.h"

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

/* In the order in which they are read. */
static const struct {
	const char *name;             /* without a kind */
	const struct body_kind *kind; /* or NULL, and a reader */
	section_reader read;
} sections[] = {
	{.kind = &body_boot_source},
	{"machine-config", NULL, read_machine},
	{.kind = &body_drives},
	{.kind = &body_interfaces},
	{"pmem", NULL, read_empty_list},
	{"logger", NULL, read_logger},
	{.kind = &body_balloon},
	{.kind = &body_cpu_config},
	{"metrics", NULL, read_metrics},
	{.kind = &body_mmds},
	{.kind = &body_vsock},
	{.kind = &body_entropy},
	{"memory-hotplug", NULL, read_unsupported},
};

static const char *name_of(unsigned i)
{
	return sections[i].kind ? sections[i].kind->name : sections[i].name;
}

static int read_section(struct config_file *file, unsigned i,
			const struct json_t *value, struct err *e)
{
	const struct body_kind *kind = sections[i].kind;

	if (kind ? put_section(file, kind, value, e)
		 : sections[i].read(file, value, e))
		return err_prefix(e, "%s", name_of(i));
	return 0;
}

static int read_document(struct config_file *file,
			 const struct json_t *document, struct err *e)
{
	const struct json_t *value[ARRAY_SIZE(sections)] = {0};
	struct json_field fields[ARRAY_SIZE(sections)];

	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++)
		fields[i] = (struct json_field){
			.name = name_of(i),
			.kind = JSON_KIND_ANY,
			.required = sections[i].kind &&
				    sections[i].kind->is_required,
			.offset = i * sizeof(value[0]),
		};
	if (json_read_known(document, fields, ARRAY_SIZE(fields), value, e))
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(sections); i++) {
		if (value[i] && read_section(file, i, value[i], e))
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
