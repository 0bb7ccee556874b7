/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/run_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "vmm/config/bodies.h"
#include "vmm/config/config.h"

/*
 * Split off the word before the next comma of *list, overwriting the comma with
 * NUL.  NULL after the last word.
 */
static const char *next_word(char **list)
{
	char *word = *list;
	size_t len;

	if (!word)
		return NULL;
	len = strcspn(word, ",");
	*list = word[len] ? word + len + 1 : NULL;
	word[len] = '\0';
	return word;
}

/* Call @add with a copy of @value, because it modifies the words. */
static int with_words(struct vm_config *config, const char *value,
		      int (*add)(struct vm_config *config, char *words,
				 struct err *e),
		      struct err *e)
{
	char *words = strdup(value);
	int r;

	if (!words)
		return err_errno(e, "cannot keep \"%.40s\"", value);
	r = add(config, words, e);
	free(words);
	return r;
}

/* -------------------------------------------------------------------- disks */

/* Apply one word of "ro,async".  Such file names cannot have a comma. */
static int set_disk_flag(struct drive_config *drive, const char *item,
			 size_t len, struct err *e)
{
	const struct {
		const char *name;
		bool *flag;
		bool value;
	} flags[] = {
		{"ro", &drive->block.read_only, true},
		{"async", &drive->block.async, true},
		{"root", &drive->root, true},
		{"unsafe", &drive->block.writeback, false},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strlen(flags[i].name) == len &&
		    !strncmp(flags[i].name, item, len)) {
			*flags[i].flag = flags[i].value;
			return 0;
		}
	}
	return err_set(e,
		       "--disk: \"%.*s\" is not valid; after the file there "
		       "may be ro, root, async and unsafe, separated by commas",
		       (int)min_u64(len, 40), item);
}

static int fill_disk(struct vm_config *config, struct drive_config *drive,
		     const char *value, struct err *e)
{
	size_t len = strcspn(value, ",");
	struct stat st;
	char id[16];

	snprintf(id, sizeof(id), "disk%u", config->drive_count);
	drive->block.path = strndup(value, len);
	if (!drive->block.path)
		return err_errno(e, "--disk");
	if (vm_config_set(&drive->block.id, id, e))
		return -1;
	for (value += len; *value; value += len) {
		len = strcspn(++value, ",");
		if (set_disk_flag(drive, value, len, e))
			return -1;
	}
	if (drive->root && !stat(drive->block.path, &st) &&
	    S_ISREG(st.st_mode) && !st.st_size)
		return err_set(e,
			       "--disk: %.512s is empty, and has no root file "
			       "system; mke2fs -d FOLDER makes one",
			       drive->block.path);
	return drive_apply(drive, config, e) ? err_prefix(e, "--disk") : 0;
}

int run_add_disk(struct vm_config *config, const char *value, struct err *e)
{
	struct drive_config drive = {.block.writeback = true};
	int r = fill_disk(config, &drive, value, e);

	drive_config_fini(&drive);
	return r;
}

/* ---------------------------------------------------------------- networks */

static int set_net_word(struct interface_config *interface, const char *word,
			struct err *e)
{
	uint64_t mtu;

	if (!strncmp(word, "mac=", 4)) {
		interface->net.has_mac = true;
		if (!mac_parse(interface->net.mac, word + 4, e))
			return 0;
		return err_set(e,
			       "--net: \"%.40s\" is not a valid MAC address; "
			       "write mac=06:00:00:00:00:01",
			       word + 4);
	}
	if (!strncmp(word, "mtu=", 4)) {
		if (!options_parse_number(word + 4, UINT16_MAX, &mtu) || !mtu)
			return err_set(e,
				       "--net: %.40s is not a valid MTU; give "
				       "68 to 65535",
				       word + 4);
		interface->net.mtu = (uint16_t)mtu;
		return 0;
	}
	if (!strcmp(word, "vhost")) {
		interface->vhost = true;
		return 0;
	}
	return err_set(e,
		       "--net: \"%.40s\" is not valid; after the tap there may "
		       "be mac=, mtu= and vhost, separated by commas",
		       word);
}

