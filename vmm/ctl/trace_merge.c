/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stasis trace-merge`: copies of the host's and a guest's file of trace-cmd
 * that `trace-cmd report` and KernelShark show as one, with the guest's events
 * where they were, whatever pauses there were between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/ctl_clock.h"
#include "vmm/ctl/trace_file.h"
#include "vmm/ctl/trace_shift.h"

enum { CLOCK_BYTES_MAX = 1 << 20 };

struct trace_merge {
	const char *socket, *clock, *out, *guest;
	bool help;
	struct json_t *json; /* the answer of GET /clock */
	struct clock_answer answer;
	struct trace_shift shift;
	uint32_t thread[TRACE_VCPUS_MAX];
	unsigned vcpus;
};

/* One of the two files. */
struct side {
	const char *path, *name; /* its name without folders */
	int fd;
	struct trace_file file;
	struct buf options; /* new ones */
};

/* ------------------------------------------------------------ what is known */

static int load_clock(struct trace_merge *m, struct err *e)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	if (!m->clock) {
		m->json = clock_answer_get(m->socket, &m->answer, e);
		return m->json ? 0 : err_prefix(e, "%.512s", m->socket);
	}
	text = io_read_file(m->clock, CLOCK_BYTES_MAX, &len, e);
	if (!text)
		return -1;
	m->json = json_parse(text, len, e);
	if (!m->json || clock_answer_read(&m->answer, m->json, e))
		return err_prefix(e, "%.512s", m->clock);
	return 0;
}

static int read_threads(struct trace_merge *m, struct err *e)
{
	int n = json_array_len(m->answer.threads);

	if (n < 1 || n > TRACE_VCPUS_MAX)
		return err_set(e, "the answer of GET /clock has no threads of "
				  "vCPUs: is it of an older stasis?");
	for (int i = 0; i < n; i++) {
		uint64_t id;

		if (!json_u64(json_array_at(m->answer.threads, (unsigned)i),
			      &id) ||
		    !id || id > INT_MAX)
			return err_set(e, "a vCPU has no thread: has the VM "
					  "started?");
		m->thread[i] = (uint32_t)id;
	}
	m->vcpus = (unsigned)n;
	return 0;
}

static int know_clock(struct trace_merge *m, struct err *e)
{
	struct trace_pair pair;
	int64_t counter;

	if (clock_pair_read(&counter, &pair.ns, m->guest, e))
		return -1;
	pair.counter = (uint64_t)counter;
	if (load_clock(m, e))
		return -1;
	if (read_threads(m, e) ||
	    trace_shift_make(&m->shift, &m->answer, &pair, e))
		return err_prefix(e, "%.512s", m->clock ? m->clock : m->socket);
	return 0;
}

/* ---------------------------------------------------------------- the files */

static int open_side(struct side *s, struct err *e)
{
	const char *slash = strrchr(s->path, '/');
	uint64_t size;

	s->name = slash ? slash + 1 : s->path;
	s->fd = io_open_file(s->path, &size, e);
	if (s->fd < 0)
		return -1;
	if (trace_file_read(&s->file, s->fd, size, e))
		return err_prefix(e, "%.512s", s->path);
	if (!s->file.id)
		return err_set(e,
			       "%.512s: it has no number of its own: record it "
			       "with trace-cmd 3 or later",
			       s->path);
	return 0;
}

static int check_host(const struct trace_merge *m, const struct side *host,
		      struct err *e)
{
	if (host->file.is_shifted)
		return err_set(e,
			       "%.512s: it is a guest's: give the host's "
			       "file first",
			       host->path);
	/* A clock that was asked before the end of the host's trace is as good,
	 * but no clock of this boot is behind the trace's first event. */
	if (host->file.oldest_ns != INT64_MAX &&
	    host->file.oldest_ns > m->shift.host_ns)
		return err_set(e,
			       "%.512s: it begins after the clock was asked "
			       "for: it is of another boot, or of another "
			       "host",
			       host->path);
	return 0;
}

static int check_guest(const struct trace_merge *m, const struct side *guest,
		       struct err *e)
{
	/* The kernel rounds what it says of the end. */
	enum { ROUNDED_NS = 1000000 };
	const struct trace_file *f = &guest->file;

	if (f->is_shifted)
		return err_set(e,
			       "%.512s: it has been merged: give the file "
			       "as it was recorded",
			       guest->path);
	if (f->cpus > m->vcpus)
		return err_set(e,
			       "%.512s: it has %u CPUs, the VM has %u: it is "
			       "of another VM",
			       guest->path, f->cpus, m->vcpus);
	if (f->end_ns / ROUNDED_NS > m->shift.end_ns / ROUNDED_NS + 1)
		return err_set(e,
			       "%.512s: it ends after this VM's clock was "
			       "asked for: it is of another VM, or ask "
			       "again",
			       guest->path);
	if (f->oldest_ns != INT64_MAX &&
	    f->oldest_ns / ROUNDED_NS <
		    m->shift.stretch[0].from_ns / ROUNDED_NS - 1)
		return err_set(e,
			       "%.512s: it begins before what GET /clock "
			       "remembers of the VM: it is of another VM, "
			       "or record less",
			       guest->path);
	return 0;
}

/* ----------------------------------------------------------------- the copy */

/* @path of @folder and @name; -1 if that is too long. */
static int join(char *path, const char *folder, const char *name, struct err *e)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);

	return n < PATH_MAX
		       ? 0
		       : err_set(e, "%.60s...: the name is too long", folder);
}

static int write_side(const struct trace_merge *m, const struct side *s,
		      struct err *e)
{
	char path[PATH_MAX];
	AUTO_CLOSE int fd = -1;

	if (join(path, m->out, s->name, e))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, "cannot create %.512s", path);
	if (trace_file_copy(&s->file, fd, &s->options, e)) {
		unlink(path);
		return err_prefix(e, "%.512s", path);
	}
	return 0;
}

static int write_both(const struct trace_merge *m, const struct side side[2],
		      struct err *e)
{
	bool created = !mkdir(m->out, 0700);
	char path[PATH_MAX];

	if (!created && errno != EEXIST)
		return err_errno(e, "cannot create %.512s", m->out);
	if (!write_side(m, &side[0], e)) {
		if (!write_side(m, &side[1], e))
			return 0;
		if (!join(path, m->out, side[0].name, &(struct err){{0}}))
			unlink(path);
	}
	if (created)
		rmdir(m->out);
	return -1;
}

static int merge(struct trace_merge *m, struct side side[2], struct err *e)
{
	struct side *host = &side[0], *guest = &side[1];

	if (open_side(host, e) || open_side(guest, e))
		return -1;
	if (host->file.id == guest->file.id || !strcmp(host->name, guest->name))
		return err_set(e,
			       "both files are %.512s: give the host's and "
			       "the guest's, with different names",
			       guest->name);
	if (know_clock(m, e) || check_host(m, host, e) ||
	    check_guest(m, guest, e))
		return -1;
	trace_guest_print(guest->name, guest->file.id, m->thread, m->vcpus,
			  &host->options);
	trace_shift_print(&m->shift, host->file.id, m->vcpus, &guest->options);
	if (write_both(m, side, e))
		return -1;
	printf("%s/%s and %s/%s: %u offset%s\n", m->out, host->name, m->out,
	       guest->name, m->shift.count, m->shift.count == 1 ? "" : "s");
	return 0;
}

/* ------------------------------------------------------------------ options */

static const struct option options[] = {
	{"guest", "COUNTER:NS",
	 "the guest's counter and its CLOCK_MONOTONIC_RAW at one\n"
	 "instant, as `clock-follow --pair` in the guest prints",
	 OPTION_TEXT(struct trace_merge, guest)},
	{"socket", "PATH",
	 "ask this VMM for its clock now\n(default " DEFAULT_SOCKET ")",
	 OPTION_TEXT(struct trace_merge, socket)},
	{"clock", "FILE",
	 "instead: what `stasis ctl --json clock` said after the\n"
	 "recording",
	 OPTION_TEXT(struct trace_merge, clock)},
	{"out", "FOLDER", "where the copies go (default merged)",
	 OPTION_TEXT(struct trace_merge, out)},
	{"help", NULL, "show this", OPTION_FLAG(struct trace_merge, help)},
};

static int run(struct trace_merge *m, const char *const word[2])
{
	struct side side[2] = {{.path = word[0], .fd = -1},
			       {.path = word[1], .fd = -1}};
	struct err e;
	int r = merge(m, side, &e);

	if (r)
		log_error("%s", e.text);
	for (int i = 0; i < 2; i++) {
		util_close(&side[i].fd);
		buf_free(&side[i].options);
	}
	json_free(m->json);
	return r ? EXIT_FAILED : EXIT_OK;
}

int cli_trace_merge(int argc, char **argv)
{
	struct trace_merge m = {0}; /* large: other values would be a copy */
	const char *word[2] = {0};
	struct option_words words = {.word = word, .max = 2};
	struct err e;

	m.socket = DEFAULT_SOCKET;
	m.out = "merged";
	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, &e);
	if (argc < 0 ||
	    options_parse(options, ARRAY_SIZE(options), argc, argv, &m, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (m.help) {
		printf("Usage: stasis trace-merge HOST.dat GUEST.dat --guest "
		       "COUNTER:NS [options]\n\n"
		       "Copy both files of trace-cmd (record -C mono_raw) to a "
		       "folder, so that\n"
		       "`trace-cmd report -i HOST.dat -i GUEST.dat` there "
		       "shows "
		       "one trace.\n\n");
		options_print(options, ARRAY_SIZE(options));
		return EXIT_OK;
	}
	if (words.count != 2 || !m.guest) {
		log_error("HOST.dat, GUEST.dat and --guest are needed; see "
			  "stasis trace-merge --help");
		return EXIT_BAD_ARGUMENTS;
	}
	return run(&m, word);
}
