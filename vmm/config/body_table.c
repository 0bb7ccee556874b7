/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/body_table.h"

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "vmm/config/bodies.h"

/* ------------------------------------------------ bodies of unknown type */

/* For any of them; the functions of a kind take the member of its name. */
union any_body {
	struct balloon_config balloon;
	struct boot_source boot_source;
	struct cpu_config cpu_config;
	struct drive_config drive;
	struct rng_config entropy;
	struct interface_config interface;
	struct mmds_body mmds_config;
	struct vsock_config vsock;
};

/* The functions of a kind by the names that bodies.h gives them. */
#define READ(kind)                                                            \
	static int kind##_read_any(void *body, const struct json_t *json,     \
				   const char *id, struct err *e)             \
	{                                                                     \
		(void)id;                                                     \
		return kind##_read(&((union any_body *)body)->kind, json, e); \
	}
#define READ_WITH_ID(kind)                                                    \
	static int kind##_read_any(void *body, const struct json_t *json,     \
				   const char *id, struct err *e)             \
	{                                                                     \
		return kind##_read(&((union any_body *)body)->kind, json, id, \
				   e);                                        \
	}
#define APPLY(kind)                                                          \
	static int kind##_apply_any(void *body, struct vm_config *config,    \
				    struct err *e)                           \
	{                                                                    \
		return kind##_apply(&((union any_body *)body)->kind, config, \
				    e);                                      \
	}
#define FINI(kind, fini)                               \
	static void kind##_fini_any(void *body)        \
	{                                              \
		fini(&((union any_body *)body)->kind); \
	}

READ(balloon)
APPLY(balloon)
READ(boot_source)
APPLY(boot_source)
FINI(boot_source, boot_source_fini)
READ(cpu_config)
APPLY(cpu_config)
READ_WITH_ID(drive)
APPLY(drive)
FINI(drive, drive_config_fini)
READ(entropy)
APPLY(entropy)
READ_WITH_ID(interface)
APPLY(interface)
FINI(interface, interface_config_fini)
READ(mmds_config)
APPLY(mmds_config)
READ(vsock)
APPLY(vsock)
FINI(vsock, vsock_config_fini)

/* Version 1 is. */
static bool mmds_is_deprecated(const void *body)
{
	return !((const struct mmds_body *)body)->config.v2;
}

static bool vsock_is_deprecated(const void *body)
{
	return ((const struct vsock_config *)body)->id;
}

/* --------------------------------------------------------------- the kinds */

const struct body_kind body_balloon = {
	.name = "balloon",
	.refusal = "Balloon config error",
	.read = balloon_read_any,
	.apply = balloon_apply_any,
};

const struct body_kind body_boot_source = {
	.name = "boot-source",
	.refusal = "Boot source error",
	.is_required = true,
	.read = boot_source_read_any,
	.apply = boot_source_apply_any,
	.fini = boot_source_fini_any,
};

const struct body_kind body_cpu_config = {
	.name = "cpu-config",
	.refusal = "Configure CPU error",
	.is_path_allowed = true,
	.read = cpu_config_read_any,
	.apply = cpu_config_apply_any,
};

const struct body_kind body_drives = {
	.name = "drives",
	.refusal = "Drive config error",
	.is_list = true,
	.is_required = true,
	.read = drive_read_any,
	.apply = drive_apply_any,
	.fini = drive_fini_any,
};

const struct body_kind body_entropy = {
	.name = "entropy",
	.refusal = "Entropy config error",
	.read = entropy_read_any,
	.apply = entropy_apply_any,
};

const struct body_kind body_interfaces = {
	.name = "network-interfaces",
	.refusal = "Network config error",
	.is_list = true,
	.read = interface_read_any,
	.apply = interface_apply_any,
	.fini = interface_fini_any,
};

const struct body_kind body_mmds = {
	.name = "mmds-config",
	.refusal = "MMMDS config error", /* Firecracker's spelling */
	.read = mmds_config_read_any,
	.apply = mmds_config_apply_any,
	.is_deprecated = mmds_is_deprecated,
	.deprecation = "V1 is",
};

const struct body_kind body_vsock = {
	.name = "vsock",
	.refusal = "Vsock config error",
	.read = vsock_read_any,
	.apply = vsock_apply_any,
	.fini = vsock_fini_any,
	.is_deprecated = vsock_is_deprecated,
	.deprecation = "vsock_id field is",
};

/* ------------------------------------------------------------- one of them */

int body_put(const struct body_kind *kind, struct vm_config *config,
	     const struct json_t *json, const char *id, bool *deprecated,
	     struct err *e)
{
	union any_body body = {0};
	int r = BODY_UNREADABLE;

	if (!kind->read(&body, json, id, e)) {
		*deprecated = kind->is_deprecated && kind->is_deprecated(&body);
		r = kind->apply(&body, config, e) ? BODY_REFUSED : 0;
	}
	if (kind->fini)
		kind->fini(&body);
	return r;
}

/* -------------------------------------------------------------- all of them */

/* In the order in which a configuration file's are read: the machine before its
 * devices, the interfaces before the metadata service that is on them. */
const struct body_part body_parts[] = {
	{.kind = &body_boot_source, .print = boot_source_print},
	{.name = "machine-config", .print = machine_config_print},
	{.kind = &body_drives, .print = drives_print},
	{.kind = &body_interfaces, .print = interfaces_print},
	{.name = "pmem", .absent = "[]"},
	{.name = "logger", .absent = "null"},
	{.kind = &body_balloon, .print = balloon_print},
	{.kind = &body_cpu_config, .absent = "null"},
	{.name = "metrics", .absent = "null"},
	{.kind = &body_mmds, .print = mmds_config_print},
	{.kind = &body_vsock, .print = vsock_print},
	{.kind = &body_entropy, .print = entropy_print},
	{.name = "memory-hotplug", .absent = "null"},
	{0},
};
_Static_assert(ARRAY_SIZE(body_parts) <= BODY_PARTS_MAX, "raise it");

const char *body_part_name(const struct body_part *part)
{
	return part->kind ? part->kind->name : part->name;
}

void bodies_print(const struct vm_config *config, struct buf *out)
{
	char before = '{';

	for (const struct body_part *part = body_parts; body_part_name(part);
	     part++) {
		buf_printf(out, "%c\"%s\":", before, body_part_name(part));
		before = ',';
		if (part->print)
			part->print(config, out);
		else
			buf_text(out, part->absent);
	}
	buf_text(out, "}");
}
