/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The /init of an image that `stasis image build` makes: loads the kernel's
 * modules, configures eth0, starts clock-follow, mounts the root disk, and
 * starts the root's own init.  If it has none, as container images, this stays
 * process 1: it runs the image's command at the console, and powers the guest
 * off when that ends.
 *
 * Kernel command line:
 *	root=DEVICE (/dev/vda)  rootfstype=TYPE (ext4)  ro  init=PROGRAM
 *	ip=ADDRESS::GATEWAY:NETMASK:HOSTNAME:DEVICE::DNS, as Linux documents in
 *	admin-guide/nfs/nfsroot.rst, for kernels that have not CONFIG_IP_PNP
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 10000, EACH_MS = 10, WORDS_MAX = 256 };

static char cmdline[4096];

static void say(const char *what, const char *which)
{
	fprintf(stderr, "image-init: %s %s: %s\n", what, which,
		strerror(errno));
}

/* Nothing can be done without it: say so, and power off. */
static void fatal(const char *what, const char *which)
{
	say(what, which);
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

/* --------------------------------------------------- the kernel command line
 */

static void read_cmdline(void)
{
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, cmdline, sizeof(cmdline) - 1);

	cmdline[n > 0 ? n : 0] = '\0';
	cmdline[strcspn(cmdline, "\n")] = '\0';
	close(fd);
}

/* Copy the value of the last NAME=VALUE; false if there is none.  @name ends
 * with "=", or is a word of its own. */
static bool option(const char *name, char *value, size_t size)
{
	size_t len = strlen(name);
	bool found = false;

	for (const char *at = cmdline; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");

		if (word >= len && !strncmp(at, name, len) &&
		    (name[len - 1] == '=' || word == len)) {
			snprintf(value, size, "%.*s", (int)(word - len),
				 at + len);
			found = true;
		}
		at += word;
	}
	return found;
}

/* ------------------------------------------------------------------ modules */

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		say("cannot load", path);
	close(fd);
	/* The initrd is RAM, and nothing needs this any more. */
	unlink(path);
}

/* /modules/order has one name in each line. */
static void load_modules(void)
{
	FILE *order = fopen("/modules/order", "re");
	char path[256] = "/modules/";

	while (order && fgets(path + 9, (int)sizeof(path) - 9, order)) {
		path[strcspn(path, "\n")] = '\0';
		load_module(path);
	}
	if (order)
		fclose(order);
}

/* ------------------------------------------------------------------ network */

struct network {
	char *address, *server, *gateway, *mask, *host, *device, *how, *dns;
};

static struct sockaddr inet_of(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr out;

	if (!inet_aton(text, &in.sin_addr)) {
		errno = EINVAL;
		say("ip= has no valid address:", text);
	}
	memcpy(&out, &in, sizeof(out));
	return out;
}

static void set_up(int fd, const char *device, struct network *n)
{
	struct ifreq r = {0};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
	if (n && *n->address) {
		r.ifr_addr = inet_of(n->address);
		if (ioctl(fd, SIOCSIFADDR, &r))
			say("cannot set the address of", device);
		r.ifr_netmask = inet_of(*n->mask ? n->mask : "255.255.255.0");
		if (ioctl(fd, SIOCSIFNETMASK, &r))
			say("cannot set the netmask of", device);
	}
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &r))
		say("cannot set up", device);
	if (!n || !*n->gateway)
		return;
	route.rt_dst = inet_of("0.0.0.0");
	route.rt_genmask = inet_of("0.0.0.0");
	route.rt_gateway = inet_of(n->gateway);
	if (ioctl(fd, SIOCADDRT, &route))
		say("cannot add a route to", n->gateway);
}

/* Split @text into the fields of @n; those that are missing are empty. */
static void read_network(struct network *n, char *text)
{
	char **fields[] = {&n->address, &n->server, &n->gateway, &n->mask,
			   &n->host,    &n->device, &n->how,     &n->dns};
	static char empty[] = "";

	for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		char *field = strsep(&text, ":");

		*fields[i] = field ? field : empty;
	}
}

static void configure_network(struct network *n, char *text, size_t size)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	set_up(fd, "lo", NULL);
	if (!option("ip=", text, size))
		*text = '\0';
	read_network(n, text);
	if (*n->address && strchr(n->address, '.'))
		set_up(fd, *n->device ? n->device : "eth0", n);
	if (*n->host && sethostname(n->host, strlen(n->host)))
		say("cannot set the name", n->host);
	close(fd);
}

static void write_resolver(const char *server)
{
	int fd;

	if (!*server)
		return;
	/* Often a link to a file of a service that does not run. */
	unlink("/etc/resolv.conf");
	fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		  0644);
	if (fd < 0 || dprintf(fd, "nameserver %s\n", server) < 0)
		say("cannot write", "/etc/resolv.conf");
	close(fd);
}

/* -------------------------------------------------------------- file systems
 */

