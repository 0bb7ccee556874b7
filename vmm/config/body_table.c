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

/* In Firecracker's order, with what it has and this build has not. */
static const struct {
	const char *name;
	void (*print)(const struct vm_config *config, struct buf *out);
	const char *absent; /* no print: what there is instead */
} parts[] = {
	{"balloon", balloon_print, NULL},
	{"drives", drives_print, NULL},
	{"boot-source", boot_source_print, NULL},
	{"cpu-config", NULL, "null"},
	{"logger", NULL, "null"},
	{"machine-config", machine_config_print, NULL},
	{"memory-hotplug", NULL, "null"},
	{"metrics", NULL, "null"},
	{"mmds-config", mmds_config_print, NULL},
	{"network-interfaces", interfaces_print, NULL},
	{"pmem", NULL, "[]"},
	{"vsock", vsock_print, NULL},
	{"entropy", entropy_print, NULL},
};

void bodies_print(const struct vm_config *config, struct buf *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		buf_printf(out, "%s\"%s\":", i ? "," : "{", parts[i].name);
		if (parts[i].print)
			parts[i].print(config, out);
		else
			buf_text(out, parts[i].absent);
	}
	buf_text(out, "}");
}
