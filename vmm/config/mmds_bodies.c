/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the metadata service's configuration. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "vmm/config/device_bodies.h"

struct raw_mmds {
	const struct json_t *interfaces;
	char *version, *address;
	bool imds_compat;
};

/* Four decimal numbers.  False if it is anything else. */
static bool read_address(const char *text, uint32_t *out)
{
	uint32_t address = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned octet = 0, digits = 0;

		if (i && *text++ != '.')
			return false;
		while (*text >= '0' && *text <= '9' && digits++ < 3)
			octet = octet * 10 + (unsigned)(*text++ - '0');
		if (!digits || octet > 255)
			return false;
		address = address << 8 | octet;
	}
	*out = address;
	return !*text;
}

static int take(struct mmds_body *body, const struct raw_mmds *raw,
		struct err *e)
{
	static const char *const versions[] = {"V1", "V2"};
	uint32_t address = MMDS_ADDRESS_DEFAULT;
	unsigned version = 0;

	if (raw->version && json_variant(raw->version, versions,
					 ARRAY_SIZE(versions), &version, e))
		return err_prefix(e, "field `version`");
	if (raw->address && !read_address(raw->address, &address))
		return err_set(e,
			       "field `ipv4_address`: \"%.40s\" is not an IPv4 "
			       "address",
			       raw->address);
	if (json_array_len(raw->interfaces) < 0)
		return err_set(e, "field `network_interfaces` is not an array "
				  "of IDs");
	body->interfaces = raw->interfaces;
	body->config = (struct mmds_config){
		.given = true,
		.v2 = version,
		.imds_compat = raw->imds_compat,
		.address = address,
	};
	return 0;
}

int mmds_config_read(struct mmds_body *body, const struct json_t *json,
		     struct err *e)
{
	static const struct json_field fields[] = {
		{"network_interfaces", JSON_KIND_ANY, true, 0,
		 offsetof(struct raw_mmds, interfaces)},
		{"version", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_mmds, version)},
		{"ipv4_address", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_mmds, address)},
		{"imds_compat", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw_mmds, imds_compat)},
	};
	struct raw_mmds raw = {0};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r)
		r = take(body, &raw, e);
	free(raw.version);
	free(raw.address);
	return r;
}

static struct interface_config *find(const struct vm_config *config,
				     const struct json_t *id)
{
	const char *text = json_text(id);

	for (unsigned i = 0; text && i < config->interface_count; i++) {
		if (!strcmp(config->interface[i].net.id, text))
			return &config->interface[i];
	}
	return NULL;
}

int mmds_config_apply(const struct mmds_body *body, struct vm_config *config,
		      struct err *e)
{
	const unsigned count = (unsigned)json_array_len(body->interfaces);

	if (vm_config_check_mmds(&body->config, e))
		return -1;
	if (!count)
		return err_set(e, "The list of network interface IDs that "
				  "allow forwarding MMDS requests is empty.");
	for (unsigned i = 0; i < count; i++) {
		const struct interface_config *interface =
			find(config, json_array_at(body->interfaces, i));

		if (!interface)
			return err_set(e, "The list of network interface IDs "
					  "provided contains at least one ID "
					  "that does not correspond to any "
					  "existing network interface.");
		if (interface->vhost)
			return err_set(e,
				       "network interface %s has `vhost`, with "
				       "which the metadata service is not "
				       "possible; leave out one or the other",
				       interface->net.id);
	}
	config->mmds = body->config;
	for (unsigned i = 0; i < config->interface_count; i++)
		config->interface[i].mmds = false;
	for (unsigned i = 0; i < count; i++)
		find(config, json_array_at(body->interfaces, i))->mmds = true;
	return 0;
}

void mmds_config_print(const struct vm_config *config, struct buf *out)
{
	const struct mmds_config *mmds = &config->mmds;
	const char *comma = "";

	if (!mmds->given) {
		buf_text(out, "null");
		return;
	}
	buf_printf(out, "{\"version\":\"%s\",\"network_interfaces\":[",
		   mmds->v2 ? "V2" : "V1");
	for (unsigned i = 0; i < config->interface_count; i++) {
		if (!config->interface[i].mmds)
			continue;
		buf_text(out, comma);
		buf_json_string(out, config->interface[i].net.id);
		comma = ",";
	}
	buf_printf(out,
		   "],\"ipv4_address\":\"%u.%u.%u.%u\",\"imds_compat\":%s}",
		   mmds->address >> 24, mmds->address >> 16 & 0xff,
		   mmds->address >> 8 & 0xff, mmds->address & 0xff,
		   mmds->imds_compat ? "true" : "false");
}
