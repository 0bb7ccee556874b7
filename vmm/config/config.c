/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config/config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"

/* Firecracker's default command line. */
static const char default_cmdline[] =
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "
	"i8042.dumbkbd swiotlb=noforce";

const char *const clock_smear_name[] = {
	[CLOCK_SMEAR_NONE] = "none",
	[CLOCK_SMEAR_NOON_LINEAR] = "noon-linear",
	[CLOCK_SMEAR_UTC_SLS] = "utc-sls",
};

const char *const clock_policy_name[] = {
	[CLOCK_FROZEN] = "frozen",
	[CLOCK_CONTINUOUS] = "continuous",
};

const char *const huge_pages_name[] = {
	[GUEST_MEM_PLAIN] = "None",
	[GUEST_MEM_TRANSPARENT] = "Transparent",
	[GUEST_MEM_2M] = "2M",
};

void vm_config_init(struct vm_config *config)
{
	*config = (struct vm_config){
		.vcpu_count = 1,
		.mem_mib = 128,
		.clock.max_jump_ms = CLOCK_MAX_JUMP_MS,
	};
}

void vm_config_fini(struct vm_config *config)
{
	free(config->kernel);
	free(config->initrd);
	free(config->cmdline);
	free(config->reg);
	for (unsigned i = 0; i < config->drive_count; i++)
		drive_config_fini(&config->drive[i]);
	free(config->drive);
	for (unsigned i = 0; i < config->interface_count; i++)
		interface_config_fini(&config->interface[i]);
	free(config->interface);
	vsock_config_fini(&config->vsock);
	vm_config_init(config);
}

int vm_config_set(char **field, const char *text, struct err *e)
{
	char *copy = strdup(text);

	if (!copy)
		return err_errno(e, "cannot keep \"%.40s\"", text);
	free(*field);
	*field = copy;
	return 0;
}

void drive_config_fini(struct drive_config *drive)
{
	free(drive->block.id);
	free(drive->block.path);
	free(drive->partuuid);
	*drive = (struct drive_config){0};
}

struct drive_config *vm_config_drive(const struct vm_config *config,
				     const char *id)
{
	for (unsigned i = 0; i < config->drive_count; i++) {
		if (!strcmp(config->drive[i].block.id, id))
			return &config->drive[i];
	}
	return NULL;
}

/* Move the root drive to the front, so that the guest sees it as /dev/vda. */
static void put_root_first(struct vm_config *config)
{
	for (unsigned i = 1; i < config->drive_count; i++) {
		struct drive_config root = config->drive[i];

		if (!root.root)
			continue;
		memmove(&config->drive[1], &config->drive[0], i * sizeof(root));
		config->drive[0] = root;
	}
}

int vm_config_put_drive(struct vm_config *config, struct drive_config *drive,
			struct err *e)
{
	struct drive_config *old = vm_config_drive(config, drive->block.id),
			    *more;

	for (unsigned i = 0; i < config->drive_count && drive->root; i++) {
		if (config->drive[i].root && &config->drive[i] != old)
			return err_set(e, "A root block device already "
					  "exists!");
	}
	if (!old) {
		if (config->drive_count == VM_DRIVES_MAX)
			return err_set(e, "there are %d drives already",
				       VM_DRIVES_MAX);
		more = realloc(config->drive,
			       (config->drive_count + 1) * sizeof(*more));
		if (!more)
			return err_errno(e, "cannot keep another drive");
		config->drive = more;
		old = &more[config->drive_count++];
		*old = (struct drive_config){0};
	}
	drive_config_fini(old);
	*old = *drive;
	*drive = (struct drive_config){0};
	put_root_first(config);
	return 0;
}

void interface_config_fini(struct interface_config *interface)
{
	free(interface->net.id);
	free(interface->net.tap);
	*interface = (struct interface_config){0};
}

int vm_config_check_interface(const struct vm_config *config,
			      const struct interface_config *interface,
			      struct err *e)
{
	const uint8_t *mac = interface->net.mac;

