/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's files: who lives there (jailer/jail/alive.c), the pid file, the
 * copies of the program and of the host's files.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "jailer/jail/alive.h"
#include "jailer/jail/devices.h"
#include "jailer/jail/exec_file.h"
#include "jailer/jail/host_files.h"
#include "jailer/jail/pid_file.h"
#include "jailer/netns.h"
#include "tests/unit/jailer_world.h"
#include "tests/unit/testing.h"

/* ----------------------------------------------------------------- the pid
 * file */

static void the_pid_file_has_a_number(void **state)
{
	struct jailer_world *w = *state;
	struct err e;

	jailer_world_folder(w, ".pid");
	jailer_world_file(w, ".pid/left", "by a VMM");
	assert_ok(pid_file_write(&w->tree, "vmm.pid", 4321, &e), e);
	assert_string_equal(jailer_world_read(w, "vmm.pid"), "4321");
	assert_int_equal(alive_read_pid(&w->tree, "vmm.pid"), 4321);
	assert_int_equal(jailer_world_count(w), 1);
	undo_all(&w->undo);
	assert_int_equal(jailer_world_count(w), 0);
}

static void a_pid_file_is_not_replaced(void **state)
{
	struct jailer_world *w = *state;
	struct err e;

	jailer_world_file(w, "vmm.pid", "1");
	assert_err(pid_file_write(&w->tree, "vmm.pid", 2, &e), e,
		   "vmm.pid: File exists");
	assert_string_equal(jailer_world_read(w, "vmm.pid"), "1");
	assert_int_equal(jailer_world_count(w), 1);
}

static void only_numbers_of_processes_are_read(void **state)
{
	static const char *const bad[] = {
		"",   "\n", "0",          "-5",    "5 6",
		"x5", "5x", "2147483648", "5\n\n", "00000000000000000005"};
	struct jailer_world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		jailer_world_file(w, "p", bad[i]);
		assert_int_equal(alive_read_pid(&w->tree, "p"), 0);
	}
	jailer_world_file(w, "p", "2147483647\n");
	assert_int_equal(alive_read_pid(&w->tree, "p"), 2147483647);
	jailer_world_link(w, "link", "p");
	assert_int_equal(alive_read_pid(&w->tree, "link"), 0);
	assert_int_equal(alive_read_pid(&w->tree, "none"), 0);
	assert_int_equal(mkfifoat(w->tree.fd, "fifo", 0600), 0);
	assert_int_equal(alive_read_pid(&w->tree, "fifo"), 0);
	assert_int_equal(alive_read_pid(&w->tree, "."), 0);
}

/* -------------------------------------------------------------- who lives
 * there */

/* A procfs with the processes 5 and 60, of which 60 is in the jail `root`. */
static void make_proc(struct jailer_world *w)
{
	jailer_world_folder(w, "root");
	jailer_world_file(w, "root/vmm", "the program");
	jailer_world_file(w, "other", "the program");
	jailer_world_folder(w, "proc");
	jailer_world_folder(w, "proc/5");
	jailer_world_folder(w, "proc/60");
	jailer_world_folder(w, "proc/60x");
	jailer_world_folder(w, "proc/self");
	jailer_world_link(w, "proc/5/exe", "../../other");
	jailer_world_link(w, "proc/5/root", "../..");
	jailer_world_link(w, "proc/60/exe", "../../root/vmm");
	jailer_world_link(w, "proc/60/root", "../../root");
	jailer_world_link(w, "proc/self/root", "../../root");
	jailer_world_link(w, "proc/60x/root", "../../root");
}

/* Who is found, if the pid file says @pid. */
static pid_t find(struct jailer_world *w, pid_t pid, const char *exec)
{
	struct stat root, st;
	char proc[80];
	struct err e;

	snprintf(proc, sizeof(proc), "%s/proc", w->path);
	assert_true(tree_look(&w->tree, "root", &root));
	assert_true(!exec || tree_look(&w->tree, exec, &st));
	return alive_find(proc, pid, exec ? &st : NULL, &root, &e);
}

static void who_runs_the_jails_program_lives(void **state)
{
	struct jailer_world *w = *state;

	make_proc(w);
	unlinkat(w->tree.fd, "proc/60/root", 0);
	assert_int_equal(find(w, 60, "root/vmm"), 60);
	assert_int_equal(find(w, 60, NULL), 0);
	/* The number was used again, by a process of another program. */
	assert_int_equal(find(w, 5, "root/vmm"), 0);
	assert_int_equal(find(w, 61, "root/vmm"), 0);
}

