/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/guest/clock-follow/ptp.h"

#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CLOCKS_MAX = 8 };

static bool is_kvms(int n)
{
	char path[64], name[64];
	ssize_t len = -1;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/ptp/ptp%d/clock_name", n);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, name, sizeof(name));
		close(fd);
	}
	return len >= 3 && !strncmp(name, "KVM", 3);
}

int ptp_open(void)
{
	char path[64];

	for (int i = 0; i < CLOCKS_MAX; i++) {
		if (!is_kvms(i))
			continue;
		snprintf(path, sizeof(path), "/dev/ptp%d", i);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

static int64_t ns_of(const struct ptp_clock_time *t)
{
	return (int64_t)t->sec * BILLION + t->nsec;
}

bool ptp_read(int fd, struct reading *now)
{
	struct ptp_sys_offset_precise pair = {0};

	if (ioctl(fd, PTP_SYS_OFFSET_PRECISE, &pair))
		return false;
	/* Nothing is told of how right the host's clock is. */
	*now = (struct reading){
		.ahead_ns = ns_of(&pair.device) - ns_of(&pair.sys_realtime),
	};
	return true;
}