	for (unsigned i = 0; i < config->interface_count; i++) {
		const struct interface_config *other = &config->interface[i];

		if (!strcmp(other->net.id, interface->net.id)) {
			if (other->mmds && interface->vhost)
				return err_set(e, "the metadata service of "
						  "this interface is not "
						  "possible with `vhost`; "
						  "leave out one or the other");
			continue;
		}
		if (interface->net.has_mac && other->net.has_mac &&
		    !memcmp(mac, other->net.mac, sizeof(other->net.mac)))
			return err_set(e,
				       "The MAC address is already in use: "
				       "%02x:%02x:%02x:%02x:%02x:%02x",
				       mac[0], mac[1], mac[2], mac[3], mac[4],
				       mac[5]);
		/* Firecracker's message when the tap is open already. */
		if (!strcmp(other->net.tap, interface->net.tap))
			return err_set(
				e,
				"Could not create the network device: Open tap "
				"device failed: Error while creating ifreq "
				"structure: Device or resource busy (os error "
				"16). Invalid TUN/TAP Backend provided by "
				"%.20s: it is %.64s's.",
				other->net.tap, other->net.id);
	}
	return 0;
}

int vm_config_put_interface(struct vm_config *config,
			    struct interface_config *interface, struct err *e)
{
	struct interface_config *old = NULL, *more;

	if (vm_config_check_interface(config, interface, e))
		return -1;
	for (unsigned i = 0; i < config->interface_count; i++) {
		if (!strcmp(config->interface[i].net.id, interface->net.id))
			old = &config->interface[i];
	}
	if (!old) {
		if (config->interface_count == VM_INTERFACES_MAX)
			return err_set(e,
				       "there are %d network interfaces "
				       "already",
				       VM_INTERFACES_MAX);
		more = realloc(config->interface,
			       (config->interface_count + 1) * sizeof(*more));
		if (!more)
			return err_errno(e, "cannot keep another interface");
		config->interface = more;
		old = &more[config->interface_count++];
		*old = (struct interface_config){0};
	}
	interface->mmds = old->mmds;
	interface_config_fini(old);
	*old = *interface;
	*interface = (struct interface_config){0};
	return 0;
}

int vm_config_check_mmds(const struct mmds_config *mmds, struct err *e)
{
	const unsigned third = mmds->address >> 8 & 0xff;

	/* RFC 3927 reserves the first and the last 256 addresses. */
	if (mmds->address >> 16 == 0xa9fe && third != 0 && third != 0xff)
		return 0;
	return err_set(e, "The MMDS IPv4 address is not link local.");
}

void vsock_config_fini(struct vsock_config *vsock)
{
	free(vsock->uds_path);
	free(vsock->id);
	*vsock = (struct vsock_config){0};
}

/* Write the `root=` argument to @out; nothing if no drive is the root. */
static void print_root(const struct vm_config *config, char *out, size_t size)
{
	const struct drive_config *root = config->drive;

	out[0] = '\0';
	if (!config->drive_count || !root->root)
		return;
	snprintf(out, size, " root=%s%s %s",
		 root->partuuid ? "PARTUUID=" : "/dev/vda",
		 root->partuuid ? root->partuuid : "",
		 root->block.read_only ? "ro" : "rw");
}

/* Control characters are rejected, because the guest's kernel would take them
 * for separators or for the end. */
int vm_config_check_cmdline(const struct vm_config *config, struct err *e)
{
	const char *text = config->cmdline ? config->cmdline : "";
	char out[2048 + 1];

	for (const char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			return err_set(e,
				       "the kernel command line has an "
				       "unprintable character (0x%02x) at "
				       "position %td; use printable ASCII",
				       (unsigned char)*c, c - text + 1);
	}
	return vm_config_cmdline(config, out, sizeof(out), e);
}

int vm_config_check_machine(const struct vm_config *config, struct err *e)
{
	uint64_t min = arch_layout.ram_min >> 20;

	if (config->vcpu_count < 1 || config->vcpu_count > ARCH_VCPUS_MAX)
		return err_set(e, "%u vCPUs are not possible; choose 1 to %d",
			       config->vcpu_count, ARCH_VCPUS_MAX);
	if (config->mem_mib < min)
		return err_set(e,
			       "%llu MiB of RAM are too little; give at least "
			       "%llu MiB",
			       (unsigned long long)config->mem_mib,
			       (unsigned long long)min);
	if (config->huge_pages && config->mem_mib % 2)
		return err_set(e, "The memory size (MiB) is either 0, or not "
				  "a multiple of the configured page size.");
	if (config->mem_mib > UINT64_MAX >> 24)
		return err_set(e, "%llu MiB of RAM are not possible",
			       (unsigned long long)config->mem_mib);
	/* With nested virtualisation, a write to the virtual counter would move
	 * the physical one and leave CNTVOFF_EL2 alone (Linux,
	 * arch/arm64/kvm/arch_timer.c). */
	if (config->cpu[ARCH_NESTED] == ARCH_ON &&
	    config->clock.physical == CLOCK_PHYSICAL_HOST)
		return err_set(e, "`nested` guests have one counter: their "
				  "clock's `physical` cannot be \"host\"; "
				  "leave it out");
	return 0;
}

