/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The microVM metadata service (MMDS): a JSON document that the API writes and
 * the guest reads by HTTP, through a network interface (devices/mmds).
 *
 * Version 2 asks the guest for a token, which it gets by a PUT.  A token
 * contains its expiry and a tag, made of it with a random key of this process,
 * so any number of them cost no memory, and those of another process are not
 * valid: not those of another VM, nor those from before a restore.  They expire
 * by the host's CLOCK_BOOTTIME, whatever happens to guest time.
 *
 * Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/mmds/responder.h"

struct buf;
struct err;
struct json_t;
struct mmds_config;

enum { MMDS_LIMIT_DEFAULT = 51200, MMDS_KEY_LEN = 16 };

struct mmds {
	const struct mmds_config *config; /* may change until the VM starts */
	size_t limit;        /* bytes of the document, as compact text */
	struct json_t *data; /* owned; NULL: not given yet */
	bool has_key;
	uint8_t key[MMDS_KEY_LEN];
	uint64_t born; /* CLOCK_BOOTTIME, ns: when the key was made */
	uint64_t token_count;
	struct responder_server server; /* for net_use_mmds() */
};

/* Not moved afterwards.  @config outlives @m. */
void mmds_init(struct mmds *m, const struct mmds_config *config);
void mmds_fini(struct mmds *m);

/*
 * Replace the document by @json, or change it by a merge patch (RFC 7396).
 * Returns 0, or -1 or MMDS_TOO_LARGE with everything as it was.
 */
enum { MMDS_TOO_LARGE = -2 };
int mmds_put(struct mmds *m, const struct json_t *json, struct err *e);
int mmds_patch(struct mmds *m, const struct json_t *json, struct err *e);

/* Append the document; {} if none was given. */
void mmds_print(const struct mmds *m, struct buf *out);
