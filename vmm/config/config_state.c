/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration in a snapshot: enough to build the same VM again.  Settings
 * that matter only at boot are left out; kernel and initrd are saved for the
 * API's replies, and not read.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "vmm/config/config.h"

enum { ID_SIZE = VM_ID_MAX + 1, CMDLINE_SIZE = 4096 };

/* A string or NULL, of at most @size bytes with its NUL.  When loading,
 * replaces *text. */
static void text_state(struct snap *s, char **text, size_t size)
{
	char buf[PATH_MAX];
	bool given = *text;

	snap_bool(s, &given);
	if (!given || snap_failed(s))
		return;
	if (!snap_loading(s) && *text) {
		snap_require(s, strlen(*text) < size, "a text is too long");
		if (!snap_failed(s))
			snap_string(s, *text, size);
		return;
	}
	snap_string(s, buf, min_u64(size, sizeof(buf)));
	if (snap_failed(s))
		return;
	free(*text);
	*text = strdup(buf);
	snap_require(s, *text, "there is no memory for it");
}

/* An enum with @count values, from 0. */
#define ENUM_STATE(s, field, count)                         \
	do {                                                \
		uint32_t value = (uint32_t)*(field);        \
                                                            \
		snap_u32(s, &value);                        \
		snap_require(s, value < (count), #field);   \
		if (value < (count))                        \
			*(field) = (typeof(*(field)))value; \
	} while (0)

static void bucket_state(struct snap *s, struct token_bucket_config *b)
{
	snap_u64(s, &b->size);
	snap_u64(s, &b->one_time_burst);
	snap_u64(s, &b->refill_time_ms);
}

static void limiter_state(struct snap *s, struct rate_limiter_config *l)
{
	bucket_state(s, &l->bandwidth);
	bucket_state(s, &l->ops);
}

static void clock_state(struct snap *s, struct vm_config *c)
{
	ENUM_STATE(s, &c->clock.on_pause, CLOCK_SET);
	ENUM_STATE(s, &c->clock.on_restore, CLOCK_SET);
	ENUM_STATE(s, &c->clock.physical, CLOCK_PHYSICAL_HOST + 1);
	snap_u64(s, &c->clock.max_jump_ms);
	snap_bool(s, &c->clock_given);
}

/* The length of a list, at most @max.  When loading, allocates *list: zeroed
 * elements of @size bytes.  Returns the length; 0 after a failure. */
static unsigned list_state(struct snap *s, void **list, unsigned *count,
			   size_t size, unsigned max)
{
	uint32_t n = *count;

	snap_count(s, &n, max);
	if (snap_failed(s))
		return 0;
	if (snap_loading(s) && n) {
		*list = calloc(n, size);
		snap_require(s, *list, "there is no memory for it");
		if (!*list)
			return 0;
	}
	*count = n;
	return n;
}

static void drive_state(struct snap *s, struct drive_config *d)
{
	snap_begin(s, SNAP_TAG('d', 'r', 'i', 'v'));
	text_state(s, &d->block.id, ID_SIZE);
	text_state(s, &d->block.path, PATH_MAX);
	text_state(s, &d->partuuid, ID_SIZE);
	snap_require(s, d->block.id && d->block.path,
		     "a drive without id or path");
	snap_bool(s, &d->root);
	snap_bool(s, &d->block.read_only);
	snap_bool(s, &d->block.writeback);
	snap_bool(s, &d->block.async);
	limiter_state(s, &d->block.limiter);
	snap_end(s);
}

static void interface_state(struct snap *s, struct interface_config *n)
{
	snap_begin(s, SNAP_TAG('n', 'e', 't', ' '));
	text_state(s, &n->net.id, ID_SIZE);
	text_state(s, &n->net.tap, ID_SIZE);
	snap_require(s, n->net.id && n->net.tap,
		     "an interface without id or tap");
	snap_bool(s, &n->net.has_mac);
	snap_bytes(s, n->net.mac, sizeof(n->net.mac));
	snap_u16(s, &n->net.mtu);
	limiter_state(s, &n->net.rx_limiter);
	limiter_state(s, &n->net.tx_limiter);
	snap_end(s);
}

static void vsock_state(struct snap *s, struct vsock_config *v)
{
	snap_begin(s, SNAP_TAG('v', 's', 'o', 'c'));
	snap_u32(s, &v->guest_cid);
	text_state(s, &v->uds_path, PATH_MAX);
	text_state(s, &v->id, ID_SIZE);
	snap_end(s);
}

static void balloon_state(struct snap *s, struct vm_config *c)
{
	struct balloon_config *b = &c->balloon;

	snap_begin(s, SNAP_TAG('b', 'a', 'l', 'l'));
	snap_bool(s, &c->has_balloon);
	snap_u32(s, &b->amount_mib);
	snap_bool(s, &b->deflate_on_oom);
	snap_u16(s, &b->stats_polling_interval_s);
	snap_bool(s, &b->free_page_hinting);
	snap_bool(s, &b->free_page_reporting);
	snap_end(s);
}

/* A flag per interface; when loading, the interfaces are loaded already. */
void vm_config_vhost_state(struct vm_config *c, struct snap *s)
{
	snap_begin(s, SNAP_TAG('v', 'h', 's', 't'));
	for (unsigned i = 0; i < c->interface_count; i++) {
		struct interface_config *interface = &c->interface[i];
		bool vhost = interface->vhost;

		snap_bool(s, &vhost);
		if (!interface->vhost_chosen)
			interface->vhost = vhost;
	}
	snap_end(s);
}

/* Since format 1.4: what follows clock_state(). */
void vm_config_time_state(struct vm_config *c, struct snap *s)
{
	struct realtime realtime = c->clock.realtime;
	uint64_t ns = (uint64_t)realtime.ns;

	snap_begin(s, SNAP_TAG('c', 'l', 'k', 'c'));
	snap_bool(s, &c->clock.stalls_are_frozen);
	snap_bool(s, &realtime.is_date);
	snap_u64(s, &ns);
	snap_require(s, !realtime.is_date || ns <= INT64_MAX, "date");
	snap_end(s);
	realtime.ns = (int64_t)ns;
	if (!c->realtime_chosen)
		c->clock.realtime = realtime;
}

void vm_config_state(struct vm_config *c, struct snap *s)
{
	uint32_t vcpus = c->vcpu_count;
	unsigned n;

	snap_begin(s, SNAP_TAG('c', 'o', 'n', 'f'));
	snap_u32(s, &vcpus);
	c->vcpu_count = vcpus;
	snap_u64(s, &c->mem_mib);
	text_state(s, &c->kernel, PATH_MAX);
	text_state(s, &c->initrd, PATH_MAX);
	text_state(s, &c->cmdline, CMDLINE_SIZE);
	snap_bool(s, &c->boot_timer);
	clock_state(s, c);
	n = list_state(s, (void **)&c->drive, &c->drive_count,
		       sizeof(c->drive[0]), VM_DRIVES_MAX);
	for (unsigned i = 0; i < n; i++)
		drive_state(s, &c->drive[i]);
	n = list_state(s, (void **)&c->interface, &c->interface_count,
		       sizeof(c->interface[0]), VM_INTERFACES_MAX);
	for (unsigned i = 0; i < n; i++)
		interface_state(s, &c->interface[i]);
	vsock_state(s, &c->vsock);
	balloon_state(s, c);
	snap_bool(s, &c->has_entropy);
	limiter_state(s, &c->entropy.limiter);
	snap_end(s);
}

/* ------------------------------------------------------- since format 1.3 */

static bool placement_is_given(const struct vm_config *c)
{
	return c->raw || c->load_address || c->fdt_high || c->entry ||
	       c->no_kaslr;
}

/* For the API's replies, as the kernel's path. */
static void placement_state(struct vm_config *c, struct snap *s)
{
	snap_bool(s, &c->raw);
	snap_u64(s, &c->load_address);
	snap_bool(s, &c->fdt_high);
	snap_u64(s, &c->entry);
	snap_bool(s, &c->no_kaslr);
}

static bool mmds_is_given(const struct vm_config *c)
{
	return c->mmds.given;
}

/* With a flag per interface, which are loaded already. */
static void mmds_state(struct vm_config *c, struct snap *s)
{
	c->mmds.given = true;
	snap_bool(s, &c->mmds.v2);
	snap_bool(s, &c->mmds.imds_compat);
	snap_u32(s, &c->mmds.address);
	for (unsigned i = 0; i < c->interface_count; i++)
		snap_bool(s, &c->interface[i].mmds);
}

static bool pages_are_given(const struct vm_config *c)
{
	return c->huge_pages;
}

static void pages_state(struct vm_config *c, struct snap *s)
{
	ENUM_STATE(s, &c->huge_pages, GUEST_MEM_PAGES_COUNT);
}

static bool is_nested(const struct vm_config *c)
{
	return c->cpu[ARCH_NESTED] == ARCH_ON;
}

/* Its name is all: a reader that does not know the section would lose what the
 * guest gives its own guests. */
static void nested_state(struct vm_config *c, struct snap *s)
{
	(void)s;
	c->cpu[ARCH_NESTED] = ARCH_ON;
}

/*
 * What a VM may have that format 1.2 cannot describe.  A setting's section is
 * written if the VM has it, so that older readers load all other VMs.  New rows
 * go to the end: what a reader does not know must follow what it does.
 */
static const struct setting {
	uint32_t tag;
	const char *name; /* for a reader that does not know it */
	bool (*is_given)(const struct vm_config *c);
	void (*state)(struct vm_config *c, struct snap *s);
} settings[] = {
	{SNAP_TAG('b', 's', 'r', 'c'), "kernel placement", placement_is_given,
	 placement_state},
	{SNAP_TAG('m', 'm', 'd', 's'), "metadata service", mmds_is_given,
	 mmds_state},
	{SNAP_TAG('h', 'u', 'g', 'e'), "huge pages", pages_are_given,
	 pages_state},
	{SNAP_TAG('n', 'e', 's', 't'), "nested virtualisation", is_nested,
	 nested_state},
};

enum { MORE = SNAP_TAG('m', 'o', 'r', 'e'), SETTING_NAME_SIZE = 64 };

static void setting_state(const struct setting *setting, struct vm_config *c,
			  struct snap *s)
{
	char name[SETTING_NAME_SIZE];

	snprintf(name, sizeof(name), "%s", setting->name);
	snap_begin(s, setting->tag);
	snap_string(s, name, sizeof(name));
	setting->state(c, s);
	snap_end(s);
}

/* Fail with the name that the section has for this: it is not trusted. */
static void refuse_unknown(struct snap *s)
{
	char name[SETTING_NAME_SIZE] = "", text[160];

	snap_begin(s, snap_next(s));
	snap_string(s, name, sizeof(name));
	for (char *c = name; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	snprintf(text, sizeof(text),
		 "the VM has \"%s\", which this version of stasis does not "
		 "know; load it with a newer one",
		 name);
	snap_require(s, false, text);
}

static bool has_settings(const struct vm_config *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++) {
		if (settings[i].is_given(c))
			return true;
	}
	return false;
}

void vm_config_more_state(struct vm_config *c, struct snap *s)
{
	bool loading = snap_loading(s);

	if (loading ? snap_next(s) != MORE : !has_settings(c))
		return;
	snap_begin(s, MORE);
	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++) {
		if (loading ? snap_next(s) == settings[i].tag
			    : settings[i].is_given(c))
			setting_state(&settings[i], c, s);
	}
	if (loading && snap_next(s))
		refuse_unknown(s);
	snap_end(s);
}
