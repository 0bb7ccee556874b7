/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's custom CPU templates, the part for arm64 that this VMM
 * supports: bits of KVM's vCPU features, and of registers.
 *
 * A bitmap is "0b" and the digits 0, 1 and x, most significant first.  Bits
 * that are x or left out are not changed; `_` only separates digits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "vmm/config/bodies.h"

/* KVM_ARM_VCPU_PSCI_0_2, without which a guest cannot start vCPUs 1 and up. */
enum { PSCI_BIT = 2 };

struct bitmap {
	uint64_t mask[2], value[2];
};

static int parse_bitmap(const char *text, unsigned bits, struct bitmap *out,
			struct err *e)
{
	unsigned n = 0;

	*out = (struct bitmap){0};
	if (strncmp(text, "0b", 2) != 0)
		return err_set(e, "bitmap `%.140s` does not begin with 0b",
			       text);
	for (size_t i = strlen(text); i-- > 2;) {
		if (text[i] == '_')
			continue;
		if (!strchr("01x", text[i]))
			return err_set(e,
				       "bitmap `%.140s` may have the digits 0, "
				       "1 and x only",
				       text);
		if (n == bits)
			return err_set(e,
				       "bitmap `%.140s` has more than %u bits",
				       text, bits);
		if (text[i] != 'x')
			out->mask[n / 64] |= 1ull << n % 64;
		if (text[i] == '1')
			out->value[n / 64] |= 1ull << n % 64;
		n++;
	}
	if (!n)
		return err_set(e, "bitmap `%.140s` has no digits", text);
	return 0;
}

static int read_feature(struct cpu_config *body, const struct json_t *json,
			struct err *e)
{
	struct raw {
		uint64_t index;
		char *bitmap;
	} raw = {0};
	static const struct json_field fields[] = {
		{"index", JSON_KIND_U64, true, UINT32_MAX,
		 offsetof(struct raw, index)},
		{"bitmap", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, bitmap)},
	};
	struct bitmap bits = {0};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r && raw.index)
		r = err_set(e, "index %llu: KVM has vCPU features at index 0",
			    (unsigned long long)raw.index);
	if (!r)
		r = parse_bitmap(raw.bitmap, 32, &bits, e);
	free(raw.bitmap);
	for (unsigned b = 0; b < 32 && !r; b++) {
		enum arch_feature f;

		bool on = bits.value[0] >> b & 1;

		if (!(bits.mask[0] >> b & 1))
			continue;
		/* Accept 0 for a feature that stasis never enables. */
		if (!arch_feature_of_bit(b, &f) && !on && b != PSCI_BIT)
			continue;
		if (!arch_feature_of_bit(b, &f))
			r = err_set(e,
				    "vCPU feature bit %u cannot be chosen; "
				    "those of the PMU (3), SVE (4) and pointer "
				    "authentication (5, 6) can",
				    b);
		else
			body->feature[f] = on ? ARCH_ON : ARCH_OFF;
	}
	return r;
}

static int read_register(struct cpu_config *body, const struct json_t *json,
			 struct err *e)
{
	struct raw {
		char *addr, *bitmap;
	} raw = {0};
	static const struct json_field fields[] = {
		{"addr", JSON_KIND_STRING, true, 0, offsetof(struct raw, addr)},
		{"bitmap", JSON_KIND_STRING, true, 0,
		 offsetof(struct raw, bitmap)},
	};
	struct arch_reg_modifier *reg = &body->reg[body->reg_count];
	struct bitmap bits = {0};
	char *end = NULL;
	int r;

	if (body->reg_count == ARCH_REG_MODIFIERS_MAX)
		return err_set(e, "more than %d of them",
			       ARCH_REG_MODIFIERS_MAX);
	r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);
	if (!r) {
		errno = 0;
		reg->id = strtoull(raw.addr, &end, 16);
		if (strncmp(raw.addr, "0x", 2) != 0 || !raw.addr[2] || *end ||
		    errno || !arch_reg_bits(reg->id))
			r = err_set(e,
				    "addr `%.64s` is not KVM's number of an "
				    "arm64 register of up to 128 bits, such as "
				    "0x603000000013c020",
				    raw.addr);
	}
	if (!r)
		r = parse_bitmap(raw.bitmap, arch_reg_bits(reg->id), &bits, e);
	free(raw.addr);
	free(raw.bitmap);
	if (r)
		return r;
	memcpy(reg->mask, bits.mask, sizeof(reg->mask));
	memcpy(reg->value, bits.value, sizeof(reg->value));
	body->reg_count++;
	return 0;
}

static int read_list(struct cpu_config *body, const char *name,
		     const struct json_t *list,
		     int (*read)(struct cpu_config *body,
				 const struct json_t *json, struct err *e),
		     struct err *e)
{
	int len = json_array_len(list);

	if (!list)
		return 0;
	if (len < 0)
		return err_set(e, "field `%s` is not an array", name);
	for (int i = 0; i < len; i++) {
		if (read(body, json_array_at(list, (unsigned)i), e))
			return err_prefix(e, "field `%s`, element %d", name, i);
	}
	return 0;
}

static int refuse_element(struct cpu_config *body, const struct json_t *json,
			  struct err *e)
{
	(void)body;
	(void)json;
	return err_set(e, "this build does not support it: what stasis asks of "
			  "KVM is fixed; leave it out");
}

int cpu_config_read(struct cpu_config *body, const struct json_t *json,
		    struct err *e)
{
	struct raw {
		const struct json_t *capabilities, *features, *registers;
	} raw = {0};
	static const struct json_field fields[] = {
		{"kvm_capabilities", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, capabilities)},
		{"vcpu_features", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, features)},
		{"reg_modifiers", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, registers)},
	};

	*body = (struct cpu_config){0};
	if (json_read(json, fields, ARRAY_SIZE(fields), &raw, e) ||
	    read_list(body, "kvm_capabilities", raw.capabilities,
		      refuse_element, e) ||
	    read_list(body, "vcpu_features", raw.features, read_feature, e) ||
	    read_list(body, "reg_modifiers", raw.registers, read_register, e))
		return -1;
	return 0;
}

int cpu_config_apply(const struct cpu_config *body, struct vm_config *config,
		     struct err *e)
{
	size_t size = body->reg_count * sizeof(body->reg[0]);
	struct arch_reg_modifier *reg = NULL;

	if (size) {
		reg = malloc(size);
		if (!reg)
			return err_errno(e, "cannot keep the registers");
		memcpy(reg, body->reg, size);
	}
	free(config->reg);
	config->reg = reg;
	config->reg_count = body->reg_count;
	memcpy(config->cpu, body->feature, sizeof(config->cpu));
	return 0;
}