/* It may have removed the pid file, and its own program. */
static void whose_root_is_the_jail_lives(void **state)
{
	struct jailer_world *w = *state;

	make_proc(w);
	assert_int_equal(find(w, 0, NULL), 60);
	assert_int_equal(find(w, 5, "root/vmm"), 60);
	unlinkat(w->tree.fd, "proc/60/root", 0);
	assert_int_equal(find(w, 0, NULL), 0);
}

static void without_procfs_nobody_knows(void **state)
{
	struct stat st = {0};
	struct err e;

	(void)state;
	assert_err(alive_find("/nonexistent", 1, &st, &st, &e), e,
		   "cannot tell whether the jail is in use");
}

static void this_process_is_found(void **state)
{
	struct stat exe, root;
	struct err e;

	(void)state;
	assert_int_equal(stat("/proc/self/exe", &exe), 0);
	assert_int_equal(stat("/tmp", &root), 0);
	assert_int_equal(alive_find("/proc", getpid(), &exe, &root, &e),
			 getpid());
	assert_int_equal(alive_find("/proc", getpid(), &root, &exe, &e), 0);
}

/* ------------------------------------------------------------------ the
 * program */

static int open_exec(struct jailer_world *w, const char *name, char *found,
		     struct err *e)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/%s", w->path, name);
	return exec_file_open(path, found, e);
}

static void the_program_is_copied(void **state)
{
	struct jailer_world *w = *state;
	char name[EXEC_NAME_MAX + 1];
	struct stat st;
	struct err e;
	AUTO_CLOSE int fd = -1;

	jailer_world_file(w, "vmm-1.0", "the program");
	fchmodat(w->tree.fd, "vmm-1.0", 0750, 0);
	jailer_world_link(w, "vmm", "vmm-1.0");
	jailer_world_folder(w, "root");
	/* The name is where the link leads, as Firecracker's jailer has it. */
	fd = open_exec(w, "vmm", name, &e);
	assert_true(fd >= 0);
	assert_string_equal(name, "vmm-1.0");
	/* What is copied is what was looked at. */
	assert_int_equal(unlinkat(w->tree.fd, "vmm-1.0", 0), 0);
	jailer_world_file(w, "vmm-1.0", "another");
	assert_ok(exec_file_copy(fd, &w->tree, "root/vmm", &e), e);
	assert_string_equal(jailer_world_read(w, "root/vmm"), "the program");
	assert_true(tree_look(&w->tree, "root/vmm", &st));
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_err(exec_file_copy(fd, &w->tree, "root/vmm", &e), e,
		   "root/vmm: File exists");
}

static void other_programs_are_refused(void **state)
{
	struct jailer_world *w = *state;
	char name[EXEC_NAME_MAX + 1], longest[EXEC_NAME_MAX + 2];
	unsigned before = testing_count_fds();
	struct err e;

	jailer_world_file(w, "two", "");
	fchmodat(w->tree.fd, "two", 0755, 0);
	assert_int_equal(linkat(w->tree.fd, "two", w->tree.fd, "links", 0), 0);
	assert_err(open_exec(w, "two", name, &e), e, "has 2 links");
	jailer_world_file(w, "data", "");
	assert_err(open_exec(w, "data", name, &e), e, "is not executable");
	jailer_world_folder(w, "folder");
	assert_err(open_exec(w, "folder", name, &e), e, "not a regular file");
	assert_int_equal(mkfifoat(w->tree.fd, "fifo", 0755), 0);
	assert_err(open_exec(w, "fifo", name, &e), e, "not a regular file");
	assert_err(open_exec(w, "none", name, &e), e, "No such file");
	memset(longest, 'n', sizeof(longest));
	longest[EXEC_NAME_MAX + 1] = '\0';
	jailer_world_file(w, longest, "");
	fchmodat(w->tree.fd, longest, 0755, 0);
	assert_err(open_exec(w, longest, name, &e), e, "longer than 251");
	assert_int_equal(testing_count_fds(), before);
}

/* ------------------------------------------------------------------ other
 * files */

