/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of network interfaces. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "devices/virtio/net/net.h"
#include "vmm/config/device_bodies.h"

enum { MTU_NOT_GIVEN = NET_MTU_MAX + 1 };

struct raw_interface {
	char *id, *tap, *mac;
	uint64_t mtu;
	bool vhost;
	const struct json_t *rx, *tx;
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int mac_parse(uint8_t mac[6], const char *text, struct err *e)
{
	for (unsigned i = 0; i < 6; i++, text += 3) {
		int high = hex(text[0]), low = high < 0 ? -1 : hex(text[1]);

		if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return err_set(e,
				       "The provided MAC address is invalid.");
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int check_interface(struct interface_config *body,
			   const struct raw_interface *raw, const char *id,
			   struct err *e)
{
	struct limiter_patch rx = {0}, tx = {0};

	if (body_check_id(raw->id, id, e) ||
	    (raw->mac && mac_parse(body->net.mac, raw->mac, e)) ||
	    limiter_read(&rx, "rx_rate_limiter", raw->rx, e) ||
	    limiter_read(&tx, "tx_rate_limiter", raw->tx, e))
		return -1;
	if (raw->mtu < NET_MTU_MIN)
		return err_set(e,
			       "field `mtu`: %llu is not possible; give %d to "
			       "%d",
			       (unsigned long long)raw->mtu, NET_MTU_MIN,
			       NET_MTU_MAX);
	if (raw->vhost && (rate_limiter_config_limits(&rx.limiter) ||
			   rate_limiter_config_limits(&tx.limiter)))
		return err_set(e, "field `vhost`: the kernel's device has no "
				  "rate limiters; leave out one or the other");
	body->vhost = raw->vhost;
	body->net.has_mac = raw->mac;
	if (raw->mtu != MTU_NOT_GIVEN)
		body->net.mtu = (uint16_t)raw->mtu;
	body->net.rx_limiter = rx.limiter;
	body->net.tx_limiter = tx.limiter;
	return 0;
}

int interface_read(struct interface_config *body, const struct json_t *json,
		   const char *id, struct err *e)
{
	static const struct json_field fields[] = {
		{"iface_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw_interface, id)},
		{"host_dev_name", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw_interface, tap)},
		{"guest_mac", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw_interface, mac)},
		{"mtu", JSON_KIND_U64, false, NET_MTU_MAX,
		 offsetof(struct raw_interface, mtu)},
		{"rx_rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw_interface, rx)},
		{"tx_rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw_interface, tx)},
		{"vhost", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw_interface, vhost)},
	};
	struct raw_interface raw = {.mtu = MTU_NOT_GIVEN};
	int r;

	*body = (struct interface_config){0};
	r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);
	if (!r)
		r = check_interface(body, &raw, id, e);
	body_take(&body->net.id, &raw.id);
	body_take(&body->net.tap, &raw.tap);
	free(raw.mac);
	if (r)
		interface_config_fini(body);
	return r;
}

static int check_vhost(struct err *e)
{
	AUTO_CLOSE int fd = net_vhost_check(e);

	return fd < 0 ? -1 : 0;
}

int interface_apply(struct interface_config *body, struct vm_config *config,
		    struct err *e)
{
	if (vm_config_check_interface(config, body, e))
		return -1;
	if (net_check(&body->net, e) || (body->vhost && check_vhost(e)))
		return err_prefix(e, "Could not create the network device");
	return vm_config_put_interface(config, body, e);
}

static void print_mac(struct buf *out, const struct interface_config *interface)
{
	const uint8_t *m = interface->net.mac;

	if (!interface->net.has_mac)
		buf_text(out, ",\"guest_mac\":null");
	else
		buf_printf(out,
			   ",\"guest_mac\":"
			   "\"%02x:%02x:%02x:%02x:%02x:%02x\"",
			   m[0], m[1], m[2], m[3], m[4], m[5]);
}

void interfaces_print(const struct vm_config *config, struct buf *out)
{
	buf_text(out, "[");
	for (unsigned i = 0; i < config->interface_count; i++) {
		const struct interface_config *n = &config->interface[i];

		buf_text(out, i ? ",{\"iface_id\":" : "{\"iface_id\":");
		buf_json_string(out, n->net.id);
		body_print_text(out, "host_dev_name", n->net.tap);
		print_mac(out, n);
		buf_printf(out, n->net.mtu ? ",\"mtu\":%u" : ",\"mtu\":null",
			   n->net.mtu);
		if (n->vhost)
			buf_text(out, ",\"vhost\":true");
		buf_text(out, ",\"rx_rate_limiter\":");
		limiter_print(&n->net.rx_limiter, out);
		buf_text(out, ",\"tx_rate_limiter\":");
		limiter_print(&n->net.tx_limiter, out);
		buf_text(out, "}");
	}
	buf_text(out, "]");
}

int interface_patch_read(struct interface_patch *body,
			 const struct json_t *json, const char *id,
			 struct err *e)
{
	struct raw {
		char *id;
		const struct json_t *rx, *tx;
	} raw = {0};
	static const struct json_field fields[] = {
		{"iface_id", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, id)},
		{"rx_rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, rx)},
		{"tx_rate_limiter", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, tx)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	*body = (struct interface_patch){.id = raw.id};
	if (!r)
		r = body_check_id(body->id, id, e);
	if (!r)
		r = limiter_read(&body->rx, "rx_rate_limiter", raw.rx, e);
	if (!r)
		r = limiter_read(&body->tx, "tx_rate_limiter", raw.tx, e);
	if (r)
		interface_patch_fini(body);
	return r;
}

void interface_patch_fini(struct interface_patch *body)
{
	free(body->id);
	*body = (struct interface_patch){0};
}
