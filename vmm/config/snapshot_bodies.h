/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for when a snapshot is taken or loaded: Firecracker's bodies of
 * /snapshot/create and /snapshot/load, and what is ours in them.
 */
#pragma once

#include <stdbool.h>

#include "vmm/config/config.h"

struct err;
struct json_t;

struct snapshot_create {
	char *state_path, *memory_path; /* owned; memory NULL: state alone */
	bool diff, sync;
	unsigned mode; /* of files that are new; 0: 0600 */
};

int snapshot_create_read(struct snapshot_create *body,
			 const struct json_t *json, struct err *e);
void snapshot_create_fini(struct snapshot_create *body);

enum memory_backend {
	MEMORY_FILE,  /* mapped: clones share what they do not write */
	MEMORY_EAGER, /* read at once: the file is not needed afterwards */
	MEMORY_UFFD,  /* somebody else serves it, page by page */
};

/* A device's place on the host, instead of the one that was saved. */
struct host_override {
	char *id, *place;         /* owned */
	bool vhost_chosen, vhost; /* of an interface: not as saved, but so */
};

enum { HOST_OVERRIDES_MAX = VM_DRIVES_MAX };

struct snapshot_load {
	char *state_path, *memory_path; /* owned */
	enum memory_backend backend;
	bool resume, deprecated, track_dirty;
	bool record_working_set; /* MEMORY_FILE only */
	bool has_clock;          /* else as the VM's clock says */
	struct clock_request clock;
	struct host_override network[VM_INTERFACES_MAX];
	struct host_override drive[HOST_OVERRIDES_MAX];
	unsigned network_count, drive_count;
	char *vsock_path; /* owned; NULL: as saved */
};

int snapshot_load_read(struct snapshot_load *body, const struct json_t *json,
		       struct err *e);
/* Part of the above, for who fills it by hand: what does not go together. */
int snapshot_load_check(const struct snapshot_load *body, struct err *e);
void snapshot_load_fini(struct snapshot_load *body);
/* Put the overrides into what was saved; each must name a device. */
int snapshot_load_override(struct snapshot_load *body, struct vm_config *config,
			   struct err *e);
/* Was this drive's file chosen for this load? */
bool snapshot_load_overrides_drive(const struct snapshot_load *body,
				   const char *id);