/* Clients of the API match the words; a user needs to know what to do, too. */
static int net_failed(const char *tap, struct err *e)
{
	bool tap_failed = strstr(e->text, "Open tap device failed");
	size_t len;

	err_prefix(e, "--net");
	len = strlen(e->text);
	if (tap_failed && strncmp(tap, "fd:", 3) != 0)
		snprintf(e->text + len, sizeof(e->text) - len,
			 " To make it: sudo tools/net-setup --user \"$USER\" "
			 "%s",
			 tap);
	return -1;
}

static int fill_net(struct vm_config *config,
		    struct interface_config *interface, char *words,
		    struct err *e)
{
	const char *tap = next_word(&words), *word;
	char id[16];

	snprintf(id, sizeof(id), "net%u", config->interface_count);
	if (vm_config_set(&interface->net.id, id, e) ||
	    vm_config_set(&interface->net.tap, tap, e))
		return -1;
	while ((word = next_word(&words))) {
		if (set_net_word(interface, word, e))
			return -1;
	}
	return interface_apply(interface, config, e) ? net_failed(tap, e) : 0;
}

static int add_net(struct vm_config *config, char *words, struct err *e)
{
	struct interface_config interface = {0};
	int r = fill_net(config, &interface, words, e);

	interface_config_fini(&interface);
	return r;
}

int run_add_net(struct vm_config *config, const char *value, struct err *e)
{
	return with_words(config, value, add_net, e);
}

/* -------------------------------------------------------- vsock and balloon */

static int add_vsock(struct vm_config *config, char *words, struct err *e)
{
	struct vsock_config vsock = {0};
	uint64_t cid;
	int r;

	if (!options_parse_number(next_word(&words), UINT32_MAX, &cid) ||
	    !words)
		return err_set(e, "--vsock: write a CID and a path, as in "
				  "--vsock 3,/tmp/vm.vsock");
	vsock.guest_cid = (uint32_t)cid;
	r = vm_config_set(&vsock.uds_path, words, e);
	if (!r)
		r = vsock_apply(&vsock, config, e);
	vsock_config_fini(&vsock);
	return r ? err_prefix(e, "--vsock") : 0;
}

int run_add_vsock(struct vm_config *config, const char *value, struct err *e)
{
	return with_words(config, value, add_vsock, e);
}

static int set_balloon_word(struct balloon_config *balloon, const char *word,
			    struct err *e)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"oom", &balloon->deflate_on_oom},
		{"hinting", &balloon->free_page_hinting},
		{"reporting", &balloon->free_page_reporting},
	};
	uint64_t seconds;

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!strcmp(flags[i].name, word)) {
			*flags[i].flag = true;
			return 0;
		}
	}
	if (!strncmp(word, "stats=", 6) &&
	    options_parse_number(word + 6, UINT16_MAX, &seconds) && seconds) {
		balloon->stats_polling_interval_s = (uint16_t)seconds;
		return 0;
	}
	return err_set(
		e,
		"--balloon: \"%.40s\" is not valid; after the size there "
		"may be oom, stats=SECONDS, hinting and reporting, "
		"separated by commas",
		word);
}

static int add_balloon(struct vm_config *config, char *words, struct err *e)
{
	const char *word = next_word(&words);
	uint64_t mib;

	if (!options_parse_number(word, UINT32_MAX, &mib))
		return err_set(
			e,
			"--balloon: \"%.40s\" is not a valid size in MiB; "
			"write --balloon 64",
			word);
	config->has_balloon = true;
	config->balloon.amount_mib = (uint32_t)mib;
	while ((word = next_word(&words))) {
		if (set_balloon_word(&config->balloon, word, e))
			return -1;
	}
	return 0;
}

int run_add_balloon(struct vm_config *config, const char *value, struct err *e)
{
	return with_words(config, value, add_balloon, e);
}