static const char *const host_folders[] = {
	"host",
	"host/sys",
	"host/sys/devices",
	"host/sys/devices/system",
	"host/sys/devices/system/cpu",
	"host/" HOST_CPU0,
	"host/" HOST_CPU0 "/cache",
	"host/" HOST_CPU0 "/cache/index0",
	"host/" HOST_CPU0 "/cache/index3",
	"host/" HOST_CPU0 "/regs",
	"host/" HOST_CPU0 "/regs/identification",
	"jail",
};

static void the_hosts_caches_are_copied(void **state)
{
	struct jailer_world *w = *state;
	char host[80];
	struct tree jail;
	struct err e;

	for (unsigned i = 0; i < ARRAY_SIZE(host_folders); i++)
		jailer_world_folder(w, host_folders[i]);
	jailer_world_file(w, "host/" HOST_CPU0 "/cache/index0/level", "1\n");
	jailer_world_file(w, "host/" HOST_CPU0 "/cache/index3/size", "4K\n");
	jailer_world_file(w, "host/" HOST_CPU0 "/cache/index3/uevent", "no");
	jailer_world_file(w, "host/" HOST_CPU0 "/regs/identification/midr_el1",
			  "0x1\n");
	snprintf(host, sizeof(host), "%s/host", w->path);
	jail = (struct tree){openat(w->tree.fd, "jail", O_RDONLY), w->path,
			     &w->undo};
	assert_ok(host_files_copy(host, &jail, &e), e);
	assert_string_equal(
		jailer_world_read(w, "jail/" HOST_CPU0 "/cache/index0/level"),
		"1\n");
	assert_string_equal(
		jailer_world_read(w, "jail/" HOST_CPU0 "/cache/index3/size"),
		"4K\n");
	assert_null(
		jailer_world_read(w, "jail/" HOST_CPU0 "/cache/index3/uevent"));
	assert_string_equal(jailer_world_read(w, "jail/" HOST_CPU0
						 "/regs/identification/"
						 "midr_el1"),
			    "0x1\n");
	/* Those that are there stay. */
	assert_ok(host_files_copy(host, &jail, &e), e);
	undo_all(&w->undo);
	assert_null(jailer_world_read(w, "jail/sys"));
	close(jail.fd);
}

static void the_minor_of_a_device_is_found(void **state)
{
	static const char list[] = "232 kvm\n 126 userfaultfd\n"
				   "127 vhost-net\n 60 userfaultfd2\n";
	unsigned minor = 0;

	(void)state;
	assert_true(devices_find_misc(list, "userfaultfd", &minor));
	assert_int_equal(minor, 126);
	assert_true(devices_find_misc(list, "kvm", &minor));
	assert_int_equal(minor, 232);
	assert_true(devices_find_misc("9 last", "last", &minor));
	assert_int_equal(minor, 9);
	assert_false(devices_find_misc(list, "vhost", &minor));
	assert_false(devices_find_misc(list, "fd", &minor));
	assert_false(devices_find_misc("", "kvm", &minor));
	assert_false(devices_find_misc("kvm\n", "kvm", &minor));
}

static void only_network_namespaces_are_joined(void **state)
{
	struct jailer_world *w = *state;
	struct err e;
	AUTO_CLOSE int fd = netns_open("/proc/self/ns/net", &e);

	assert_true(fd >= 0);
	assert_err(netns_open("/proc/self/ns/mnt", &e), e,
		   "is not a network namespace");
	assert_err(netns_open("/proc/self/exe", &e), e,
		   "is not a network namespace");
	assert_err(netns_open(w->path, &e), e, "is not a network namespace");
	assert_err(netns_open("/dev/null", &e), e,
		   "is not a network namespace");
	assert_err(netns_open("/nonexistent", &e), e, "No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JAILER_TEST(the_pid_file_has_a_number),
		JAILER_TEST(a_pid_file_is_not_replaced),
		JAILER_TEST(only_numbers_of_processes_are_read),
		JAILER_TEST(who_runs_the_jails_program_lives),
		JAILER_TEST(whose_root_is_the_jail_lives),
		JAILER_TEST(without_procfs_nobody_knows),
		JAILER_TEST(this_process_is_found),
		JAILER_TEST(the_program_is_copied),
		JAILER_TEST(other_programs_are_refused),
		JAILER_TEST(the_hosts_caches_are_copied),
		JAILER_TEST(the_minor_of_a_device_is_found),
		JAILER_TEST(only_network_namespaces_are_joined),
	};

	return RUN_TESTS("jailer_files", tests);
}
