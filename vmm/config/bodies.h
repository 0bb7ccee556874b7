/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request bodies of Firecracker's API as plain structs.  The same JSON
 * objects are the sections of its configuration file.
 *
 * For each there is x_read(), which checks its syntax and fills the struct,
 * and, if it describes a part of the VM, x_apply(), which checks its meaning
 * and changes the struct vm_config.  x_apply() changes all or nothing.
 * x_print() appends the JSON of a reply.
 *
 * Source: the OpenAPI document of Firecracker 1.17; docs/api.yaml is ours.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "vmm/config/config.h"

struct buf;
struct err;
struct json_t;
struct vmclock;

/* The error if the id in a body is not that of the request's path. */
extern const char body_other_id[];

/* ------------------------------------------------------------- boot-source */

struct boot_source {
	char *kernel, *initrd, *cmdline; /* owned */
	bool kaslr, raw, fdt_high, share_files;
	uint64_t load_address, entry; /* UINT64_MAX: not given */
};

int boot_source_read(struct boot_source *body, const struct json_t *json,
		     struct err *e);
/* The files must exist already.  Takes the strings of @body. */
int boot_source_apply(struct boot_source *body, struct vm_config *config,
		      struct err *e);
void boot_source_fini(struct boot_source *body);
void boot_source_print(const struct vm_config *config, struct buf *out);

/* -------------------------------------------------------------- guest time */

/* Members of @clock that @json does not give are left alone. */
int clock_config_read(struct clock_config *clock, const struct json_t *json,
		      struct err *e);
/* The same for its `realtime`: a text, or a number of seconds since 1970. */
int realtime_read(struct realtime *realtime, const struct json_t *json,
		  struct err *e);
void clock_config_print(const struct clock_config *clock, struct buf *out);

/* The reply to a load with `clock`: for how long the restored guest had been
 * stopped, and the error of that. */
void clock_restored_print(const struct arch_clock *clock, struct buf *out);

/* @json: the name of a policy, or an object. */
int clock_request_read(struct clock_request *request, const struct json_t *json,
		       struct err *e);

/* Those of vCPUs, as gettid() numbers them. */
struct clock_threads {
	unsigned count;
	int id[ARCH_VCPUS_MAX];
};

/* The reply to GET /clock; @stopped: guest time is stopped.  @told: what the
 * guest was told of the host's clock. */
void clock_status_print(const struct arch_clock *clock, bool stopped,
			const struct vmclock *told,
			const struct clock_threads *threads, struct buf *out);

/* ---------------------------------------------------------- machine-config */

struct machine_config {
	uint64_t vcpu_count, mem_size_mib;
	bool smt, track_dirty_pages, nested;
	char *cpu_template, *huge_name; /* owned; NULL: not given */
	enum guest_mem_pages huge_pages;
	const struct json_t *clock_json; /* owned by the document */
	struct clock_config clock;
	bool clock_given;
};

/* Fill @body from @config, so that a partial body changes only the members that
 * it gives. */
void machine_config_init(struct machine_config *body,
			 const struct vm_config *config);
/* @partial: no member is required (PATCH). */
int machine_config_read(struct machine_config *body, const struct json_t *json,
			bool partial, struct err *e);
int machine_config_apply(const struct machine_config *body,
			 struct vm_config *config, struct err *e);
void machine_config_fini(struct machine_config *body);
/* @name NULL: *pages is left alone. */
int huge_pages_read(enum guest_mem_pages *pages, const char *name,
		    struct err *e);
void machine_config_print(const struct vm_config *config, struct buf *out);

/* -------------------------------------------------------------- cpu-config */

struct cpu_config {
	enum arch_toggle feature[ARCH_FEATURE_COUNT];
	struct arch_reg_modifier reg[ARCH_REG_MODIFIERS_MAX];
	unsigned reg_count;
};

int cpu_config_read(struct cpu_config *body, const struct json_t *json,
		    struct err *e);
int cpu_config_apply(const struct cpu_config *body, struct vm_config *config,
		     struct err *e);

/* ------------------------------------------------------- drives and entropy */

/* @json NULL: @bucket is left alone. */
int token_bucket_read(struct token_bucket_config *bucket,
		      const struct json_t *json, struct err *e);

/* @id: the id in the request's path, which the body's must equal; NULL: there
 * is none. */
int drive_read(struct drive_config *body, const struct json_t *json,
	       const char *id, struct err *e);
/* The file must be usable as a disk.  On success @body is taken over. */
int drive_apply(struct drive_config *body, struct vm_config *config,
		struct err *e);
void drives_print(const struct vm_config *config, struct buf *out);

/* A change of rate limits: of the buckets that the body gives. */
struct limiter_patch {
	bool has_bandwidth, has_ops;
	struct rate_limiter_config limiter;
};

/* The same for a device; the result points into @patch. */
struct rate_limiter_update limiter_update(const struct limiter_patch *patch);
/* The same for the configuration. */
void limiter_apply(const struct limiter_patch *patch,
		   struct rate_limiter_config *limiter);

