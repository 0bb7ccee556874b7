/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as the body of a request; the first byte says of which.  What is
 * refused says why and changes nothing.
 */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/json/json.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/bodies.h"

static int boot_source(struct vm_config *config, const struct json_t *json,
		       struct err *e)
{
	struct boot_source body = {0};
	int r = boot_source_read(&body, json, e);

	if (!r)
		r = boot_source_apply(&body, config, e);
	boot_source_fini(&body);
	return r;
}

static int machine(struct vm_config *config, const struct json_t *json,
		   struct err *e, bool partial)
{
	struct machine_config body;
	int r;

	machine_config_init(&body, config);
	r = machine_config_read(&body, json, partial, e);
	if (!r)
		r = machine_config_apply(&body, config, e);
	machine_config_fini(&body);
	return r;
}

static int cpu(struct vm_config *config, const struct json_t *json,
	       struct err *e)
{
	struct cpu_config body;
	int r = cpu_config_read(&body, json, e);

	must(body.reg_count <= ARCH_REG_MODIFIERS_MAX);
	for (unsigned i = 0; i < body.reg_count; i++) {
		must(!(body.reg[i].value[0] & ~body.reg[i].mask[0]));
		must(!(body.reg[i].value[1] & ~body.reg[i].mask[1]));
	}
	return r ? r : cpu_config_apply(&body, config, e);
}

/* These open files: they are read only. */
static int sinks(const struct json_t *json, struct err *e, unsigned which)
{
	struct logger_config logger = {0};
	struct metrics_config metrics = {0};
	struct serial_body serial = {0};
	int r = which == 0   ? logger_config_read(&logger, json, e)
		: which == 1 ? metrics_config_read(&metrics, json, e)
			     : serial_body_read(&serial, json, e);

	logger_config_fini(&logger);
	metrics_config_fini(&metrics);
	serial_body_fini(&serial);
	return r;
}

static int request(const struct json_t *json, struct err *e, bool state)
{
	struct vm_state_body body;
	enum action action = ACTION_COUNT;
	int r = state ? vm_state_read(&body, json, e)
		      : action_read(&action, json, e);

	if (!r && !state)
		must(action < ACTION_COUNT);
	return r;
}

/* Opens no tap. */
static int interface(struct vm_config *config, const struct json_t *json,
		     struct err *e)
{
	struct interface_config body;
	struct buf out = {0};
	int r = interface_read(&body, json, NULL, e);

	if (!r) {
		must(body.net.id && body.net.tap);
		must(!body.net.mtu || body.net.mtu >= 68);
		r = vm_config_put_interface(config, &body, e);
		interfaces_print(config, &out);
		must(out.data && out.data[0] == '[');
	}
	interface_config_fini(&body);
	buf_free(&out);
	return r;
}

static int interface_patch(const struct json_t *json, struct err *e)
{
	struct interface_patch body;
	int r = interface_patch_read(&body, json, "a", e);

	if (!r)
		must(!strcmp(body.id, "a"));
	interface_patch_fini(&body);
	return r;
}

static int vsock(struct vm_config *config, const struct json_t *json,
		 struct err *e)
{
	struct vsock_config body;
	int r = vsock_read(&body, json, e);

	if (!r)
		r = vsock_apply(&body, config, e);
	if (!r)
		must(config->vsock.guest_cid > 2 && config->vsock.uds_path);
	vsock_config_fini(&body);
	return r;
}

static int balloon(struct vm_config *config, const struct json_t *json,
		   struct err *e)
{
	struct balloon_config body;
	struct buf out = {0};
	int r = balloon_read(&body, json, e);

	if (!r)
		r = balloon_apply(&body, config, e);
	if (!r) {
		must(config->balloon.amount_mib <= config->mem_mib);
		balloon_print(config, &out);
		must(out.data && out.data[0] == '{');
	}
	buf_free(&out);
	return r;
}

static int balloon_changes(const struct json_t *json, struct err *e)
{
	uint16_t interval;
	uint32_t amount;
	bool acknowledge;
	int r = balloon_target_read(&amount, json, e);

	if (r)
		r = balloon_interval_read(&interval, json, e);
	if (r)
		r = balloon_hinting_read(&acknowledge, json, e);
	return r;
}

static int device(unsigned which, struct vm_config *config,
		  const struct json_t *json, struct err *e)
{
	switch (which) {
	case 0:
		return interface(config, json, e);
	case 1:
		return interface_patch(json, e);
	case 2:
		return vsock(config, json, e);
	case 3:
		return balloon(config, json, e);
	default:
		return balloon_changes(json, e);
	}
}

static int apply(unsigned which, struct vm_config *config,
		 const struct json_t *json, struct err *e)
{
	which %= 14;
	switch (which) {
	case 0:
		return boot_source(config, json, e);
	case 1:
		return machine(config, json, e, false);
	case 2:
		return machine(config, json, e, true);
	case 3:
		return cpu(config, json, e);
	case 4:
	case 5:
	case 6:
		return sinks(json, e, which - 4);
	case 7:
	case 8:
		return request(json, e, which == 7);
	default:
		return device(which - 9, config, json, e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf before = {0}, after = {0};
	struct vm_config config;
	struct err e = {""};
	struct json_t *json;

	if (!size)
		return 0;
	json = json_parse((const char *)data + 1, size - 1, &e);
	if (!json) {
		must(e.text[0]);
		return 0;
	}
	vm_config_init(&config);
	machine_config_print(&config, &before);
	if (apply(data[0], &config, json, &e)) {
		must(e.text[0] && memchr(e.text, 0, sizeof(e.text)));
		machine_config_print(&config, &after);
		must(!strcmp(before.data, after.data) && !config.kernel);
	} else {
		must(config.vcpu_count >= 1 &&
		     config.vcpu_count <= ARCH_VCPUS_MAX);
	}
	buf_free(&before);
	buf_free(&after);
	vm_config_fini(&config);
	json_free(json);
	return 0;
}
