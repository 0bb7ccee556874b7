/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's request bodies of /snapshot/create and /snapshot/load, with the
 * members that stasis adds.
 */
#pragma once

#include <stdbool.h>

#include "vmm/config/config.h"

struct err;
struct json_t;

struct snapshot_create {
	char *state_path, *memory_path; /* owned; memory NULL: state only */
	bool diff, sync;
	bool no_host_details; /* leave out what describes the host */
	unsigned mode;        /* permissions of new files; 0: 0600 */
};

int snapshot_create_read(struct snapshot_create *body,
			 const struct json_t *json, struct err *e);
void snapshot_create_fini(struct snapshot_create *body);

enum memory_backend {
	MEMORY_FILE,  /* mapped: clones share the pages they do not write */
	MEMORY_EAGER, /* read at once: the file is not needed afterwards */
	MEMORY_UFFD,  /* a page server fills it (userfaultfd) */
};

/* Replaces the host side of a saved device. */
struct host_override {
	char *id, *place; /* owned; place: a drive's file, an interface's tap */
	bool vhost_chosen, vhost; /* an interface: replace its saved `vhost` */
};

enum { HOST_OVERRIDES_MAX = VM_DRIVES_MAX };

struct snapshot_load {
	char *state_path, *memory_path; /* owned */
	enum memory_backend backend;
	/* deprecated: a deprecated member was given */
	bool resume, deprecated, track_dirty;
	bool record_working_set; /* MEMORY_FILE only */
	bool huge_given;         /* false: as saved */
	enum guest_mem_pages huge_pages;
	/* Whether only host files may be opened that this load names, or that
	 * are in the snapshot's folder; given: else the process's rule. */
	bool strict, strict_given;
	bool has_clock; /* false: as the VM's clock is configured */
	struct clock_request clock;
	bool realtime_chosen; /* false: as in the snapshot */
	struct realtime realtime;
	struct host_override network[VM_INTERFACES_MAX];
	struct host_override drive[HOST_OVERRIDES_MAX];
	unsigned network_count, drive_count;
	char *vsock_path; /* owned; NULL: as saved */
};

int snapshot_load_read(struct snapshot_load *body, const struct json_t *json,
		       struct err *e);
/* Reject members that exclude each other: a part of snapshot_load_read(), for
 * callers that fill @body themselves. */
int snapshot_load_check(const struct snapshot_load *body, struct err *e);
void snapshot_load_fini(struct snapshot_load *body);
/* Apply the overrides of @body to @config, which was saved.  Each must name one
 * of its devices. */
int snapshot_load_override(struct snapshot_load *body, struct vm_config *config,
			   struct err *e);
/* Does @body override the drive @id? */
bool snapshot_load_overrides_drive(const struct snapshot_load *body,
				   const char *id);