static int check_balloon(const struct vm_config *config, struct err *e)
{
	if (config->has_balloon &&
	    balloon_check(&config->balloon, config->mem_mib, e))
		return err_prefix(e, "balloon of %u MiB",
				  config->balloon.amount_mib);
	return 0;
}

int vm_config_check(const struct vm_config *config, struct err *e)
{
	if (!config->kernel)
		return err_set(e, "no kernel was given");
	return check_balloon(config, e) || vm_config_check_machine(config, e) ||
			       vm_config_check_cmdline(config, e)
		       ? -1
		       : 0;
}

/* Printable, because ids appear in logs, metrics and requests. */
int vm_config_check_id(const char *id, struct err *e)
{
	size_t len = strlen(id);

	if (!len)
		return err_set(e, "The ID cannot be empty.");
	if (len > VM_ID_MAX)
		return err_set(e, "the ID is longer than %d characters",
			       VM_ID_MAX);
	for (const char *c = id; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return err_set(e, "the ID has a character that cannot "
					  "be printed; use letters and digits");
	}
	return 0;
}

static int check_drives(const struct vm_config *config, struct err *e)
{
	for (unsigned i = 0; i < config->drive_count; i++) {
		const struct drive_config *d = &config->drive[i];

		if (vm_config_check_id(d->block.id, e))
			return err_prefix(e, "drive %u", i + 1);
		if (vm_config_drive(config, d->block.id) != d)
			return err_set(e, "there are two drives %.64s",
				       d->block.id);
	}
	return 0;
}

static int check_interfaces(const struct vm_config *config, struct err *e)
{
	for (unsigned i = 0; i < config->interface_count; i++) {
		const struct interface_config *n = &config->interface[i];

		if (vm_config_check_id(n->net.id, e))
			return err_prefix(e, "interface %u", i + 1);
		for (unsigned k = 0; k < i; k++) {
			if (!strcmp(config->interface[k].net.id, n->net.id))
				return err_set(e,
					       "there are two interfaces %.64s",
					       n->net.id);
		}
	}
	return 0;
}

int vm_config_check_loaded(const struct vm_config *config, struct err *e)
{
	return vm_config_check_machine(config, e) || check_balloon(config, e) ||
			       check_drives(config, e) ||
			       check_interfaces(config, e) ||
			       (config->mmds.given &&
				vm_config_check_mmds(&config->mmds, e))
		       ? -1
		       : 0;
}

static const char *given_cmdline(const struct vm_config *config)
{
	return config->cmdline ? config->cmdline : default_cmdline;
}

bool vm_config_has_serial(const struct vm_config *config)
{
	return strstr(given_cmdline(config), "console=");
}

int vm_config_cmdline(const struct vm_config *config, char *out, size_t size,
		      struct err *e)
{
	const char *given = given_cmdline(config);
	/* Arguments after " -- " are init's: insert ours before. */
	const char *rest = strstr(given, " -- ");
	size_t max = min_u64(arch_layout.cmdline_max, size - 1);
	char serial[48] = "", root[128];
	int n;

	if (!rest)
		rest = given + strlen(given);
	if (vm_config_has_serial(config))
		snprintf(serial, sizeof(serial), " earlycon=uart,mmio,0x%08llx",
			 (unsigned long long)arch_layout.serial);
	print_root(config, root, sizeof(root));
	n = snprintf(out, size, "%.*s%s%s%s", (int)(rest - given), given, root,
		     serial, rest);
	if (n < 0 || (size_t)n > max)
		return err_set(e,
			       "the kernel command line is too long: %d "
			       "characters with what is added to it, of %zu",
			       n, max);
	return 0;
}