/* A change of a running VM's drive. */
struct drive_patch {
	char *id, *path; /* owned; path NULL: unchanged */
	bool has_limits; /* `rate_limiter` was given, perhaps as {} */
	struct limiter_patch limits;
};

int drive_patch_read(struct drive_patch *body, const struct json_t *json,
		     const char *id, struct err *e);
void drive_patch_fini(struct drive_patch *body);

int entropy_read(struct rng_config *body, const struct json_t *json,
		 struct err *e);
/* There is an entropy device, with this limit. */
int entropy_apply(const struct rng_config *body, struct vm_config *config,
		  struct err *e);
void entropy_print(const struct vm_config *config, struct buf *out);

/* ------------------------------------------------------ network interfaces */

/* @id as for drive_read(). */
int interface_read(struct interface_config *body, const struct json_t *json,
		   const char *id, struct err *e);
/* The tap must be usable.  On success @body is taken over. */
int interface_apply(struct interface_config *body, struct vm_config *config,
		    struct err *e);
void interfaces_print(const struct vm_config *config, struct buf *out);

/* A change of a running VM's interface. */
struct interface_patch {
	char *id; /* owned */
	struct limiter_patch rx, tx;
};

int interface_patch_read(struct interface_patch *body,
			 const struct json_t *json, const char *id,
			 struct err *e);
void interface_patch_fini(struct interface_patch *body);

/* @text: six octets, such as "06:00:c0:a8:00:01". */
int mac_parse(uint8_t mac[6], const char *text, struct err *e);

/* -------------------------------------------------------- metadata service */

struct mmds_body {
	struct mmds_config config;
	const struct json_t *interfaces; /* ids; owned by the document */
};

int mmds_config_read(struct mmds_body *body, const struct json_t *json,
		     struct err *e);
/* The interfaces must exist. */
int mmds_config_apply(const struct mmds_body *body, struct vm_config *config,
		      struct err *e);
/* Prints null if there is none. */
void mmds_config_print(const struct vm_config *config, struct buf *out);

/* ------------------------------------------------------- vsock and balloon */

int vsock_read(struct vsock_config *body, const struct json_t *json,
	       struct err *e);
/* The socket must be possible at its path (vsock_check()).  On success @body is
 * taken over, and replaces an earlier one. */
int vsock_apply(struct vsock_config *body, struct vm_config *config,
		struct err *e);
/* Prints null if there is no vsock. */
void vsock_print(const struct vm_config *config, struct buf *out);

int balloon_read(struct balloon_config *body, const struct json_t *json,
		 struct err *e);
/* The balloon must not be larger than RAM. */
int balloon_apply(const struct balloon_config *body, struct vm_config *config,
		  struct err *e);
/* Prints null if there is no balloon. */
void balloon_print(const struct vm_config *config, struct buf *out);

/* The balloon's target size, MiB. */
int balloon_target_read(uint32_t *amount_mib, const struct json_t *json,
			struct err *e);
/* The interval of the balloon's statistics, seconds. */
int balloon_interval_read(uint16_t *interval_s, const struct json_t *json,
			  struct err *e);
void balloon_stats_print(const struct balloon_stats *stats, struct buf *out);

/* @json NULL: the default, true. */
int balloon_hinting_read(bool *acknowledge_on_stop, const struct json_t *json,
			 struct err *e);
void balloon_hinting_print(const struct balloon_hinting_status *status,
			   struct buf *out);

/* ------------------------------------------- where the VMM itself writes to */

struct logger_config {
	char *path, *level, *module; /* owned; NULL: not given */
	bool show_level, show_origin;
};

int logger_config_read(struct logger_config *body, const struct json_t *json,
		       struct err *e);
void logger_config_fini(struct logger_config *body);

struct metrics_config {
	char *path; /* owned */
	bool emit_id, firecracker_only;
	char *properties; /* owned: a JSON object of strings, or NULL */
};

int metrics_config_read(struct metrics_config *body, const struct json_t *json,
			struct err *e);
void metrics_config_fini(struct metrics_config *body);

struct serial_body {
	char *path; /* owned; NULL: the default output */
	struct token_bucket_config limit;
	bool waits; /* the guest waits for a slow reader; false: drop output */
};

int serial_body_read(struct serial_body *body, const struct json_t *json,
		     struct err *e);
void serial_body_fini(struct serial_body *body);

/* ----------------------------------------------------------------- requests */

enum action {
	ACTION_INSTANCE_START,
	ACTION_FLUSH_METRICS,
	ACTION_SEND_CTRL_ALT_DEL,
	ACTION_STOP, /* not Firecracker's */
	ACTION_COUNT
};

int action_read(enum action *action, const struct json_t *json, struct err *e);

struct vm_state_body {
	bool resume;    /* false: pause */
	bool has_clock; /* false: as configured */
	struct clock_request clock;
	unsigned timeout_ms; /* how long a pause may take */
};

int vm_state_read(struct vm_state_body *body, const struct json_t *json,
		  struct err *e);