static void mount_one(const char *type, const char *at)
{
	mkdir(at, 0755);
	if (mount(type, at, type, 0, NULL) && errno != EBUSY)
		say("cannot mount", at);
}

static void mount_root(void)
{
	char device[256] = "/dev/vda", type[32] = "ext4", ignored[8];
	unsigned long flags =
		option("ro", ignored, sizeof(ignored)) ? MS_RDONLY : 0;
	struct stat st;

	option("root=", device, sizeof(device));
	option("rootfstype=", type, sizeof(type));
	for (int waited = 0; stat(device, &st) && waited < WAIT_MS;
	     waited += EACH_MS)
		usleep(EACH_MS * 1000);
	mkdir("/root", 0755);
	if (mount(device, "/root", type, flags, NULL))
		fatal("cannot mount the root disk", device);
}

static void move_to_root(void)
{
	static const char *const moved[] = {"/dev", "/proc", "/sys"};
	char there[32];

	for (unsigned i = 0; i < sizeof(moved) / sizeof(*moved); i++) {
		snprintf(there, sizeof(there), "/root%s", moved[i]);
		if (mount(moved[i], there, NULL, MS_MOVE, NULL))
			say("cannot move to", there);
	}
	unlink("/init");
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		fatal("cannot change the root to", "/root");
}

/* ----------------------------------------------------------------- processes
 */

static void start_clock_follow(void)
{
	/* A name that begins with @ keeps systemd from ending it early. */
	char *const argv[] = {(char *)"@clock-follow", NULL};

	if (access("/bin/clock-follow", X_OK) || fork())
		return;
	execv("/bin/clock-follow", argv);
	_exit(1);
}

/* What an image's configuration says, as /.stasis-command has it: words "a" and
 * an argument, "e" and NAME=VALUE, "w" and the folder, "u" and UID:GID, each
 * ended by NUL. */
struct command {
	char *argv[WORDS_MAX + 1];
	unsigned argc;
	const char *folder;
	unsigned uid, gid;
};

static char command_text[65536];

static void read_user(struct command *c, const char *text)
{
	char *end;

	c->uid = (unsigned)strtoul(text, &end, 10);
	if (*end == ':')
		c->gid = (unsigned)strtoul(end + 1, NULL, 10);
}

static void read_command(struct command *c)
{
	static char shell[] = "/bin/sh";
	int fd = open("/.stasis-command", O_RDONLY | O_CLOEXEC);
	ssize_t n =
		fd < 0 ? 0 : read(fd, command_text, sizeof(command_text) - 1);

	close(fd);
	setenv("PATH",
	       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
	       "/sbin:/bin",
	       1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 0);
	for (char *at = command_text; n > 0 && at < command_text + n;
	     at += strlen(at) + 1) {
		if (*at == 'a' && c->argc < WORDS_MAX)
			c->argv[c->argc++] = at + 1;
		else if (*at == 'e')
			putenv(at + 1);
		else if (*at == 'w')
			c->folder = at + 1;
		else if (*at == 'u')
			read_user(c, at + 1);
	}
	if (!c->argc)
		c->argv[c->argc++] = shell;
}

static void run_command(const struct command *c)
{
	setsid();
	ioctl(0, TIOCSCTTY, 1);
	if ((c->folder && chdir(c->folder)) || setgid(c->gid) || setuid(c->uid))
		say("cannot prepare", c->argv[0]);
	execvp(c->argv[0], c->argv);
	say("cannot start", c->argv[0]);
	_exit(127);
}

/* Run the image's command, reap what it leaves, and power off after it. */
static void be_init(void)
{
	struct command command = {.folder = "/"};
	int status = 0;
	pid_t child, ended;

	mount_one("devpts", "/dev/pts");
	mount_one("tmpfs", "/dev/shm");
	mount_one("tmpfs", "/run");
	read_command(&command);
	child = fork();
	if (!child)
		run_command(&command);
	do {
		ended = wait(&status);
	} while (child > 0 && ended != child && (ended > 0 || errno == EINTR));
	if (WIFEXITED(status))
		printf("image-init: %s ended with status %d\n", command.argv[0],
		       WEXITSTATUS(status));
	else
		printf("image-init: %s ended by signal %d\n", command.argv[0],
		       WTERMSIG(status));
	kill(-1, SIGTERM);
	usleep(100000);
	kill(-1, SIGKILL);
	sync();
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(RB_POWER_OFF);
}

int main(void)
{
	char text[512], program[256] = "/sbin/init";
	char *argv[] = {program, NULL};
	struct network network;

	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	read_cmdline();
	load_modules();
	mount_root();
	configure_network(&network, text, sizeof(text));
	start_clock_follow();
	move_to_root();
	write_resolver(network.dns);
	option("init=", program, sizeof(program));
	execv(program, argv);
	if (errno != ENOENT)
		say("cannot start", program);
	be_init();
	return 1;
}
