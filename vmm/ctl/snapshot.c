/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stasis snapshot`: take a snapshot of a VM in another process through its
 * API, or merge a diff into an older memory file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "snapshot/memory/memory_file.h"
#include "snapshot/memory/memory_mark.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/client.h"
#include "vmm/ctl/snapshot_disks.h"
#include "vmm/vm/vm_snapshot.h"

enum { TIMEOUT_MS = 600000 };

struct snapshot {
	const char *socket, *folder;
	const char *memory, *state,
		*mode; /* override FOLDER's files and their mode */
	const char *base, *diff;
	bool only_changes, stay_paused, no_sync, no_details, with_disks, help;
};

/* ------------------------------------------------------------------- taking */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* From here on Ctrl-C only cancels requests, so that we can resume the VM. */
static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Send a request; -1 and @e unless it was accepted. */
static int request(const struct snapshot *s, const char *method,
		   const char *path, const struct buf *body,
		   struct client_answer *answer, struct err *e)
{
	const struct client_request r = {
		.socket = s->socket,
		.method = method,
		.path = path,
		.body = body ? body->data : NULL,
		.body_len = body ? body->len : 0,
		.timeout_ms = TIMEOUT_MS,
		.interrupted = &interrupted,
	};
	struct json_t *json;
	const char *why = NULL;
	struct err ignored;

	if (client_call(&r, answer, e))
		return err_prefix(e, "%.200s", s->socket);
	if (answer->status >= 200 && answer->status <= 299)
		return 0;
	json = json_parse(answer->body.data ? answer->body.data : "",
			  answer->body.len, &ignored);
	if (json)
		why = json_text(json_member(json, "fault_message"));
	err_set(e, "%.700s", why ? why : "the VMM gave no reason");
	json_free(json);
	return -1;
}

static int order(const struct snapshot *s, const char *method, const char *path,
		 const struct buf *body, struct err *e)
{
	struct client_answer answer = {0};
	int r = request(s, method, path, body, &answer, e);

	buf_free(&answer.body);
	return r;
}

static int is_running(const struct snapshot *s, bool *running, struct err *e)
{
	struct client_answer answer = {0};
	struct json_t *json = NULL;
	const char *state = NULL;
	int r = request(s, "GET", "/", NULL, &answer, e);

	if (!r)
		json = json_parse(answer.body.data, answer.body.len, e);
	if (json)
		state = json_text(json_member(json, "state"));
	if (!r && !state)
		r = err_set(e, "%.200s: the VMM does not report its state",
			    s->socket);
	*running = state && !strcmp(state, "Running");
	json_free(json);
	buf_free(&answer.body);
	return r;
}

static int set_state(const struct snapshot *s, const char *state, struct err *e)
{
	struct buf body = {0};
	int r;

	buf_printf(&body, "{\"state\":\"%s\"}", state);
	r = order(s, "PATCH", "/vm", &body, e);
	buf_free(&body);
	return r ? err_prefix(e, "%s", state) : 0;
}

static void add_text(struct buf *body, const char *member, const char *text)
{
	buf_printf(body, ",\"%s\":", member);
	buf_json_string(body, text);
}

/*
 * Add a path to @body: @given, made absolute because the VMM may have another
 * working directory, or @name in @folder.
 */
static void add_path(struct buf *body, const char *member, const char *given,
		     const char *folder, const char *name)
{
	char path[2 * PATH_MAX], here[PATH_MAX];

	if (!given)
		snprintf(path, sizeof(path), "%s/%s", folder, name);
	else if (given[0] == '/' || !getcwd(here, sizeof(here)))
		snprintf(path, sizeof(path), "%s", given);
	else
		snprintf(path, sizeof(path), "%s/%s", here, given);
	add_text(body, member, path);
}

static int create(const struct snapshot *s, const char *folder, struct err *e)
{
	struct buf body = {0};
	int r;

	buf_printf(&body, "{\"snapshot_type\":\"%s\"",
		   s->only_changes ? "Diff" : "Full");
	add_path(&body, "snapshot_path", s->state, folder, "state");
	add_path(&body, "mem_file_path", s->memory, folder, "memory");
	if (s->mode)
		add_text(&body, "mode", s->mode);
	if (s->no_sync)
		buf_text(&body, ",\"sync_snapshot_files\":false");
	if (s->no_details)
		buf_text(&body, ",\"host_details\":false");
	buf_text(&body, "}");
	r = order(s, "PUT", "/snapshot/create", &body, e);
	buf_free(&body);
	return r;
}

static bool may_copy(void *context)
{
	(void)context;
	return !interrupted;
}

/* Copy the disks, which belong to the state that was just written. */
static int copy_disks(const struct snapshot *s, const char *folder,
		      struct err *e)
{
	const struct go_on go_on = {.ask = may_copy};
	struct client_answer answer = {0};
	struct json_t *config = NULL;
	int r = request(s, "GET", "/vm/config", NULL, &answer, e);

	if (!r)
		config = json_parse(answer.body.data, answer.body.len, e);
	r = config ? snapshot_disks_copy(folder, config, answer.pid, &go_on, e)
		   : -1;
	json_free(config);
	buf_free(&answer.body);
	return r;
}

/*
 * Create the folder if it does not exist.  @path gets its absolute path,
 * because the VMM may have another working directory.
 */
static int make_folder(const char *name, char path[PATH_MAX], struct err *e)
{
	size_t at;

	if (mkdir(name, 0700) && errno != EEXIST)
		return err_errno(e, "cannot create %.512s", name);
	if (*name == '/') {
		snprintf(path, PATH_MAX, "%s", name);
		return 0;
	}
	if (!getcwd(path, PATH_MAX))
		return err_errno(e, "cannot tell the working directory");
	at = strlen(path);
	if (at + strlen(name) + 2 > PATH_MAX)
		return err_set(e, "the name of the folder %.512s is too long",
			       name);
	snprintf(path + at, PATH_MAX - at, "/%s", name);
	return 0;
}

static int take(const struct snapshot *s, struct err *e)
{
	char folder[PATH_MAX] = "";
	struct err resume;
	bool running;
	int r;

	if ((s->folder && make_folder(s->folder, folder, e)) ||
	    is_running(s, &running, e))
		return -1;
	catch_signals();
	r = running ? set_state(s, "Paused", e) : 0;
	if (r && !interrupted)
		return -1;
	if (!r)
		r = create(s, folder, e);
	if (!r && s->with_disks)
		r = copy_disks(s, folder, e);
	/* Resuming cancels the snapshot if it is still being written. */
	interrupted = 0;
	if (!running || s->stay_paused || !set_state(s, "Resumed", &resume))
		return r;
	if (!r)
		return err_set(e,
			       "the snapshot was taken, but the VM stays "
			       "paused: %.600s",
			       resume.text);
	return err_prefix(e, "the VM stays paused (%.300s)", resume.text);
}

/* ------------------------------------------------------------------ merging */

static int merge(const struct snapshot *s, struct err *e)
{
	struct memory_mark mark;
	uint64_t size;
	AUTO_CLOSE int diff = io_open_file(s->diff, &size, e);
	AUTO_CLOSE int base =
		diff < 0 ? -1 : open(s->base, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (diff < 0)
		return -1;
	if (base < 0)
		return err_errno(e, "cannot open %.512s", s->base);
	io_set_blocking(base);
	if (flock(base, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return err_set(e,
			       "%.512s: a microVM runs from it, or a snapshot "
			       "is being written there; merge into a copy",
			       s->base);
	if (memory_mark_read(&mark, diff, vm_mark_offset(), e))
		return err_prefix(e, "%.256s", s->diff);
	if (memory_mark_check(&mark, base, vm_mark_offset(), e) ||
	    memory_file_merge(base, diff, e))
		return err_prefix(e, "%.256s over %.256s", s->diff, s->base);
	if (fsync(base))
		return err_errno(e, "cannot sync %.512s", s->base);
	return 0;
}

/* ------------------------------------------------------------------ options */

static const struct option take_options[] = {
	{"socket", "PATH", "the VMM's API socket\n(default " DEFAULT_SOCKET ")",
	 OPTION_TEXT(struct snapshot, socket)},
	{"changes", NULL,
	 "write only memory that changed since the guest was\n"
	 "loaded, or since the last snapshot; see merge",
	 OPTION_FLAG(struct snapshot, only_changes)},
	{"paused", NULL, "leave the VM paused afterwards",
	 OPTION_FLAG(struct snapshot, stay_paused)},
	{"with-disks", NULL,
	 "also copy the disks that the guest can write, to\n"
	 "FOLDER/ID.disk, before it is resumed; on file systems\n"
	 "that can (XFS, Btrfs) the copies share their blocks",
	 OPTION_FLAG(struct snapshot, with_disks)},
	{"no-sync", NULL,
	 "do not sync the files: the snapshot may not survive a\n"
	 "power loss",
	 OPTION_FLAG(struct snapshot, no_sync)},
	{"no-host-details", NULL,
	 "leave out of the state what describes this host: the\n"
	 "names of disks, taps and sockets, which a restore then\n"
	 "has to give, when it booted, and its kernel",
	 OPTION_FLAG(struct snapshot, no_details)},
	{"memory", "PATH",
	 "write memory here instead of to FOLDER/memory: a file,\n"
	 "a FIFO, or a listening Unix socket",
	 OPTION_TEXT(struct snapshot, memory)},
	{"state", "PATH", "the same for the state",
	 OPTION_TEXT(struct snapshot, state)},
	{"mode", "MODE",
	 "mode of new files, in octal (default 0600); existing\n"
	 "files keep their owner and mode",
	 OPTION_TEXT(struct snapshot, mode)},
	{"help", NULL, "show this", OPTION_FLAG(struct snapshot, help)},
};

static const struct option merge_options[] = {
	{"base", "FILE", "the memory file of the earlier snapshot",
	 OPTION_TEXT(struct snapshot, base)},
	{"diff", "FILE", "the memory file that has the changes",
	 OPTION_TEXT(struct snapshot, diff)},
	{"help", NULL, "show this", OPTION_FLAG(struct snapshot, help)},
};

static int print_help(void)
{
	printf("Usage: stasis snapshot FOLDER [options]\n"
	       "       stasis snapshot --memory PATH --state PATH [options]\n"
	       "       stasis snapshot merge --base FILE --diff FILE\n\n"
	       "Take a snapshot of a VM that has an API socket.  It is "
	       "written to the files\nstate and memory in FOLDER, which is "
	       "created.  The VM is paused meanwhile, and\nthen resumed.  An "
	       "existing snapshot is replaced atomically; files that cannot "
	       "be replaced are\noverwritten.\n\n");
	options_print(take_options, ARRAY_SIZE(take_options));
	printf("\nmerge writes the changes into the older memory file.  The "
	       "result belongs to the\nstate file of the later snapshot.  No "
	       "VM may run from the base.\n\n");
	options_print(merge_options, ARRAY_SIZE(merge_options) - 1);
	printf("\nExit status: 0 on success, 1 after a failure, 153 for "
	       "invalid arguments.\n");
	return EXIT_OK;
}

static int wrong(const struct err *e)
{
	log_error("%s", e->text);
	return EXIT_BAD_ARGUMENTS;
}

static int run_merge(int argc, char **argv)
{
	struct snapshot s = {0};
	struct err e;

	if (options_parse(merge_options, ARRAY_SIZE(merge_options), argc, argv,
			  &s, &e))
		return wrong(&e);
	if (s.help)
		return print_help();
	if (!s.base || !s.diff) {
		err_set(&e, "merge needs --base FILE and --diff FILE; see "
			    "stasis snapshot --help");
		return wrong(&e);
	}
	if (!merge(&s, &e))
		return EXIT_OK;
	log_error("%s", e.text);
	return EXIT_FAILED;
}

int cli_snapshot(int argc, char **argv)
{
	struct snapshot s = {.socket = DEFAULT_SOCKET};
	struct option_words words = {.word = &s.folder, .max = 1};
	struct err e;

	if (argc && !strcmp(argv[0], "merge"))
		return run_merge(argc - 1, argv + 1);
	argc = options_take_words(take_options, ARRAY_SIZE(take_options), argc,
				  argv, &words, &e);
	if (argc < 0 || options_parse(take_options, ARRAY_SIZE(take_options),
				      argc, argv, &s, &e))
		return wrong(&e);
	if (s.help)
		return print_help();
	if (s.with_disks && !s.folder) {
		err_set(&e, "--with-disks needs a FOLDER for the copies");
		return wrong(&e);
	}
	if (!s.folder && !(s.memory && s.state)) {
		err_set(&e, "FOLDER is needed; see stasis snapshot --help");
		return wrong(&e);
	}
	if (!take(&s, &e))
		return EXIT_OK;
	log_error("%s", e.text);
	return EXIT_FAILED;
}
