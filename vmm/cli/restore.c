/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis restore`: start a VM from a snapshot. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/foreground.h"
#include "vmm/config/bodies.h"
#include "vmm/config/config.h"
#include "vmm/config/snapshot_bodies.h"

struct restore {
	struct foreground foreground; /* must be first */
	struct snapshot_load load;
	const char *folder;
};

/* ------------------------------------------------------------------ options */

static int set_clock(void *context, const char *value, struct err *e)
{
	struct snapshot_load *load = &((struct restore *)context)->load;
	int i = options_parse_choice("clock", value, clock_policy_name, e);

	if (i < 0)
		return -1;
	load->has_clock = true;
	load->clock.policy = (enum clock_policy)i;
	return 0;
}

static int set_max_jump(void *context, const char *value, struct err *e)
{
	struct clock_request *clock = &((struct restore *)context)->load.clock;

	clock->has_max_jump = true;
	return options_parse_max_jump(value, &clock->max_jump_ms, e);
}

static int set_realtime(void *context, const char *value, struct err *e)
{
	struct snapshot_load *load = &((struct restore *)context)->load;

	load->realtime_chosen = true;
	if (realtime_parse(&load->realtime, value, e))
		return err_prefix(e, "--realtime");
	return 0;
}

static int set_eager(void *context, const char *value, struct err *e)
{
	(void)value;
	(void)e;
	((struct restore *)context)->load.backend = MEMORY_EAGER;
	return 0;
}

static int set_huge_pages(void *context, const char *value, struct err *e)
{
	struct snapshot_load *load = &((struct restore *)context)->load;

	load->huge_given = true;
	return huge_pages_read(&load->huge_pages, value, e);
}

/* "ID=PLACE" */
static int add_override(struct host_override *list, unsigned *count,
			unsigned max, const char *option, const char *value,
			struct err *e)
{
	const char *place = strchr(value, '=');
	struct host_override *o = &list[*count];

	if (!place || place == value || !place[1])
		return err_set(e, "--%s %.80s: write ID=%s", option, value,
			       "WHERE-IT-IS-NOW");
	if (*count == max)
		return err_set(e, "--%s may be given at most %u times", option,
			       max);
	for (unsigned i = 0; i < *count; i++) {
		if (strlen(list[i].id) == (size_t)(place - value) &&
		    !strncmp(list[i].id, value, (size_t)(place - value)))
			return err_set(e, "--%s: %.64s is given twice", option,
				       list[i].id);
	}
	++*count;
	o->id = strndup(value, (size_t)(place - value));
	o->place = strdup(place + 1);
	return o->id && o->place ? 0 : err_errno(e, "cannot keep %s", option);
}

static int set_disk(void *context, const char *value, struct err *e)
{
	struct snapshot_load *load = &((struct restore *)context)->load;

	return add_override(load->drive, &load->drive_count, HOST_OVERRIDES_MAX,
			    "disk", value, e);
}

static int set_net(void *context, const char *value, struct err *e)
{
	struct snapshot_load *load = &((struct restore *)context)->load;

	struct host_override *o = &load->network[load->network_count];
	char *word;

	if (add_override(load->network, &load->network_count, VM_INTERFACES_MAX,
			 "net", value, e))
		return -1;
	word = strchr(o->place, ',');
	if (!word)
		return 0;
	*word++ = '\0';
	o->vhost_chosen = true;
	o->vhost = !strcmp(word, "vhost");
	if (o->vhost || !strcmp(word, "no-vhost"))
		return 0;
	return err_set(e,
		       "--net: \"%.40s\" is not valid; after the tap there may "
		       "be vhost or no-vhost",
		       word);
}

static int set_paused(void *context, const char *value, struct err *e)
{
	(void)value;
	(void)e;
	((struct restore *)context)->load.resume = false;
	return 0;
}

static const struct option options[] = {
	{"clock", "POLICY",
	 "the guest's time since the snapshot: frozen (its time\n"
	 "stopped) or continuous (its time kept counting).\n"
	 "Default: as the VM was configured, else frozen",
	 .set = set_clock},
	{"max-jump-ms", "MS",
	 "how far continuous time may jump, for this restore\n"
	 "(default: as configured, 600000)",
	 .set = set_max_jump},
	{"unsynchronized", NULL,
	 "accept continuous after a reboot or on another host\n"
	 "although a wall clock is not synchronised (NTP)",
	 OPTION_FLAG(struct restore, load.clock.unsynchronized)},
	{"realtime", "WHEN",
	 "the wall-clock time that the guest is told, as in\n"
	 "stasis run (default: as in the snapshot)",
	 .set = set_realtime},
	{"track-dirty-pages", NULL,
	 "keep a log of the pages that the guest writes, so\n"
	 "that the time for a snapshot of changes depends on\n"
	 "their number",
	 OPTION_FLAG(struct restore, load.track_dirty)},
	{"eager", NULL,
	 "read all memory now instead of mapping the file,\n"
	 "which may be removed afterwards",
	 .set = set_eager},
	{"huge-pages", "WHAT",
	 "what RAM consists of: None, Transparent or 2M (see\n"
	 "stasis run --help); 2M goes with --eager, or with a\n"
	 "memory file on hugetlbfs. Default: as it was",
	 .set = set_huge_pages},
	{"record-working-set", NULL,
	 "record which memory is touched, until the guest is\n"
	 "paused or ends, for at most 10 s; later restores\n"
	 "read it ahead",
	 OPTION_FLAG(struct restore, load.record_working_set)},
	{"disk", "ID=FILE...", "use FILE for the disk with this id",
	 .set = set_disk},
	{"net", "ID=TAP[,WORD]...",
	 "use TAP for the interface with this id; vhost or\n"
	 "no-vhost overrides whether it uses vhost (see\n"
	 "stasis run --help)",
	 .set = set_net},
	{"vsock", "PATH", "use this path for the vsock's Unix socket",
	 OPTION_COPY(struct restore, load.vsock_path)},
	{"strict", NULL,
	 "the snapshot is somebody else's: open only host files\n"
	 "that --disk, --net and --vsock name, and disks in\n"
	 "FOLDER",
	 OPTION_FLAG(struct restore, load.strict)},
	{"paused", NULL, "leave the guest paused; see stasis ctl resume",
	 .set = set_paused},
	FOREGROUND_OPTIONS,
};

static void print_help(void)
{
	printf("Usage: stasis restore FOLDER [options]\n"
	       "\n"
	       "Start a guest from a snapshot, with its serial console "
	       "here.  FOLDER has the\nsnapshot's two files, state and "
	       "memory; they are not changed, and any number of\nguests can "
	       "be started from them.\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	foreground_print_help();
	printf("\n"
	       "Examples:\n"
	       "  stasis snapshot --socket vm.sock template\n"
	       "  stasis restore template\n"
	       "  stasis restore template --clock continuous\n"
	       "  stasis restore template --disk disk0=clone.img --net "
	       "net0=tap7\n");
}

/* -------------------------------------------------------------------- doing */

/* The folder, absolute if the load is strict, because the names in the state
 * probably are, too, and are compared with it. */
static int find_folder(char *out, size_t size, const struct restore *restore,
		       struct err *e)
{
	const char *folder = restore->folder;
	size_t at = 0;

	if (restore->load.strict && *folder != '/') {
		if (!getcwd(out, size))
			return err_errno(e, "cannot tell where FOLDER is");
		at = strlen(out);
		while (!strncmp(folder, "./", 2))
			folder += 2;
		if (!strcmp(folder, "."))
			return 0;
		out[at++] = '/';
	}
	if ((size_t)snprintf(out + at, size - at, "%s", folder) >= size - at)
		return err_set(e, "the name of the folder is too long");
	return 0;
}

static int join(char **path, const char *folder, const char *name,
		struct err *e)
{
	char text[PATH_MAX];

	if (snprintf(text, sizeof(text), "%s/%s", folder, name) >= PATH_MAX)
		return err_set(e, "the name of the folder is too long");
	return vm_config_set(path, text, e);
}

static int load(void *context, struct instance *instance, struct err *e)
{
	struct restore *restore = context;
	char folder[PATH_MAX];

	if (find_folder(folder, sizeof(folder), restore, e) ||
	    join(&restore->load.state_path, folder, "state", e) ||
	    join(&restore->load.memory_path, folder, "memory", e))
		return -1;
	return instance_load(instance, &restore->load, e);
}

static int check(const struct restore *restore, struct err *e)
{
	const struct snapshot_load *load = &restore->load;

	if (!load->has_clock &&
	    (load->clock.has_max_jump || load->clock.unsynchronized))
		return err_set(e,
			       "--%s goes with --clock continuous; give both",
			       load->clock.has_max_jump ? "max-jump-ms"
							: "unsynchronized");
	return snapshot_load_check(load, e);
}

static int check_folder(const char *folder, struct err *e)
{
	char state[PATH_MAX];

	snprintf(state, sizeof(state), "%s/state", folder);
	if (!access(state, F_OK))
		return 0;
	return err_errno(e,
			 "%.512s holds no snapshot (stasis snapshot FOLDER "
			 "makes one): %.512s",
			 folder, state);
}

int cli_restore(int argc, char **argv)
{
	struct restore restore = {.load.resume = true};
	int status = EXIT_BAD_ARGUMENTS;
	struct option_words words = {.word = &restore.folder, .max = 1};
	struct err e;

	foreground_init(&restore.foreground);
	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, &e);
	if (argc < 0 ||
	    options_parse(options, ARRAY_SIZE(options), argc, argv, &restore,
			  &e) ||
	    check(&restore, &e)) {
		log_error("%s", e.text);
	} else if (restore.foreground.help) {
		print_help();
		status = EXIT_OK;
	} else if (!restore.folder) {
		log_error("a snapshot's FOLDER is needed; see stasis restore "
			  "--help");
	} else if (check_folder(restore.folder, &e)) {
		log_error("%s", e.text);
		status = EXIT_FAILED;
	} else {
		foreground_log(&restore.foreground);
		if (restore.load.record_working_set)
			restore.foreground.sandbox.records = restore.folder;
		status = foreground_run(&restore.foreground, load, &restore);
	}
	snapshot_load_fini(&restore.load);
	return status;
}
