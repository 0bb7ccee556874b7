/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the vsock device. */
#include "core/base/buf.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "devices/virtio/vsock/vsock.h"
#include "vmm/config/device_bodies.h"

int vsock_read(struct vsock_config *body, const struct json_t *json,
	       struct err *e)
{
	struct raw {
		uint64_t cid;
		char *path, *id;
	} raw = {0};
	static const struct json_field fields[] = {
		{"guest_cid", JSON_KIND_U64, true, UINT32_MAX,
		 offsetof(struct raw, cid)},
		{"uds_path", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, path)},
		{"vsock_id", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, id)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	*body = (struct vsock_config){
		.guest_cid = (uint32_t)raw.cid,
		.uds_path = raw.path,
		.id = raw.id,
	};
	if (!r && raw.id)
		r = vm_config_check_id(raw.id, e);
	if (r)
		vsock_config_fini(body);
	return r;
}

int vsock_apply(struct vsock_config *body, struct vm_config *config,
		struct err *e)
{
	if (vsock_check(body, e))
		return -1;
	vsock_config_fini(&config->vsock);
	config->vsock = *body;
	*body = (struct vsock_config){0};
	return 0;
}

void vsock_print(const struct vm_config *config, struct buf *out)
{
	const struct vsock_config *vsock = &config->vsock;

	if (!vsock->uds_path) {
		buf_text(out, "null");
		return;
	}
	buf_printf(out, "{\"guest_cid\":%u", vsock->guest_cid);
	body_print_text(out, "uds_path", vsock->uds_path);
	if (vsock->id)
		body_print_text(out, "vsock_id", vsock->id);
	buf_text(out, "}");
}
